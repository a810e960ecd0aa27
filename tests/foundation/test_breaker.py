"""What is dead costs few failures, is looked after by few, and what comes late is ignored."""

from __future__ import annotations

import random

import pytest

from foundation.resilience.breaker import MOVES, ONE_FAILURE, Breaker, BreakerPolicy, Event, Move, State
from foundation.resilience.retry import RetryPolicy
from tests.foundation.hands import Hands

PAUSES = RetryPolicy(1000, 1.0, 8.0)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def moves() -> list[Move]:
    return []


@pytest.fixture
def breaker(hands: Hands, moves: list[Move]) -> Breaker:
    """Half of the last ten, at least four; two probes in five seconds."""
    policy = BreakerPolicy(10, 4, 0.5, slow_seconds=2.0, slow_rate=0.5, probes=2, probe_seconds=5.0, pauses=PAUSES)
    return Breaker(policy, hands.clock, moves.append)


def let_in(breaker: Breaker) -> int:
    found = breaker.enter()
    assert found is not None
    return found


def call(breaker: Breaker, failed: bool, seconds: float = 0.0) -> None:
    breaker.leave(let_in(breaker), failed, seconds)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(breaker.policy.minimum):
        call(breaker, failed=True)
    assert breaker.state is State.OPEN
    return breaker


def test_too_few_failures_say_nothing(breaker: Breaker) -> None:
    for _ in range(3):
        call(breaker, failed=True)
    assert breaker.state is State.CLOSED


def test_a_share_of_failures_opens_it_and_nobody_asks_until_the_pause_is_over(breaker: Breaker, hands: Hands) -> None:
    for failed in (False, False, True, True):
        call(breaker, failed)
    assert breaker.state is State.OPEN
    hands.now += 0.99
    assert breaker.enter() is None
    hands.now += 0.02
    assert breaker.enter() is not None
    assert breaker.state is State.HALF_OPEN


def test_failures_beyond_the_window_are_forgotten(breaker: Breaker) -> None:
    for _ in range(3):
        for failed in (True, True, True, False, False, False, False, False, False, False)[::-1]:
            call(breaker, failed)
        for _ in range(10):
            call(breaker, failed=False)
        assert breaker.statistics().failing == 0
    assert breaker.state is State.CLOSED


def test_slow_answers_open_it_though_they_are_good(breaker: Breaker, moves: list[Move]) -> None:
    for seconds in (0.1, 2.0, 0.1, 3.0):
        call(breaker, failed=False, seconds=seconds)
    assert [(move.new, move.event) for move in moves] == [(State.OPEN, Event.TRIPPED)]


def test_a_slow_probe_opens_it_again(breaker: Breaker, hands: Hands) -> None:
    opened(breaker)
    hands.now += 1.1
    call(breaker, failed=False, seconds=2.5)
    assert breaker.state is State.OPEN


def test_two_callers_probe_at_a_time_and_both_must_succeed(breaker: Breaker, hands: Hands) -> None:
    opened(breaker)
    hands.now += 1.1
    one, two = let_in(breaker), let_in(breaker)
    assert breaker.enter() is None
    breaker.leave(one, failed=False)
    assert breaker.state is State.HALF_OPEN
    assert breaker.enter() is None
    breaker.leave(two, failed=False)
    assert breaker.state is State.CLOSED


def test_pauses_double_up_to_the_longest_and_begin_anew_after_success(breaker: Breaker, hands: Hands) -> None:
    opened(breaker)
    for pause in (1, 2, 4, 8, 8):
        hands.now += pause - 0.01
        assert breaker.enter() is None
        hands.now += 0.02
        call(breaker, failed=True)
    hands.now += 9
    call(breaker, failed=False)
    call(breaker, failed=False)
    assert breaker.state is State.CLOSED
    opened(breaker)
    hands.now += 1.01
    assert breaker.enter() is not None


