"""The verbs of upkeep: rescue, due, rering. Every one is safe in any number of processes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from foundation.errors import Failure
from ledger import audit, jobs
from ledger.rows import chunks, items
from ledger.rows import jobs as job_rows
from ledger.session import Tx

SPLIT_AFTER = 2  # a chunk whose process died this often is split, so that one poison item takes no neighbour along
CRASHES_MAX = 3  # an item alone in its chunk is given up after this many deaths


def rescue(tx: Tx, limit: int = 100) -> int:
    """Give chunks whose lease has ended back to the queue. One that keeps killing its process is split, then given up."""
    late = tx.execute(
        select(chunks.c.id, chunks.c.attempt)
        .where(chunks.c.state == "running", chunks.c.lease_until < tx.now)
        .order_by(chunks.c.job_id, chunks.c.ordinal)
        .limit(limit)
    ).all()
    return sum(_rescue_one(tx, chunk.id, chunk.attempt) for chunk in late)


def _rescue_one(tx: Tx, chunk_id: str, attempt: int) -> bool:
    job = jobs.lock(tx, chunk_id)
    # Read again under the lock: the attempt may have beaten or finished meanwhile.
    chunk = tx.execute(select(chunks).where(*jobs.ours(chunk_id, attempt), chunks.c.lease_until < tx.now)).one_or_none()
    if job is None or chunk is None:
        return False
    crashes = chunk.crashes + 1
    pending = list(
        tx.execute(select(items.c.index).where(items.c.chunk_id == chunk_id, items.c.state == "pending").order_by(items.c.index)).scalars()
    )
    alone = len(pending) == 1
    give_up, split = alone and crashes >= CRASHES_MAX, not alone and crashes >= SPLIT_AFTER
    tx.execute(
        update(chunks)
        .where(*jobs.ours(chunk_id, attempt))
        .values(state="dead" if give_up or split else "queued", crashes=crashes, owner=None, lease_until=None, rung_at=None)
    )
    audit.record(tx, job.tenant_id, "upkeep", "chunk.rescued", job.id, chunk=chunk_id, attempt=attempt, crashes=crashes, split=split)
    if split:
        _split(tx, job, chunk, pending)
    if give_up:
        error = Failure("ENGINE_CRASH", {"attempts": attempt}).public()
        ghost = jobs.Claimed(chunk_id, attempt, attempt, crashes, job.id, job.tenant_id, job.kind, chunk.queue, chunk.step, {}, ())
        jobs.settle_items(tx, job, ghost, [jobs.Outcome(pending[0], error=error)])
        jobs.fill_places(tx, job)
        jobs.close(tx, job)
    return True


def _split(tx: Tx, job: Row[Any], chunk: Row[Any], pending: Sequence[int]) -> None:
    """Put each item into a chunk of its own. One crash is carried over, so that the culprit is found in two more."""
    held = job.max_concurrency is not None
    tx.execute(
        insert(chunks), [jobs.new_chunk(tx, job, job.chunks_made + place, held=held) | {"crashes": 1} for place in range(len(pending))]
    )
    tx.execute(
        update(items).where(items.c.job_id == job.id, items.c.index == bindparam("i")).values(chunk_id=bindparam("c")),
        [{"i": index, "c": f"{job.id}.{job.chunks_made + place}"} for place, index in enumerate(pending)],
    )
    tx.execute(update(job_rows).where(job_rows.c.id == job.id).values(chunks_made=job_rows.c.chunks_made + len(pending)))
    jobs.fill_places(tx, job)


def due(tx: Tx) -> int:
    """Chunks whose waiting time is over become queued."""
    return int(
        tx.execute(
            update(chunks)
            .where(chunks.c.state == "waiting", chunks.c.run_after <= tx.now)
            .values(state="queued", run_after=None, rung_at=None)
        ).rowcount
    )


def rung(tx: Tx, before: float) -> list[tuple[str, float]]:
    """Chunks rung before a time and still not claimed, with that time."""
    rows = tx.execute(
        select(chunks.c.id, chunks.c.rung_at).where(chunks.c.state == "queued", chunks.c.rung_at.is_not(None), chunks.c.rung_at <= before)
    )
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
    rows = tx.execute(select(chunks.c.queue, chunks.c.step).where(chunks.c.state == "queued", chunks.c.rung_at.is_(None)).distinct())
    return [(row.queue, row.step) for row in rows]
