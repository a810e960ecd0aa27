"""The short form of the campaign: 300 items, 10 faults. `make faults` has the long one, on both databases, and the mutants."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from foundation.clock import SYSTEM
from ledger import jobs, repair, settling, tenants
from ledger.chunking import ChunkSize
from ledger.session import Ledger
from tests.faults.campaign import inside, moves, oracle, plan
from tests.faults.campaign.ear import Ear
from tests.faults.campaign.oracle import Verdict
from tests.faults.campaign.plan import Blow, Struck
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


def test_the_judge_calls_a_webhook_doubled_that_no_fault_explains() -> None:
    blows = [("F11 http", "bit", 10.0), ("F5", "bit", 50.0), ("F11 http", "", 30.0)]
    struck = [Struck(Blow(number, kind, 0, 0), bite, at, at + 1) for number, (kind, bite, at) in enumerate(blows)]
    verdict = Verdict()
    with Ear(1) as ear:
        ear.times = {"job_a": [10.0, 12.0], "job_b": [50.0, 51.0], "job_c": [10.0], "job_d": [30.0, 31.0]}
        oracle._judge_repeats(verdict, ear, struck)
    assert verdict.webhooks_repeated == 3
    assert [told.split()[3] for told in verdict.duplicated] == ["job_b", "job_d"], "FLUSHALL takes no commit along, and one did not bite"


@pytest.mark.parametrize("fenced", [True, False])
def test_without_the_fence_a_stale_attempt_ends_a_chunk_and_the_judge_sees_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, fenced: bool
) -> None:
    monkeypatch.setattr(jobs, "ours", jobs.ours)
    if not fenced:
        inside.MUTATIONS["fence"]()
    with ledger.write() as tx:
        job = jobs.NewJob(
            id=SYSTEM.new_id("job"), tenant_id=tenants.add(tx, "one").id, kind="probe", queue="probe", priority="normal", step=6, input={},
            items=[jobs.NewItem(payload={})], size=ChunkSize(10, 10**9, 1),
        )  # fmt: skip
        jobs.add(tx, job)
    with ledger.write() as tx:
        frozen = jobs.claim(tx, f"{job.id}.0", "frozen", -1.0)
    with ledger.write() as tx:
        assert repair.rescue(tx) == 1
    with ledger.write() as tx:
        assert jobs.claim(tx, f"{job.id}.0", "other", 60.0) is not None
    assert frozen is not None
    with ledger.write() as tx:
        settled = jobs.finish(tx, frozen, [settling.Outcome(0, result={"attempt": 1})])
    verdict = Verdict()
    oracle._judge_commits(verdict, oracle._Store.read(ledger))
    assert (settled is None) == fenced
    assert verdict.bad == ([] if fenced else [f"chunk {job.id}.0 was ended by the stale attempt 1"])
