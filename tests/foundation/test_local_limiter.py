"""A limit of one process counts as `rates.py` does."""

from __future__ import annotations

import random

import pytest

from foundation.resilience import rates
from foundation.resilience.local_limiter import LocalLimiter
from foundation.resilience.rates import Limit, State, Strategy
from tests.foundation.hands import Hands


@pytest.mark.parametrize("strategy", list(Strategy))
def test_it_lets_through_what_the_arithmetic_lets_through(strategy: Strategy) -> None:
    limit, hands, chance, state = Limit("calls", strategy, 20, 10, 20), Hands(), random.Random(3), State()
    limiter = LocalLimiter(limit, hands.clock)
    for _ in range(2_000):
        hands.now += chance.expovariate(3)
        cost = chance.choice((0.5, 1, 3))
        state = rates.roll(limit, state, hands.now)
        fits = rates.fits(limit, state, hands.now, cost)
        state = rates.spend(state, cost) if fits else state
        assert (limiter.take(cost) == 0.0) is fits


@pytest.mark.parametrize("strategy", list(Strategy))
def test_who_waits_as_long_as_it_says_is_let_in(strategy: Strategy) -> None:
    hands = Hands()
    limiter = LocalLimiter(Limit("calls", strategy, 10, 10, 10), hands.clock)
    assert [limiter.take() for _ in range(10)] == [0.0] * 10
    wait = limiter.take()
    assert wait > 0
    hands.now += wait + 1e-6
    assert limiter.take() == 0.0
    assert limiter.refused == 1


def test_what_is_given_back_can_be_taken_again() -> None:
    limiter = LocalLimiter(Limit("calls", Strategy.TOKEN_BUCKET, 10, 10, 10), Hands().clock)
    assert limiter.take(10) == 0.0
    limiter.give_back(4)
    assert limiter.room == 4
    limiter.give_back(400)
    assert limiter.room == 10
