"""What rate limits cost: `python -m bench.limits`. Two comparisons, in turns, best and median of several rounds.

* the same route of two API processes, one with limits and one with all of them off: CPU of the process per request, and time per request;
* the question alone: four limits in one round trip of ours, beside four hits of the library `limits` on the same Redis, and one.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median

import httpx2
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from bench.machine import Meter
from foundation import keyspace
from foundation.resilience import rates
from foundation.resilience.limiter import Charge, Limiter
from foundation.settings import RedisSettings
from tests.stack import RedisServer, Stack, new_folder

OFF = {f"CADMILL_LIMIT_{tier}": "" for tier in ("IP", "USER", "TENANT", "GLOBAL", "GUESS")}


@dataclass(slots=True)
class Costs:
    """Microseconds a call, a round each."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, calls: int, call: Callable[[], object], cpu: Callable[[], float]) -> None:
        began, used = time.perf_counter(), cpu()
        for _ in range(calls):
            call()
        self.wall.append((time.perf_counter() - began) / calls * 1e6)
        self.cpu.append((cpu() - used) / calls * 1e6)

    def row(self, name: str, beside: Costs | None = None) -> str:
        ratio = (
            f"  {median(self.cpu) / median(beside.cpu):5.2f} x CPU, {median(self.wall) / median(beside.wall):5.2f} x time" if beside else ""
        )
        return f"{name:<34}{median(self.cpu):8.0f} us CPU{median(self.wall):8.0f} us{ratio}"


def routes(server: RedisServer, rounds: int, calls: int) -> None:
    with new_folder() as folder:
        stacks = [Stack(folder / "with", server.url), Stack(folder / "without", server.url, **OFF)]
        costs = [Costs(), Costs()]
        try:
            for stack in stacks:
                stack.start("api")
            clients = [httpx2.Client(base_url=stack.url, headers={"X-API-Key": stack.key}, trust_env=False) for stack in stacks]
            cpus = [partial(cpu_of, Meter(stack.pid("api"))) for stack in stacks]
            for number in range(rounds + 1):
                for client, cpu, cost in zip(clients, cpus, costs, strict=True):
                    (cost if number else Costs()).add(calls, partial(client.get, "/api/v1/jobs?limit=1"), cpu)  # the first round warms up
            for client in clients:
                client.close()
        finally:
            for stack in stacks:
                stack.stop()
    print(costs[1].row("GET /api/v1/jobs, limits off"))
    print(costs[0].row("GET /api/v1/jobs, four limits", costs[1]))


def cpu_of(meter: Meter) -> float:
    read = meter.read()
    return read.cpu if read is not None else 0.0


def questions(server: RedisServer, rounds: int, calls: int) -> None:
    here = RedisSettings(url=server.url)
    ours = Limiter(keyspace.limits_client(here, 1.0), lambda: keyspace.limits_loop_client(here, 1.0), "bench")
    charges = [
        Charge(limit, "bench", 1)
        for tier in ("ip", "user", "tenant", "global")
        if (limit := rates.parse(tier, "sliding-window 100000000/60")) is not None
    ]
    library = SlidingWindowCounterRateLimiter(RedisStorage(server.url))
    item = RateLimitItemPerMinute(100_000_000)
    ways: dict[str, Callable[[], object]] = {
        "limits 5.8, one hit": lambda: library.hit(item, "bench", "ip"),
        "limits 5.8, four hits": lambda: [library.hit(item, "bench", tier) for tier in ("ip", "user", "tenant", "global")],
        "ours, four limits together": lambda: ours.take(charges),
    }
    costs = {name: Costs() for name in ways}
    for number in range(rounds + 1):
        for name, call in ways.items():
            (costs[name] if number else Costs()).add(calls, call, time.process_time)
    reference = costs["limits 5.8, four hits"]
    for name, cost in costs.items():
        print(cost.row(name, None if cost is reference else reference))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=300)
    given = parser.parse_args()
    with new_folder() as folder:
        server = RedisServer(folder / "redis").start()
        try:
            questions(server, given.rounds, given.calls)
            routes(server, given.rounds, given.calls)
        finally:
            server.kill()


if __name__ == "__main__":
    main()
