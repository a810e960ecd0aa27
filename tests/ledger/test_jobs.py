"""The verbs of a job, each on SQLite and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from foundation.errors import Failure
from ledger import changes, delivery_views, jobs
from ledger.chunking import ChunkSize
from ledger.rows import audit, chunks, items
from ledger.settling import Outcome
from ledger.webhook_rows import deliveries
from tests.ledger.conftest import Desk


def test_a_job_is_cut_into_chunks_and_every_item_is_in_one(desk: Desk) -> None:
    job_id = desk.add(25)
    with desk.ledger.read() as tx:
        rows = tx.execute(select(items.c.index, items.c.chunk_id).where(items.c.job_id == job_id).order_by(items.c.index)).all()
    assert [row.index for row in rows] == list(range(25))
    assert {row.chunk_id for row in rows} == {f"{job_id}.0", f"{job_id}.1", f"{job_id}.2"}


def test_a_finished_chunk_writes_results_counters_and_audit_in_one_commit(desk: Desk) -> None:
    job_id = desk.add(10, callback_url="https://example.com/hook")
    settled = desk.finish(desk.must_claim(desk.ring()[0]), 3)
    assert settled is not None
    assert settled.job_state == "partial"
    assert desk.counts(job_id) == (9, 1, 0, 0)
    with desk.ledger.read() as tx:
        trail = tx.execute(select(audit.c.action).where(audit.c.subject == job_id).order_by(audit.c.seq)).scalars().all()
        owed = tx.execute(select(deliveries.c.event).where(deliveries.c.job_id == job_id)).scalars().all()
    assert trail == ["job.accepted", "chunk.done", "job.partial"]
    assert owed == ["job.partial"]


@pytest.mark.parametrize(("failed", "state"), [((), "succeeded"), ((0,), "partial"), (tuple(range(10)), "failed")])
def test_a_job_ends_as_its_items_did(desk: Desk, failed: tuple[int, ...], state: str) -> None:
    job_id = desk.add(10)
    desk.finish(desk.must_claim(desk.ring()[0]), *failed)
    assert desk.job(job_id)["state"] == state


def test_a_double_ring_is_dropped_by_the_claim(desk: Desk) -> None:
    desk.add(10)
    (chunk,) = desk.ring()
    assert desk.claim(chunk) is not None
    assert desk.claim(chunk) is None
    assert desk.claim("job_that_never_was.0") is None


def test_of_many_claims_at_once_one_gets_the_chunk(desk: Desk) -> None:
    desk.add(10)
    (chunk,) = desk.ring()
    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(desk.claim, [chunk] * 8))
    assert sum(claimed is not None for claimed in got) == 1


def test_a_second_finish_of_one_attempt_writes_nothing(desk: Desk) -> None:
    job_id = desk.add(10)
    claimed = desk.must_claim(desk.ring()[0])
    assert desk.finish(claimed) is not None
    assert desk.finish(claimed, 1, 2, 3) is None
    assert desk.counts(job_id) == (10, 0, 0, 0)


def test_many_finishes_at_once_count_every_item_once(desk: Desk) -> None:
    desk.size = ChunkSize(1, 10**9, 1)
    job_id = desk.add(40)
    claimed = [desk.must_claim(chunk) for chunk in desk.ring()]
    with ThreadPoolExecutor(8) as pool:
        settled = list(pool.map(desk.finish, [*claimed, *claimed]))
    assert sum(one is not None for one in settled) == 40
    assert sum(one is not None and one.job_state == "succeeded" for one in settled) == 1
    assert desk.counts(job_id) == (40, 0, 0, 0)


def test_a_failed_attempt_keeps_what_it_did_and_waits_with_the_rest(desk: Desk) -> None:
    job_id = desk.add(10)
    claimed = desk.must_claim(desk.ring()[0])
    with desk.ledger.write() as tx:
        done = [Outcome(index, result={}) for index in range(4)]
        settled = jobs.fail(tx, claimed, done, Failure("PROBE_UNSTEADY").public(), tx.now + 30)
    assert settled is not None
    assert settled.job_state == "running"
    assert desk.counts(job_id) == (4, 0, 0, 6)
    assert desk.ring() == []
    from ledger import repair

    desk.hand.time += 31
    with desk.ledger.write() as tx:
        assert repair.due(tx) == 1
    again = desk.must_claim(desk.ring()[0])
    assert again.attempt == 2
    assert [item.index for item in again.items] == list(range(4, 10))


def test_a_dead_attempt_fails_the_items_it_left(desk: Desk) -> None:
    job_id = desk.add(10)
    claimed = desk.must_claim(desk.ring()[0])
    with desk.ledger.write() as tx:
        jobs.fail(tx, claimed, [Outcome(0, result={})], Failure("ENGINE_DEFECT").public(), None)
    assert desk.counts(job_id) == (1, 9, 0, 0)
    assert desk.job(job_id)["state"] == "partial"


def test_max_concurrency_holds_chunks_back_until_a_place_is_free(desk: Desk) -> None:
    desk.add(50, max_concurrency=2)
    first = desk.ring()
    assert len(first) == 2
    assert desk.ring() == []
    one, two = (desk.must_claim(chunk) for chunk in first)
    assert desk.ring() == []
    desk.finish(one)
    third = desk.ring()
    assert len(third) == 1
    desk.finish(two)
    desk.finish(desk.must_claim(third[0]))
    assert len(desk.ring()) == 2
    with desk.ledger.read() as tx:
        assert tx.execute(select(chunks.c.id).where(chunks.c.state == "waiting")).all() == []


def test_the_window_bounds_what_is_rung_and_unclaimed(desk: Desk) -> None:
    desk.add(100)
    first = desk.ring(window=4)
    assert len(first) == 4
    assert desk.ring(window=4) == []
    desk.must_claim(first[0])
    assert len(desk.ring(window=4)) == 1


def test_chunks_are_rung_in_the_order_they_were_asked_for(desk: Desk) -> None:
    early = desk.add(30)
    desk.hand.time += 1
    late = desk.add(30)
    assert desk.ring() == [f"{early}.{n}" for n in range(3)] + [f"{late}.{n}" for n in range(3)]


def test_a_cancelled_job_is_final_and_refuses_the_commit_of_a_running_attempt(desk: Desk) -> None:
    job_id = desk.add(30, callback_url="https://example.com/hook")
    done, running, _ = (desk.must_claim(chunk) for chunk in desk.ring())
    desk.finish(done)
    with desk.ledger.write() as tx:
        settled = changes.cancel(tx, desk.tenant.id, job_id)
    assert settled.job_state == "cancelled"
    assert len(settled.deliveries) == 1
    with desk.ledger.write() as tx:
        assert jobs.beat(tx, running.chunk_id, running.attempt, 60) is False
    assert desk.finish(running) is None
    assert desk.counts(job_id) == (10, 0, 20, 0)
    assert desk.job(job_id)["state"] == "cancelled"
    with desk.ledger.write() as tx, pytest.raises(Failure, match="JOB_FINISHED"):
        changes.cancel(tx, desk.tenant.id, job_id)


def test_a_retry_does_the_failed_items_again_as_a_new_generation(desk: Desk) -> None:
    job_id = desk.add(30)
    for chunk in desk.ring():
        desk.finish(desk.must_claim(chunk), 5, 17, 29)
    assert desk.counts(job_id) == (27, 3, 0, 0)
    with desk.ledger.write() as tx:
        changes.retry(tx, desk.tenant.id, job_id, desk.size)
    assert desk.job(job_id)["generation"] == 2
    (chunk,) = desk.ring()
    claimed = desk.must_claim(chunk)
    assert [item.index for item in claimed.items] == [5, 17, 29]
    settled = desk.finish(claimed)
    assert settled is not None
    assert settled.job_state == "succeeded"
    with desk.ledger.write() as tx, pytest.raises(Failure, match="JOB_NOT_RETRYABLE"):
        changes.retry(tx, desk.tenant.id, job_id, desk.size)


def test_a_chunk_handed_back_is_free_for_the_next_worker_at_once(desk: Desk) -> None:
    desk.add(10)
    claimed = desk.must_claim(desk.ring()[0])
    with desk.ledger.write() as tx:
        assert jobs.hand_back(tx, claimed)
    assert desk.finish(claimed) is None
    assert desk.must_claim(desk.ring()[0]).attempt == 2


def test_a_tenant_cannot_touch_anothers_job(desk: Desk) -> None:
    job_id = desk.add(10)
    for verb in (lambda tx: changes.cancel(tx, "ten_other", job_id), lambda tx: changes.retry(tx, "ten_other", job_id, desk.size)):
        with pytest.raises(Failure, match="JOB_NOT_FOUND"), desk.ledger.write() as tx:
            verb(tx)


def test_a_transaction_that_fails_leaves_no_trace(desk: Desk) -> None:
    job_id = desk.add(10)
    claimed = desk.must_claim(desk.ring()[0])
    with pytest.raises(RuntimeError, match="power cut"), desk.ledger.write() as tx:
        jobs.finish(tx, claimed, [Outcome(0, result={})])
        raise RuntimeError("power cut")
    assert desk.counts(job_id) == (0, 0, 0, 10)
    assert desk.finish(claimed) is not None


def test_a_webhook_is_owed_only_if_the_end_of_the_job_committed(desk: Desk) -> None:
    job_id = desk.add(10, callback_url="https://example.com/hook")
    claimed = desk.must_claim(desk.ring()[0])
    with pytest.raises(RuntimeError, match="power cut"), desk.ledger.write() as tx:
        jobs.finish(tx, claimed, [Outcome(item.index, result={}) for item in claimed.items])
        raise RuntimeError("power cut")
    with desk.ledger.read() as tx:
        assert delivery_views.of_job(tx, desk.tenant.id, job_id) == []
