"""A dependency dies under 80 % load and returns: `python -m bench.incident`. Real threads, real sockets, a server that is killed.

It is dead for 60 s, or with `--scale 10` for a tenth of that, while the policies keep their times. Jobs come at 80 % of what the server
can do, whatever it does. A job whose call fails or is refused waits as a
chunk does, and is called again until it is done. Side by side:

    bare       five tries a call, exponential, nothing else
    static     the row `broker` with the retries of `database-connect`: bulkhead, breaker, budget; the first success frees what waits
    adaptive   the same with a limit of calls at once that grows by one a round of successes and is halved by a failure (AIMD), and waits of
               jobs divided by the share of calls that succeed
"""

from __future__ import annotations

import argparse
import heapq
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import mean

from foundation.resilience.bulkhead import BulkheadPolicy
from foundation.resilience.policies import TABLE, Policy, Switches
from foundation.resilience.protection import Refused, Registry, protect
from foundation.resilience.retry import RetryPolicy

DEAD_SECONDS = 60.0
PLACES, SERVICE_SECONDS = 4, 0.02
CAPACITY = PLACES / SERVICE_SECONDS  # calls a second
LOAD = 0.8 * CAPACITY
WARM = 4.0
THREADS = 48
TIMEOUT = 1.0
WAIT_SECONDS = 0.5  # for a place, in either way
OF_JOBS = RetryPolicy(tries=1 << 30, first_seconds=0.5, most_seconds=4.0)

_SERVER = """
import asyncio, sys
async def main(port, places, seconds):
    room = asyncio.Semaphore(places)
    async def serve(reader, writer):
        try:
            await reader.readexactly(1)
            async with room:
                await asyncio.sleep(seconds)
            writer.write(b"!")
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()
    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=4096)
    print("up", flush=True)
    await server.serve_forever()
asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
"""