def test_late_answers_of_an_older_generation_are_ignored(breaker: Breaker, hands: Hands) -> None:
    late = [let_in(breaker) for _ in range(4)]
    opened(breaker)
    breaker.leave(late.pop(), failed=False)
    assert breaker.state is State.OPEN
    hands.now += 1.1
    probe = let_in(breaker)
    breaker.leave(late.pop(), failed=False)
    breaker.leave(late.pop(), failed=True)
    assert breaker.state is State.HALF_OPEN
    breaker.leave(probe, failed=False)
    call(breaker, failed=False)
    assert breaker.state is State.CLOSED
    breaker.leave(late.pop(), failed=True)
    assert breaker.statistics().failing == 0
    assert breaker.statistics().inside == 0


def test_a_probe_that_is_stopped_gives_its_place_to_the_next(breaker: Breaker, hands: Hands) -> None:
    opened(breaker)
    hands.now += 1.1
    one, two = let_in(breaker), let_in(breaker)
    breaker.leave(one)
    three = let_in(breaker)
    breaker.leave(two, failed=False)
    breaker.leave(three, failed=False)
    assert breaker.state is State.CLOSED


def test_probes_that_never_answer_do_not_hold_it_for_ever(breaker: Breaker, hands: Hands) -> None:
    opened(breaker)
    hands.now += 1.1
    silent = [let_in(breaker), let_in(breaker)]
    hands.now += 5.1
    assert breaker.enter() is None  # their time is over: it counts as a failure
    assert breaker.state is State.OPEN
    hands.now += 2.1
    call(breaker, failed=False)
    breaker.leave(silent.pop(), failed=True)
    call(breaker, failed=False)
    assert breaker.state is State.CLOSED


def test_a_call_with_several_tries_hears_that_it_was_opened_meanwhile(breaker: Breaker) -> None:
    mine = let_in(breaker)
    assert breaker.hear(mine, failed=True, seconds=0.0)
    for _ in range(3):
        call(breaker, failed=True)
    assert not breaker.hear(mine, failed=True, seconds=0.0)
    breaker.leave(mine)
    assert breaker.statistics().inside == 0


def test_one_failure_opens_the_breaker_of_the_limiter_and_one_probe_closes_it(hands: Hands) -> None:
    breaker = Breaker(ONE_FAILURE, hands.clock)
    call(breaker, failed=True)
    assert breaker.enter() is None
    hands.now += 0.6
    probe = let_in(breaker)
    assert breaker.enter() is None
    breaker.leave(probe, failed=False)
    assert breaker.state is State.CLOSED


def test_every_move_of_a_random_life_is_in_the_table_and_its_numbers_add_up(hands: Hands) -> None:
    chance = random.Random(20261127)
    seen: set[tuple[State, Event]] = set()
    for _ in range(300):
        moves: list[Move] = []
        policy = BreakerPolicy(chance.randint(1, 8), 1, chance.uniform(0.1, 1), 1.0, 0.5, chance.randint(1, 3), 2.0, PAUSES)
        breaker, held, entered, rejected = Breaker(policy, hands.clock, moves.append), [], 0, 0
        for _ in range(200):
            hands.now += chance.choice((0.0, 0.1, 3.0))
            if held and chance.random() < 0.5:
                breaker.leave(held.pop(chance.randrange(len(held))), chance.choice((True, False, None)), chance.choice((0.0, 1.5)))
            elif (generation := breaker.enter()) is None:
                rejected += 1
            else:
                entered += 1
                held.append(generation)
                if breaker.state is State.HALF_OPEN:
                    assert held.count(breaker.generation) <= policy.probes
        assert all(MOVES[move.old][move.event] is move.new for move in moves)
        assert [move.generation for move in moves] == list(range(1, len(moves) + 1))
        told = breaker.statistics()
        assert (told.calls, told.rejected, told.inside) == (entered, rejected, len(held))
        seen |= {(move.old, move.event) for move in moves}
    assert seen == {(state, event) for state, row in MOVES.items() for event in row}


@pytest.mark.parametrize("wrong", [{"minimum": 0}, {"minimum": 21}, {"probes": 0}, {"failure_rate": 0.0}, {"probe_seconds": 0.0}])
def test_numbers_that_make_no_policy_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not a policy"):
        BreakerPolicy(**wrong)  # type: ignore[arg-type]
