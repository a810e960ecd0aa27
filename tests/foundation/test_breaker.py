"""What is dead costs one failure, is looked after, and what comes late is ignored."""

from __future__ import annotations

import pytest

from foundation.resilience.breaker import Breaker, Position
from foundation.resilience.retry import RetryPolicy
from tests.foundation.hands import Hands


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def breaker(hands: Hands) -> Breaker:
    return Breaker(hands.clock, RetryPolicy(1000, 1.0, 8.0), probe_seconds=5.0)


def ticket(breaker: Breaker) -> int:
    found = breaker.enter()
    assert found is not None
    return found


def test_one_failure_opens_it_and_nobody_asks_until_the_pause_is_over(breaker: Breaker, hands: Hands) -> None:
    assert breaker.failed(ticket(breaker))
    hands.now += 0.9
    assert breaker.enter() is None
    hands.now += 0.2
    assert breaker.enter() is not None


def test_one_caller_probes_at_a_time(breaker: Breaker, hands: Hands) -> None:
    breaker.failed(ticket(breaker))
    hands.now += 1.1
    probe = ticket(breaker)
    assert breaker.enter() is None
    assert breaker.succeeded(probe)
    assert breaker.position is Position.CLOSED


def test_pauses_double_up_to_the_longest_and_begin_anew_after_success(breaker: Breaker, hands: Hands) -> None:
    breaker.failed(ticket(breaker))
    for pause in (1, 2, 4, 8, 8):
        hands.now += pause - 0.01
        assert breaker.enter() is None
        hands.now += 0.02
        assert not breaker.failed(ticket(breaker))
    hands.now += 9
    breaker.succeeded(ticket(breaker))
    breaker.failed(ticket(breaker))
    hands.now += 1.01
    assert breaker.enter() is not None


def test_late_answers_of_an_older_time_are_ignored(breaker: Breaker, hands: Hands) -> None:
    one, two = ticket(breaker), ticket(breaker)
    assert breaker.failed(one)
    assert not breaker.failed(two)
    assert not breaker.succeeded(two)
    hands.now += 1.1
    probe = ticket(breaker)
    assert not breaker.succeeded(one)
    assert breaker.succeeded(probe)
    assert not breaker.failed(two)
    assert breaker.position is Position.CLOSED


def test_a_probe_that_is_stopped_or_never_answers_does_not_hold_up_the_next(breaker: Breaker, hands: Hands) -> None:
    breaker.failed(ticket(breaker))
    hands.now += 1.1
    breaker.gave_up(ticket(breaker))
    silent = ticket(breaker)
    hands.now += 5.1
    assert breaker.succeeded(ticket(breaker))
    assert not breaker.failed(silent)
