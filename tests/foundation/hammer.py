"""Threads that call, raise, give up and are interrupted at random through every part, and what is left after them: `make permits`."""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from dataclasses import dataclass

from foundation.resilience.breaker import BreakerPolicy
from foundation.resilience.bulkhead import BulkheadPolicy
from foundation.resilience.policies import Policy, Switches
from foundation.resilience.protection import Refused, Registry, guard, protect
from foundation.resilience.rates import Limit, Strategy
from foundation.resilience.retry import RetryPolicy

POLICY = Policy(
    limiter=Limit("calls", Strategy.TOKEN_BUCKET, 1e9, 1.0, 1e9),
    bulkhead=BulkheadPolicy(8, 0.05),
    breaker=BreakerPolicy(20, 10, 0.6, 1e-3, 0.9, 2, 0.05, RetryPolicy(1 << 30, 1e-5, 1e-4)),
    retry=RetryPolicy(2, 1e-6, 1e-6),
    faults=frozenset({"builtins.OSError"}),
)


@dataclass(slots=True)
class Told:
    calls: int = 0
    answered: int = 0
    raised: int = 0
    interrupted: int = 0
    refused: int = 0
    moves: int = 0
    inside: int = 0
    free: int = 0
    capacity: int = POLICY.bulkhead.capacity if POLICY.bulkhead else 0


class Interrupted(BaseException):
    """As a cancel or Ctrl-C is: no Exception."""


class _Always(Switches):
    def on(self, call: str) -> Policy:
        return POLICY


def run(threads: int, calls: int, seed: int = 20261127) -> Told:
    """Each of the threads makes so many calls; a third by `guard`, the others by `protect`."""
    here, told, lock = Registry(off=_Always()), Told(), threading.Lock()

    def one(chance: random.Random) -> None:
        dice = chance.random()
        if dice < 0.25:
            raise ConnectionError
        if dice < 0.30:
            raise ValueError
        if dice < 0.35:
            raise Interrupted

    protected = protect("redis", registry=here)(one)

    def many(number: int) -> None:
        chance, mine = random.Random(seed + number), Told()
        for _ in range(calls):
            mine.calls += 1
            try:
                if chance.random() < 0.33:
                    with guard("redis", registry=here):
                        one(chance)
                else:
                    protected(chance)
                mine.answered += 1
            except Refused:
                mine.refused += 1
            except (ConnectionError, ValueError):
                mine.raised += 1
            except Interrupted:
                mine.interrupted += 1
        with lock:
            for name in ("calls", "answered", "raised", "interrupted", "refused"):
                setattr(told, name, getattr(told, name) + getattr(mine, name))

    every = [threading.Thread(target=many, args=(number,)) for number in range(threads)]
    for thread in every:
        thread.start()
    for thread in every:
        thread.join()
    it = here.of("redis")
    assert it.breaker is not None
    assert it.bulkhead is not None
    told.moves, told.inside, told.free = it.breaker.generation, it.breaker.statistics().inside, it.bulkhead.free
    return told


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.foundation.hammer", description=__doc__)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--calls", type=int, default=100_000, help="of each thread")
    asked = parser.parse_args()
    started = time.monotonic()
    told = run(asked.threads, asked.calls)
    leaked = told.capacity - told.free
    print(f"{told}\n{told.calls} calls in {time.monotonic() - started:.0f} s; permits leaked: {leaked}; callers left inside: {told.inside}")
    return int(bool(leaked or told.inside))


if __name__ == "__main__":
    sys.exit(main())
