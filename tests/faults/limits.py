"""Four API processes on one port, one key, a Redis that is killed and comes back empty; counted from outside.

`python -m tests.faults.limits --seconds 30` runs each of the three stretches for so long: with Redis, without it, after its return.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx2

from tests.stack import RedisServer, Stack, new_folder

WINDOW, PROCESSES, THREADS = 5.0, 4, 16


@dataclass
class Asked:
    """When a request was admitted, and how many answers there were of each status."""

    admitted: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def between(self, start: float, end: float) -> int:
        return sum(start <= at < end for at in self.admitted)

    def most_in_a_window(self, start: float, end: float) -> int:
        return max((self.between(at, at + WINDOW) for at in self.admitted if start <= at < end), default=0)


def ask(stack: Stack, asked: Asked, ended: threading.Event) -> None:
    never_kept = httpx2.Limits(max_keepalive_connections=0)  # so that any process may get the next request
    with httpx2.Client(base_url=stack.url, headers={"X-API-Key": stack.key}, timeout=30, trust_env=False, limits=never_kept) as client:
        while not ended.wait(0.01):
            with contextlib.suppress(httpx2.TransportError):
                status = client.get("/api/v1/queues").status_code
                asked.statuses[status] += 1
                if status == 200:
                    asked.admitted.append(time.monotonic())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="length of each of the three stretches")
    parser.add_argument("--strategy", default="sliding-window")
    parser.add_argument("--limit", type=int, default=60, help="requests in 5 s; well below what the machine answers, or the run is void")
    given = parser.parse_args(arguments)
    limit = given.limit
    with new_folder() as folder:
        server = RedisServer(folder / "redis").start()
        rule = {"CADMILL_LIMIT_USER": f"{given.strategy} {limit}/{WINDOW}"}
        stack = Stack(folder / "stack", server.url, "", **rule)
        try:
            stack.start("api")
            for n in range(1, PROCESSES):
                stack.spawn(f"api{n}", list(stack._table["api"].argv))
            asked, ended = Asked(), threading.Event()
            threads = [threading.Thread(target=ask, args=(stack, asked, ended)) for _ in range(THREADS)]
            for thread in threads:
                thread.start()
            time.sleep(20 + 2 * WINDOW)  # all processes are up, and their first answers are old
            stretches = [("with Redis", time.monotonic())]
            time.sleep(given.seconds)
            server.kill()
            stretches.append(("without Redis", time.monotonic()))
            time.sleep(given.seconds)
            server.start()
            stretches.append(("after its return", time.monotonic()))
            time.sleep(given.seconds)
            stretches.append(("", time.monotonic()))
            ended.set()
            for thread in threads:
                thread.join()
        finally:
            stack.stop()
            server.kill()
    print(f"{PROCESSES} API processes, {given.strategy}, {limit} in {WINDOW:g} s; answers: {dict(asked.statuses)}")
    held = asked.statuses[429] > 0 and set(asked.statuses) <= {200, 429}
    for (name, start), (_, end) in itertools.pairwise(stretches):
        admitted, allowed = asked.between(start, end), limit * (end - start) / WINDOW
        most = asked.most_in_a_window(start, end - WINDOW)
        edge = limit if name == "with Redis" else 0.1 * allowed
        held = held and allowed / 2 <= admitted <= allowed + edge  # half: else nothing was put to the test
        told = f"{admitted} of {allowed:.0f} admitted ({admitted / allowed:.3f})"
        print(f"{name:>17}: {told}, at most {most} in any {WINDOW:g} s ({most / limit:.2f})")
    crossing = asked.most_in_a_window(stretches[1][1] - WINDOW, stretches[2][1] + WINDOW)
    print(f"across death and return: at most {crossing} in any {WINDOW:g} s ({crossing / limit:.2f})")
    print("held" if held else "NOT HELD")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
