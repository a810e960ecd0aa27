"""Waits between tries: the numbers of each growth, and their bounds in ten thousand cases."""

from __future__ import annotations

import random

import pytest

from foundation.resilience.retry import Growth, RetryPolicy

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
