"""Jobs that have to be done by a time."""

from __future__ import annotations

import pytest

from ledger import changes, jobs, repair
from ledger.rows import audit
from tests.ledger.conftest import Desk


def expire(desk: Desk) -> list[str]:
    with desk.ledger.write() as tx:
        return repair.expire(tx)


@pytest.mark.parametrize(("done", "state"), [(0, "failed"), (1, "partial")])
def test_at_the_deadline_what_is_not_done_fails_and_the_rest_stays(desk: Desk, done: int, state: str) -> None:
    job_id = desk.add(30, deadline=desk.hand.time + 60, callback_url="https://example.com/hook")
    claimed = [desk.must_claim(chunk) for chunk in desk.ring()[:2]]
    for each in claimed[:done]:
        desk.finish(each)
    assert expire(desk) == []
    desk.hand.time += 60
    assert len(expire(desk)) == 1, "the webhook is owed"
    assert expire(desk) == []
    job = desk.job(job_id)
    assert (job["state"], job["error"]["code"]) == (state, "JOB_DEADLINE_PASSED")  # type: ignore[index]
    assert desk.counts(job_id) == (10 * done, 30 - 10 * done, 0, 0)
    with desk.ledger.write() as tx:
        assert not jobs.beat(tx, claimed[1].chunk_id, 1, 60), "it is told to stop"
        assert "job.expired" in tx.execute(audit.select().with_only_columns(audit.c.action)).scalars().all()
    assert desk.finish(claimed[1]) is None
    assert desk.ring() == []


def test_a_job_that_never_began_and_one_that_ended_in_time_are_told_apart(desk: Desk) -> None:
    late, early = desk.add(10, deadline=desk.hand.time + 60), desk.add(10, deadline=desk.hand.time + 60)
    desk.finish(desk.must_claim(f"{early}.0"))
    desk.hand.time += 61
    expire(desk)
    assert (desk.job(late)["state"], desk.job(early)["state"]) == ("failed", "succeeded")
    assert desk.job(late)["started_at"] is None


def test_a_retry_drops_a_deadline_that_has_passed(desk: Desk) -> None:
    job_id = desk.add(10, deadline=desk.hand.time + 60)
    desk.hand.time += 61
    expire(desk)
    with desk.ledger.write() as tx:
        changes.retry(tx, desk.tenant.id, job_id, desk.size)
    assert expire(desk) == []
    desk.finish(desk.must_claim(desk.ring()[0]))
    job = desk.job(job_id)
    assert (job["state"], job["error"], job["deadline"]) == ("succeeded", None, None)
