"""What stands around a call costs: `python -m bench.resilience`. In turns, CPU of this process; median and best of the rounds.

A call that does nothing, bare; behind each part of ours, and behind all of them; behind tenacity and pybreaker (retry and breaker), and
behind those with what makes the same protection: a semaphore and a moving window of the library `limits`.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import pybreaker
import tenacity
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from foundation.resilience.breaker import BreakerPolicy
from foundation.resilience.bulkhead import BulkheadPolicy
from foundation.resilience.policies import Policy, Switches
from foundation.resilience.protection import Registry, guard, protect
from foundation.resilience.rates import Limit, Strategy
from foundation.resilience.retry import RetryPolicy

FULL = Policy(
    limiter=Limit("calls", Strategy.TOKEN_BUCKET, 1e9, 1.0, 1e9),
    bulkhead=BulkheadPolicy(64, 1.0),
    breaker=BreakerPolicy(slow_seconds=1.0, slow_rate=0.5),
    retry=RetryPolicy(5, 0.05, 0.4),
    faults=frozenset({"builtins.OSError"}),
)
NOTHING = Policy()
AIM_MICROSECONDS = 20.0


def nothing() -> None:
    pass


class _Always(Switches):
    def __init__(self, policy: Policy) -> None:
        super().__init__()
        object.__setattr__(self, "policy", policy)

    def on(self, call: str) -> Policy:
        return self.policy  # type: ignore[attr-defined]


def ours(policy: Policy) -> Callable[[], None]:
    return protect("redis", registry=Registry(off=_Always(policy)))(nothing)


def block(policy: Policy) -> Callable[[], None]:
    here = Registry(off=_Always(policy))

    def call() -> None:
        with guard("redis", registry=here):
            nothing()

    return call


def theirs() -> Callable[[], None]:
    breaker = pybreaker.CircuitBreaker(fail_max=10, reset_timeout=30)
    retry = tenacity.retry(
        stop=tenacity.stop_after_attempt(5), wait=tenacity.wait_random_exponential(0.05, 0.4), reraise=True,
        retry=tenacity.retry_if_exception_type(OSError),
    )  # fmt: skip
    return breaker(retry(nothing))  # type: ignore[no-any-return]


def theirs_in_full() -> Callable[[], None]:
    inner, semaphore = theirs(), threading.BoundedSemaphore(64)
    limiter, limit = SlidingWindowCounterRateLimiter(MemoryStorage()), RateLimitItemPerSecond(10**9)

    def call() -> None:
        if not limiter.hit(limit, "calls"):
            raise RuntimeError
        if not semaphore.acquire(timeout=1.0):
            raise RuntimeError
        try:
            inner()
        finally:
            semaphore.release()

    return call


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.resilience", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--calls", type=int, default=10_000, help="of each, in a round")
    asked = parser.parse_args()
    calls: dict[str, Callable[[], None]] = {
        "bare": nothing,
        "ours: no part": ours(NOTHING),
        "ours: limiter": ours(replace(NOTHING, limiter=FULL.limiter)),
        "ours: bulkhead": ours(replace(NOTHING, bulkhead=FULL.bulkhead)),
        "ours: breaker": ours(replace(NOTHING, breaker=FULL.breaker)),
        "ours: retry": ours(replace(NOTHING, retry=FULL.retry)),
        "ours: all four": ours(FULL),
        "ours: a block (no retry)": block(FULL),
        "tenacity + pybreaker": theirs(),
        "and a semaphore + limits": theirs_in_full(),
    }
    took: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(asked.rounds):
        for name, call in calls.items():
            began = time.process_time()
            for _ in range(asked.calls):
                call()
            took[name].append((time.process_time() - began) / asked.calls * 1e6)
    full = median(took["ours: all four"])
    for name, times in took.items():
        print(f"{name:<28}{median(times):8.2f} us CPU a call, best {min(times):8.2f}{median(times) / full:8.2f} x ours")
    print(f"aim: under {AIM_MICROSECONDS:g} us: {'met' if full < AIM_MICROSECONDS else 'MISSED'}", end="; ")
    print(f"under theirs: {'met' if full < median(took['tenacity + pybreaker']) else 'MISSED'}")


if __name__ == "__main__":
    main()