class Server:
    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        argv = [sys.executable, "-c", _SERVER, str(self.port), str(PLACES), str(SERVICE_SECONDS)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def kill(self) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@dataclass(slots=True)
class Adaptive:
    """How many calls may be at it at once, between 2 and `most`; and the share of the last calls that succeeded."""

    most: float = 32.0
    limit: float = 16.0
    inside: int = 0
    share: float = 1.0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def enter(self) -> bool:
        with self.changed:
            fits = self.changed.wait_for(lambda: self.inside < self.limit, WAIT_SECONDS)
            self.inside += fits
            return fits

    def leave(self, good: bool) -> None:
        with self.changed:
            self.changed.notify()
            self.inside -= 1
            self.limit = min(self.most, self.limit + 1 / self.limit) if good else max(2.0, self.limit / 2)
            self.share += 0.02 * (good - self.share)


@dataclass(slots=True)
class Told:
    jobs: int = 0
    attempts: int = 0
    done: list[tuple[float, bool]] = field(default_factory=list)  # when, and whether it had failed before
    returned: float = 0.0
    ended: float = 0.0

    def rate(self, begin: float, seconds: float) -> float:
        return sum(begin <= at < begin + seconds for at, _ in self.done) / seconds

    def back_after(self, within: float) -> float:
        """Seconds from the return to the first second in which as much is done as comes, or more."""
        step = 0.0
        while step < within:
            if self.rate(self.returned + step, 1.0) >= 0.95 * LOAD:
                return step + 1.0
            step += 0.1
        return float("inf")

    def recovery(self) -> list[float]:
        return [at - self.returned for at, failed in self.done if failed and at > self.returned]


class _Always(Switches):
    def __init__(self, policy: Policy) -> None:
        super().__init__()
        object.__setattr__(self, "policy", policy)

    def on(self, call: str) -> Policy:
        return self.policy  # type: ignore[attr-defined]


STATIC = replace(TABLE["broker"], bulkhead=BulkheadPolicy(16, WAIT_SECONDS), retry=TABLE["database-connect"].retry, deadline_seconds=2.0)


def bare(ask: Callable[[], None]) -> Callable[[], None]:
    policy = RetryPolicy(5, 0.05, 0.4)

    def call() -> None:
        made = 0
        while True:
            try:
                return ask()
            except OSError:
                made += 1
                wait = policy.wait(made, random.random())
                if wait is None:
                    raise
                time.sleep(wait)

    return call


def run(way: str, dead: float, after: float) -> Told:
    server, told, lock = Server(), Told(), threading.Lock()
    server.start()
    adaptive = Adaptive()

    def ask() -> None:
        with lock:
            told.attempts += 1
        with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as line:
            line.sendall(b"?")
            if line.recv(1) != b"!":
                raise ConnectionResetError

    def limited() -> None:
        if not adaptive.enter():
            raise Refused("BULKHEAD_FULL", {})
        good = False
        try:
            ask()
            good = True
        finally:
            adaptive.leave(good)

    policy = STATIC if way == "static" else replace(STATIC, bulkhead=None)
    here = Registry(off=_Always(policy))
    call = bare(ask) if way == "bare" else protect("redis", registry=here)(ask if way == "static" else limited)

    began = time.monotonic()
    until = began + WARM + dead + after
    due: list[tuple[float, int, int]] = []  # when, job, how often it failed
    more, stop, held = threading.Condition(), threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            with more:
                now = time.monotonic()
                if not due or due[0][0] > now:
                    more.wait(min(0.05, due[0][0] - now) if due else 0.05)
                    continue
                _, job, failed = heapq.heappop(due)
            try:
                call()
            except (OSError, Refused):
                wait = OF_JOBS.wait(failed + 1, random.random()) or OF_JOBS.most_seconds
                if way == "adaptive":
                    wait = min(OF_JOBS.most_seconds, wait / max(0.1, adaptive.share) * 0.5)
                with more:
                    heapq.heappush(due, (time.monotonic() + wait, job, failed + 1))
                    held.set()
            else:
                with lock:
                    told.done.append((time.monotonic(), failed > 0))
                if way != "bare" and held.is_set():
                    held.clear()
                    with more:  # as the ledger does (budgets.refund): the first success frees all that wait, oldest first
                        due[:] = [(began + job / LOAD, job, failed) for _, job, failed in due]
                        heapq.heapify(due)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    killed = returned = False
    try:
        while (now := time.monotonic()) < until or (len(told.done) < told.jobs and now < until + 2 * dead + 20):
            if not killed and now >= began + WARM:
                server.kill()
                killed = True
            if killed and not returned and now >= began + WARM + dead:
                server.start()
                returned, told.returned = True, time.monotonic()
            with more:
                while told.jobs < (min(now, until) - began) * LOAD:
                    heapq.heappush(due, (began + told.jobs / LOAD, told.jobs, 0))
                    told.jobs += 1
                more.notify_all()
            time.sleep(0.005)
    finally:
        told.ended = time.monotonic()
        stop.set()
        for thread in threads:
            thread.join()
        server.kill()
    return told


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.incident", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="by what the time of the outage and the aims are divided")
    parser.add_argument("--ways", nargs="+", default=["bare", "static", "adaptive"])
    asked = parser.parse_args()
    dead = DEAD_SECONDS / asked.scale
    after = dead + 10.0
    print(f"{LOAD:g} jobs a second of {CAPACITY:g}; dead for {dead:g} s")
    for _ in range(asked.rounds):
        for way in asked.ways:
            told = run(way, dead, after)
            recovery = told.recovery()
            print(
                f"{way:<10}{told.jobs:6} jobs, {len(told.done) / told.jobs:7.2%} done; attempts {told.attempts / told.jobs:5.3f} x base; "
                f"goodput >= 95 % after {told.back_after(after):4.1f} s (aim {dead:g}); jobs that failed: {len(recovery)}, done "
                f"{mean(recovery) if recovery else 0:4.1f} s after the return in the mean (aim {dead / 2:g}), "
                f"{max(recovery, default=0):4.1f} s at most",
                flush=True,
            )


if __name__ == "__main__":
    main()
