"""A paused job starts nothing, whatever happens to it meanwhile, on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select, update

from foundation.errors import Failure
from ledger import changes, jobs, quarantine, queues, repair, rows, waiting
from ledger.chunking import ChunkSize
from ledger.inspection.findings import Patience
from ledger.inspection.rules import JOB_QUESTIONS
from ledger.session import Ledger
from tests.ledger.conftest import Desk


@pytest.fixture
def single(desk: Desk) -> Desk:
    """Jobs whose items are chunks of their own."""
    desk.size = ChunkSize(1, 10**9, 1)
    return desk


def pause(desk: Desk, job_id: str) -> None:
    with desk.ledger.write() as tx:
        changes.pause(tx, desk.tenant.id, job_id)


def resume(desk: Desk, job_id: str) -> None:
    with desk.ledger.write() as tx:
        changes.resume(tx, desk.tenant.id, job_id)


def states(desk: Desk, job_id: str) -> list[str]:
    with desk.ledger.read() as tx:
        return list(tx.execute(select(rows.chunks.c.state).where(rows.chunks.c.job_id == job_id).order_by(rows.chunks.c.ordinal)).scalars())


def nothing_starts(desk: Desk, job_id: str) -> bool:
    """Upkeep has done its round, and there is nothing of the job to ring or claim."""
    with desk.ledger.write() as tx:
        repair.due(tx)
    return not desk.ring() and not any(desk.claim(f"{job_id}.{ordinal}") for ordinal in range(6))


def findings(desk: Desk, job_id: str) -> list[str]:
    with desk.ledger.read() as tx:
        return [found.kind for question in JOB_QUESTIONS for found in question(tx, [job_id], Patience(lease=60.0, ring=60.0))]


@pytest.mark.parametrize("most", [None, 1, 2])
def test_what_runs_finishes_what_waits_stays_and_all_goes_on_where_it_was(single: Desk, most: int | None) -> None:
    job_id = single.add(4, max_concurrency=most)
    running = single.must_claim(single.ring()[0])
    pause(single, job_id)
    assert states(single, job_id) == ["running", "waiting", "waiting", "waiting"]
    assert nothing_starts(single, job_id)
    assert findings(single, job_id) == [], "the doctor takes a paused job for a sick one"
    single.finish(running)
    assert nothing_starts(single, job_id), "a chunk that ended has let another one up"
    job = single.job(job_id)
    assert (job["state"], str(job["paused_at"])[:19]) == ("running", "2027-01-15T08:00:00")
    resume(single, job_id)
    while rung := single.ring():
        assert len(rung) <= (most or 4)
        for chunk in rung:
            single.finish(single.must_claim(chunk))
    job = single.job(job_id)
    assert (job["state"], job["paused_at"], single.counts(job_id)) == ("succeeded", None, (4, 0, 0, 0))


def test_attempts_that_end_in_another_way_do_not_start_anew_before_the_job_is_resumed(single: Desk) -> None:
    job_id = single.add(4)
    handed, failed, crashed, late = (single.must_claim(chunk) for chunk in single.ring())
    with single.ledger.write() as tx:
        jobs.fail(tx, late, [], Failure("PROBE_UNSTEADY").public(), tx.now + 5)
    single.hand.time += 5
    with single.ledger.write() as tx:
        assert repair.due(tx) == 1
    (again,) = single.ring()
    late = single.must_claim(again)
    pause(single, job_id)
    with single.ledger.write() as tx:
        jobs.hand_back(tx, handed)
        jobs.fail(tx, failed, [], Failure("PROBE_UNSTEADY").public(), tx.now + 5)
        jobs.fail(tx, late, [], Failure("PROBE_UNSTEADY").public(), None)
    single.hand.time += 100
    with single.ledger.write() as tx:
        assert repair.rescue(tx, quarantine.Rule(0.0)) == 1
    assert crashed.chunk_id
    assert states(single, job_id) == ["waiting", "waiting", "waiting", "dead"]
    assert nothing_starts(single, job_id)
    resume(single, job_id)
    with single.ledger.write() as tx:
        assert repair.due(tx) == 1, "the retry, whose time came while the job was paused"
    for chunk in single.ring():
        single.finish(single.must_claim(chunk))
    assert single.counts(job_id) == (3, 1, 0, 0)


def test_a_chunk_split_while_its_job_is_paused_waits_in_pieces(desk: Desk) -> None:
    job_id = desk.add(3)
    for _ in range(2):
        desk.must_claim(desk.ring()[0])
        if _:
            pause(desk, job_id)
        desk.hand.time += 100
        with desk.ledger.write() as tx:
            repair.rescue(tx)
    assert states(desk, job_id) == ["dead", "waiting", "waiting", "waiting"]
    assert nothing_starts(desk, job_id)
    resume(desk, job_id)
    assert len(desk.ring()) == 3


def test_what_became_due_in_the_moment_of_the_pause_is_refused_by_its_claim(single: Desk) -> None:
    """On PostgreSQL upkeep may have looked at the job before it was paused and queue a chunk after that."""
    job_id = single.add(2)
    pause(single, job_id)
    with single.ledger.write() as tx:
        tx.execute(update(rows.chunks).where(rows.chunks.c.id == f"{job_id}.1").values(state="queued", rung_at=tx.now))
    assert single.claim(f"{job_id}.1") is None
    assert states(single, job_id) == ["waiting", "waiting"]
    resume(single, job_id)
    assert len(single.ring()) == 2


def test_a_pause_survives_the_process_and_can_be_cancelled_or_run_into_its_deadline(
    single: Desk, new_ledger: Callable[..., Ledger]
) -> None:
    cancelled, late = single.add(2), single.add(2, deadline=single.hand.time + 60)
    pause(single, cancelled)
    pause(single, late)
    after = Desk(new_ledger(single.hand.clock()), single.tenant, single.hand, single.size)
    assert nothing_starts(after, cancelled)
    assert nothing_starts(after, late)
    with after.ledger.write() as tx:
        changes.cancel(tx, after.tenant.id, cancelled)
    after.hand.time += 61
    with after.ledger.write() as tx:
        repair.expire(tx)
    assert [(after.job(one)["state"], after.job(one)["paused_at"]) for one in (cancelled, late)] == [("cancelled", None), ("failed", None)]
    with after.ledger.write() as tx:
        changes.retry(tx, after.tenant.id, late, after.size)
    assert len(after.ring()) == 2, "a retried job is not paused any more"


def test_it_tells_that_it_is_paused_and_makes_no_estimate(single: Desk) -> None:
    job_id = single.add(2, max_concurrency=1)
    with single.ledger.write() as tx:
        queues.beat(tx, "worker", ["probe"], 2)
    pause(single, job_id)
    with single.ledger.read() as tx:
        told = waiting.why(tx, job_id)
    assert told is not None
    assert [block["what"] for block in told["blocked_by"]] == ["job_paused"]
    assert (told["estimate_seconds"], told["place"], told["chunks"]["held"]) == (None, None, 2)
    assert "the job is paused since 2027-01-15" in told["sentence"]


def test_a_paused_flow_gets_its_turns_back(single: Desk) -> None:
    """Pausing a flood and asking for something else is not to be charged for the flood."""
    flood = single.add(200)
    pause(single, flood)
    single.add(1)
    other = single.add(3)
    assert set(single.ring(4)) >= {f"{other}.0"}
    with single.ledger.read() as tx:
        turn = tx.connection.scalar(select(rows.chunks.c.turn).where(rows.chunks.c.id == f"{other}.0"))
    assert turn < 5


def test_only_a_job_that_goes_on_is_paused_and_only_a_paused_one_resumed(single: Desk) -> None:
    job_id = single.add(1)
    for verb, code in ((resume, "JOB_NOT_PAUSED"), (pause, ""), (pause, "JOB_PAUSED")):
        if code:
            with pytest.raises(Failure, match=code):
                verb(single, job_id)
        else:
            verb(single, job_id)
    resume(single, job_id)
    single.finish(single.must_claim(single.ring()[0]))
    for verb in (pause, resume):
        with pytest.raises(Failure, match="JOB_FINISHED"):
            verb(single, job_id)
        with pytest.raises(Failure, match="JOB_NOT_FOUND"):
            verb(single, "job_of_nobody")
