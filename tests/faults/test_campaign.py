"""The short form of the campaign: 300 items, 10 faults. `make faults` has the long one, on both databases, and the mutants."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.faults.campaign import moves, plan
from tests.faults.campaign.run import Aim, campaign

SEEDS = (9, 8)
"""The second one only where the faults of the first found nothing to bite, which a busy machine can bring about."""


@pytest.mark.timeout(400)
def test_a_short_campaign_loses_nothing_and_does_nothing_twice(tmp_path: Path) -> None:
    for seed in SEEDS:
        outcome = campaign(Aim(seed, items=300, faults=10, deadline=120), tmp_path / str(seed))
        assert outcome.verdict.bad == []
        assert outcome.verdict.items == 300
        if not outcome.verdict.void:
            return
    pytest.fail(f"void twice: {outcome.verdict.void}")


def test_a_campaign_follows_from_its_seed() -> None:
    assert plan.schedule(1, 10_000, 64) == plan.schedule(1, 10_000, 64) != plan.schedule(2, 10_000, 64)
    assert plan.work(1, 1000) == plan.work(1, 1000) != plan.work(2, 1000)
    assert sum(asking.items for asking in plan.work(3, 10_000)) == 10_000
    long = Counter(blow.kind for blow in plan.schedule(1, 10_000, 64).blows)
    assert set(long) == set(plan.ROUND), "every kind of fault comes"
    assert len(plan.schedule(1, 10_000, 64).blows) == 64
    for seed in range(20):
        assert set(plan.NEEDED) <= {blow.kind for blow in plan.schedule(seed, 300, 10).blows}


def test_the_judge_sees_an_illegal_move_and_an_end_written_twice() -> None:
    good = [("items", "j 0", "pending", "succeeded"), ("jobs", "j", "running", "succeeded")]
    assert moves.illegal(good) == moves.recorded_twice(good) == []
    again = [("items", "j 0", "succeeded", "succeeded")]
    assert moves.illegal(again) == ["items j 0: succeeded -> succeeded"]
    assert moves.recorded_twice(good + again) == ["j 0"]
    assert moves.illegal([("jobs", "j", "cancelled", "succeeded")])
