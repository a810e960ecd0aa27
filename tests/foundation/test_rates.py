"""The arithmetic of limits, alone, beside the library `limits`, and beside the script that Redis runs."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import inf

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.storage import memory as library
from limits.strategies import SlidingWindowCounterRateLimiter

from foundation.clock import Clock
from foundation.resilience import rates
from foundation.resilience.limiter import Charge, Limiter
from foundation.resilience.rates import Limit, State, Strategy

WRITTEN = ("sliding-window 8/4", "token-bucket 8/4", "token-bucket 8/4 burst 3", "leaky-bucket 8/4 burst 2", "leaky-bucket 40/4")
# gaps in whole 64ths of a second, which floats hold exactly
COMING = st.lists(st.tuples(st.integers(0, 300).map(lambda n: n / 64), st.integers(1, 4)), min_size=1, max_size=60)
TOKENS = itertools.count()


def limit(text: str) -> Limit:
    found = rates.parse("user", text)
    assert found is not None
    return found


def run(limit: Limit, coming: list[tuple[float, int]]) -> list[tuple[float, int, bool]]:
    """(time, cost, admitted) of requests that come after these gaps."""
    state, now, told = State(), 1_000.0, []
    for gap, cost in coming:
        now += gap
        state = rates.roll(limit, state, now)
        fits = rates.fits(limit, state, now, cost)
        state = rates.spend(state, cost) if fits else state
        told.append((now, cost, fits))
    return told


@settings(max_examples=60, deadline=None)
@given(coming=COMING)
def test_a_sliding_window_admits_what_the_library_admits(coming: list[tuple[float, int]]) -> None:
    now, storage = 1_000.0, MemoryStorage()
    reference, item = SlidingWindowCounterRateLimiter(storage), RateLimitItemPerSecond(8, 4)
    ours = Limit("user", Strategy.SLIDING_WINDOW, 9 - 1e-3, 4, 9 - 1e-3)  # the library rounds what it has counted down
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library.time, "time", lambda: now)
        for (at, cost, fits), _ in zip(run(ours, coming), coming, strict=True):
            now = at
            assert reference.hit(item, "x", cost=cost) == fits, (at, cost)


@pytest.mark.parametrize("text", WRITTEN)
@settings(max_examples=40, deadline=None)
@given(coming=COMING)
def test_no_stretch_of_time_sees_more_than_the_limit_and_one_edge(text: str, coming: list[tuple[float, int]]) -> None:
    rule = limit(text)
    told = [(at, cost) for at, cost, fits in run(rule, coming) if fits]
    for start, _ in told:
        inside = sum(cost for at, cost in told if start <= at < start + rule.seconds)
        assert inside <= rule.quantity + rule.burst + 4  # 4: one cost above the whole limit is paid for afterwards


@pytest.mark.parametrize("text", WRITTEN)
@settings(max_examples=40, deadline=None)
@given(coming=COMING)
def test_waiting_as_long_as_told_is_enough_and_not_too_long(text: str, coming: list[tuple[float, int]]) -> None:
    rule, state, now = limit(text), State(), 1_000.0
    for gap, cost in coming:
        now += gap
        state = rates.roll(rule, state, now)
        if rates.fits(rule, state, now, cost):
            state = rates.spend(state, cost)
            continue
        seconds = rates.wait(rule, state, now, cost)
        assert seconds > 0
        then, sooner = now + seconds + 1e-6, now + seconds * 0.99 - 1e-3
        assert rates.fits(rule, rates.roll(rule, state, then), then, cost)
        if sooner > now:
            assert not rates.fits(rule, rates.roll(rule, state, sooner), sooner, cost)


def test_a_cost_above_the_whole_limit_passes_alone_and_is_paid_for() -> None:
    rule = limit("token-bucket 2/2")
    state = rates.spend(rates.roll(rule, State(), 0.0), 6)
    assert rates.wait(rule, state, 0.0, 1) == pytest.approx(5.0)


def test_shares_add_up_to_the_limit() -> None:
    rule = limit("token-bucket 10/1 burst 4")
    share = rule.share(4)
    assert (share.quantity * 4, share.burst * 4, share.seconds) == (10, 4, 1)


@pytest.mark.parametrize(
    "text", ["nonsense", "sliding-window", "fixed-window 1/1", "token-bucket 0/1", "sliding-window 5/1 burst 2", "token-bucket 5/0"]
)
def test_a_limit_that_makes_no_sense_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r" "):
        rates.parse("user", text)


def test_no_text_is_no_limit() -> None:
    assert rates.parse("user", "") is None


@pytest.fixture(scope="module")
def script(redis_url: str) -> Callable[[Clock], Limiter]:
    """Limiters on one Redis that read a clock of ours."""
    client = redis.Redis.from_url(redis_url)
    return lambda clock: Limiter(client, lambda: redis.asyncio.Redis.from_url(redis_url), "test", clock=clock)


@pytest.mark.parametrize("text", WRITTEN)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(coming=COMING)
def test_redis_decides_as_the_arithmetic_does(script: Callable[[Clock], Limiter], text: str, coming: list[tuple[float, int]]) -> None:
    rule, now, subject = limit(text), 1_000.0, f"s{next(TOKENS)}"
    limiter = script(Clock(now=lambda: now))
    for at, cost, fits in run(rule, coming):
        now = at
        answer = limiter.take([Charge(rule, subject, cost)])
        assert (answer.admitted, answer.alone) == (fits, False)
        assert answer.verdicts[0].wait < inf
