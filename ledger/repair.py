"""The verbs of upkeep: rescue, due, rering. Every one is safe in any number of processes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, tuple_, update

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit, jobs, line, places, quarantine, settling
from ledger.rows import chunks, in_state, items, parts
from ledger.rows import jobs as job_rows
from ledger.session import Tx

SPLIT_AFTER = 2  # a chunk whose process died this often is split, so that one poison item takes no neighbour along
# An item alone in its chunk is given up after this many deaths, and its file put into quarantine. What a file does to the engine ends in
# the sandbox; a worker that dies was mostly killed from outside, and its item is innocent: so this is well above quarantine.CRASHES_MAX.
GIVE_UP_AFTER = 5
_NO_FILES = quarantine.Rule(0.0)


def rescue(tx: Tx, rule: quarantine.Rule = _NO_FILES, limit: int = 100) -> int:
    """Give chunks whose lease has ended back to the queue. One that keeps killing its process is split, then given up."""
    late = tx.execute(
        select(chunks.c.id, chunks.c.attempt)
        .where(in_state(chunks, "running"), chunks.c.lease_until < tx.now)
        .order_by(chunks.c.job_id, chunks.c.ordinal)
        .limit(limit)
    ).all()
    return sum(_rescue_one(tx, chunk.id, chunk.attempt, rule) for chunk in late)


def _rescue_one(tx: Tx, chunk_id: str, attempt: int, rule: quarantine.Rule) -> bool:
    job = jobs.lock(tx, chunk_id)
    # Read again under the lock: the attempt may have beaten or finished meanwhile.
    chunk = tx.execute(select(chunks).where(*jobs.ours(chunk_id, attempt), chunks.c.lease_until < tx.now)).one_or_none()
    if job is None or chunk is None:
        return False
    crashes, again = chunk.crashes + 1, places.again(job)
    pending = list(
        tx.execute(select(items.c.index).where(items.c.chunk_id == chunk_id, items.c.state == "pending").order_by(items.c.index)).scalars()
    )
    alone = len(pending) == 1
    give_up, split = alone and crashes >= GIVE_UP_AFTER, len(pending) > 1 and crashes >= SPLIT_AFTER
    moved = tx.execute(
        update(chunks)
        .where(*jobs.ours(chunk_id, attempt), chunks.c.lease_until < tx.now)
        .values(state="dead" if give_up or split else again, crashes=crashes, owner=None, lease_until=None, rung_at=None)
    )
    if moved.rowcount != 1:  # alive after all: a beat takes no lock on the job
        return False
    audit.record(tx, job.tenant_id, "upkeep", "chunk.rescued", job.id, chunk=chunk_id, attempt=attempt, crashes=crashes, split=split)
    if split:
        _split(tx, job, chunk, pending)
    if give_up:
        if job.kind in rule.kinds and chunk.engine_build is not None:
            _blame(tx, job, chunk, pending[0], crashes, rule)
        error = Failure("ENGINE_CRASH", {"attempts": attempt}).public()
        settling.settle_items(tx, job, attempt, [settling.Outcome(pending[0], error=error)])
        places.fill(tx, job)
        settling.close(tx, job)
    return True


def _split(tx: Tx, job: Row[Any], chunk: Row[Any], pending: Sequence[int]) -> None:
    """Put each item into a chunk of its own, innocent until its own process dies."""
    held = job.max_concurrency is not None or job.paused_at is not None
    share = chunk.cost / max(1, len(pending))
    new = [jobs.new_chunk(tx, job, job.chunks_made + place, held=held, cost=share) for place in range(len(pending))]
    tx.execute(insert(chunks), line.tagged(tx, job, new))
    tx.execute(
        update(items).where(items.c.job_id == job.id, items.c.index == bindparam("i")).values(chunk_id=bindparam("c")),
        [{"i": index, "c": f"{job.id}.{job.chunks_made + place}"} for place, index in enumerate(pending)],
    )
    tx.execute(update(job_rows).where(job_rows.c.id == job.id).values(chunks_made=job_rows.c.chunks_made + len(pending)))
    places.fill(tx, job)


def _blame(tx: Tx, job: Row[Any], chunk: Row[Any], index: int, crashes: int, rule: quarantine.Rule) -> None:
    """Put the one file that all these processes were reading into quarantine."""
    sha256 = tx.connection.scalar(
        select(parts.c.sha256).join(items, items.c.part_id == parts.c.id).where(items.c.job_id == job.id, items.c.index == index)
    )
    if sha256 is not None:
        quarantine.crashed(tx, job.tenant_id, sha256, chunk.engine_build, rule.seconds, "upkeep", job.id, crashes)


def due(tx: Tx, limit: int = 1000) -> int:
    """Chunks whose waiting time is over become queued, but for those of paused jobs: the first so many, the others at the next tick."""
    over = line.waiting(chunks.c.run_after <= tx.now, job_rows.c.paused_at.is_(None)).order_by(
        chunks.c.run_after, chunks.c.job_id, chunks.c.ordinal
    )
    return line.join(tx, tx.execute(over.limit(limit)).all())


def expire(tx: Tx, limit: int = 100) -> list[str]:
    """End jobs whose deadline has passed: what is done stays, the rest fails, running attempts can no longer commit.

    Answers the deliveries to ring. States are those of any job that ends: failed, or partial."""
    live = job_rows.c.state.in_(("queued", "running"))
    late = tx.execute(select(job_rows.c.id).where(live, job_rows.c.deadline <= tx.now).order_by(job_rows.c.id).limit(limit)).scalars().all()
    deliveries: list[str] = []
    taken: list[tuple[Row[Any], Sequence[Row[Any]]]] = []
    for job_id in late:
        job = tx.first(select(job_rows).where(job_rows.c.id == job_id, live).with_for_update())
        if job is not None:  # else it ended meanwhile
            taken.append((job, line.taken(tx, job_id)))
            deliveries += _expire_one(tx, job).deliveries
    for job, costs in taken:  # last, as every verb does: no two wait for each other
        line.refund(tx, job, costs)
    return deliveries


def _expire_one(tx: Tx, job: Row[Any]) -> settling.Settled:
    error = Failure("JOB_DEADLINE_PASSED", {"deadline": iso(job.deadline)}).public()
    tx.execute(
        update(chunks)
        .where(chunks.c.job_id == job.id, chunks.c.state.in_(("queued", "waiting", "running")))
        .values(state="cancelled", lease_until=None, rung_at=None)
    )
    left = tx.execute(
        update(items).where(items.c.job_id == job.id, items.c.state == "pending").values(state="failed", error=error, finished_at=tx.now)
    ).rowcount
    # A job that never began has no move to an end of its own: it runs for as long as this transaction lasts.
    tx.execute(update(job_rows).where(job_rows.c.id == job.id).values(state="running", failed=job_rows.c.failed + left, error=error))
    audit.record(tx, job.tenant_id, "upkeep", "job.expired", job.id, items=left)
    return settling.close(tx, job)


def rung(tx: Tx, before: float) -> list[tuple[str, float]]:
    """Chunks rung before a time and still not claimed, with that time."""
    rows = tx.execute(select(chunks.c.id, chunks.c.rung_at).where(line.rung(chunks.c.rung_at <= before)))
    return [(row.id, row.rung_at) for row in rows]


def rering(tx: Tx, chunk_ids: Sequence[str]) -> list[tuple[str, str, int]]:
    """Mark chunks whose ring was lost as rung now: (id, queue, step) of those still waiting for it."""
    rows = tx.execute(
        update(chunks)
        .where(chunks.c.id.in_(chunk_ids), chunks.c.state == "queued", chunks.c.rung_at.is_not(None))
        .values(rung_at=tx.now, rings=chunks.c.rings + 1)
        .returning(chunks.c.id, chunks.c.queue, chunks.c.step)
    )
    return [(row.id, row.queue, row.step) for row in rows]


def unrung(tx: Tx) -> list[tuple[str, int]]:
    """The (queue, step) pairs in which chunks are queued and not rung."""
    found: list[tuple[str, int]] = []
    pair = tuple_(chunks.c.queue, chunks.c.step)
    while True:  # from pair to pair along the index: DISTINCT would read every queued chunk
        behind = [pair > tuple_(*found[-1])] if found else []
        row = tx.first(select(chunks.c.queue, chunks.c.step).where(line.unrung(*behind)).order_by(chunks.c.queue, chunks.c.step).limit(1))
        if row is None:
            return found
        found.append((row.queue, row.step))
