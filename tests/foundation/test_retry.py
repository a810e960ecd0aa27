"""Waits between tries: the numbers of each growth, and their bounds in ten thousand cases."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import hypothesis
import pytest
from hypothesis import strategies as st

from foundation.resilience.retry import COST, COST_OF_TIMEOUT, STEPS, Growth, Heard, RetryBudget, RetryPolicy, Step, Tries
from tests.foundation.hands import Hands

GROWTHS: tuple[Growth, ...] = ("fixed", "linear", "exponential", "fibonacci")


@pytest.mark.parametrize(
    ("growth", "waits"),
    [("fixed", [1, 1, 1, 1, 1]), ("linear", [1, 2, 3, 4, 5]), ("exponential", [1, 2, 4, 8, 16]), ("fibonacci", [1, 1, 2, 3, 5])],
)
def test_the_first_five_waits_are_those_of_the_growth(growth: Growth, waits: list[int]) -> None:
    policy = RetryPolicy(6, 1, 1000, growth=growth)
    assert [policy.wait(made, 0.0) for made in range(1, 6)] == waits
    assert policy.wait(6, 0.0) is None


def test_a_wait_is_never_beyond_its_bounds_in_ten_thousand_cases() -> None:
    chance = random.Random(20261126)
    for _ in range(10_000):
        growth, first, jitter, dice = chance.choice(GROWTHS), 10 ** chance.uniform(-3, 4), chance.random(), chance.random()
        most, made = first * 10 ** chance.uniform(0, 6), int(10 ** chance.uniform(0, 5))
        policy = RetryPolicy(10**7, first, most, jitter, growth)
        full, thrown, later = policy.wait(made, 0.0), policy.wait(made, dice), policy.wait(made + 1, 0.0)
        assert full is not None
        assert thrown is not None
        assert later is not None
        assert first <= full <= later <= most, policy
        assert full * (1 - jitter) <= thrown * (1 + 1e-9), (policy, dice)
        assert 0 <= thrown <= full, (policy, dice)


@pytest.mark.parametrize("growth", GROWTHS)
def test_a_policy_ends_after_its_tries(growth: Growth) -> None:
    for tries in range(1, 50):
        policy = RetryPolicy(tries, 1, 60, growth=growth)
        assert sum(policy.wait(made, 0.5) is not None for made in range(1, tries + 10)) == tries - 1


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 2, 1), (1, 1, float("inf")), (1, 1, 1, 1.5)])
def test_numbers_that_make_no_policy_are_refused(wrong: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="not a policy"):
        RetryPolicy(*wrong)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    policy: RetryPolicy
    dice: float
    deadline: float
    timeout: bool


def case(number: int) -> Case:
    """Every number is a case; one draw of Hypothesis instead of eight, for it is what takes the time."""

    def part(of: int) -> int:
        nonlocal number
        number, found = divmod(number, of)
        return found

    first = 10 ** (part(7) - 3.0)
    policy = RetryPolicy(1 + part(12), first, first * 10 ** (part(9) / 2), part(11) / 10, GROWTHS[part(4)])
    return Case(policy, part(11) / 10, 10 ** (part(11) / 2 - 1), bool(part(2)))


@hypothesis.settings(max_examples=10_000, deadline=None, database=None)
@hypothesis.given(st.integers(0, 7 * 12 * 9 * 11 * 4 * 11 * 11 * 2 - 1).map(case))
def test_waits_stay_in_their_bounds_and_every_call_ends(case: Case) -> None:
    """A call that always fails: its tries, the time it takes and the tokens it costs are bounded in ten thousand cases."""
    hands, policy = Hands(), case.policy
    clock = replace(hands.clock, dice=lambda: case.dice)
    budget = RetryBudget(clock, tokens=50.0, trickle=0.001)
    tries = Tries(policy, clock, hands.now, case.deadline, budget)
    total, made = 0.0, 0
    while (wait := tries.hear(Heard.FAULT, case.timeout)) is not None:
        made += 1
        full = policy.wait(made, 0.0)
        assert full is not None
        assert full * (1 - policy.jitter) * (1 - 1e-9) <= wait <= full <= policy.most_seconds
        hands.now += wait
        total += wait
        tries.hear(Heard.WAITED)
    assert tries.step is Step.GIVEN_UP
    assert made <= policy.tries - 1
    assert made <= (50 + 0.001 * total) / (COST_OF_TIMEOUT if case.timeout else COST) + 1e-6
    assert total <= min(case.deadline, (policy.tries - 1) * policy.most_seconds) * (1 + 1e-9)


@pytest.mark.parametrize("growth", GROWTHS)
def test_waits_never_shrink_and_converge_to_the_longest(growth: Growth) -> None:
    policy = RetryPolicy(10_000, 1, 60, jitter=0.0, growth=growth)
    waits = [policy.wait(made, 0.0) or 0.0 for made in range(1, 10_000)]
    assert waits == sorted(waits)
    assert waits[-1] == (1 if growth == "fixed" else 60)


def test_a_retry_that_succeeds_gives_its_tokens_back() -> None:
    hands = Hands()
    budget = RetryBudget(hands.clock)
    tries = Tries(RetryPolicy(3, 1, 1), hands.clock, hands.now, 60, budget)
    tries.hear(Heard.FAULT, timeout=True)
    assert budget.tokens == 500 - COST_OF_TIMEOUT
    tries.hear(Heard.WAITED)
    tries.hear(Heard.GOOD)
    assert budget.tokens == 500


def test_a_state_that_has_ended_has_no_way_out() -> None:
    assert not STEPS[Step.SUCCEEDED]
    assert not STEPS[Step.GIVEN_UP]
    assert set(STEPS) == set(Step)
