"""Changing one's mind about a job: cancel it, pause it for a while, or do its failed items again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, bindparam, insert, select, update

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit, jobs, line, places, quotas, recorded, settling, telling
from ledger.chunking import ChunkSize, cut
from ledger.rows import chunks, items
from ledger.rows import jobs as job_rows
from ledger.session import Tx
from ledger.states import ended


def cancel(tx: Tx, tenant_id: str, job_id: str) -> settling.Settled:
    """End a job now: what is done stays, the rest is cancelled, and running attempts can no longer commit.

    Raises JOB_NOT_FOUND, JOB_FINISHED."""
    job = _going(tx, tenant_id, job_id)
    taken = line.taken(tx, job_id)
    tx.execute(
        update(chunks)
        .where(chunks.c.job_id == job_id, chunks.c.state.in_(("queued", "waiting", "running")))
        .values(state="cancelled", lease_until=None, rung_at=None)
    )
    stopped = tx.execute(
        update(items)
        .where(items.c.job_id == job_id, items.c.state == "pending")
        .values(state="cancelled", error=Failure("JOB_CANCELLED").public(), finished_at=tx.now)
    ).rowcount
    row = tx.execute(
        update(job_rows)
        .where(job_rows.c.id == job_id, job_rows.c.state.in_(("queued", "running")))
        .values(state="cancelled", cancelled=job_rows.c.cancelled + stopped, finished_at=tx.now, paused_at=None)
        .returning(*job_rows.c)
    ).one()
    line.refund(tx, job, taken)
    return settling.announce(tx, row)


def pause(tx: Tx, tenant_id: str, job_id: str) -> None:
    """Start nothing more of a job until it is resumed; what runs finishes. Its deadline stands, and it can be cancelled.

    Raises JOB_NOT_FOUND, JOB_FINISHED, JOB_PAUSED."""
    job = _going(tx, tenant_id, job_id)
    if job.paused_at is not None:
        raise Failure("JOB_PAUSED", {"since": iso(job.paused_at)})
    taken = line.taken(tx, job_id)
    tx.execute(update(job_rows).where(job_rows.c.id == job_id).values(paused_at=tx.now))
    places.hold(tx, chunks.c.job_id == job_id)
    audit.record(tx, tenant_id, "api", "job.paused", job_id)
    telling.job(tx, job, paused_at=tx.now)
    line.refund(tx, job, taken)


def resume(tx: Tx, tenant_id: str, job_id: str) -> None:
    """Let a paused job go on, at the end of the line; the caller rings. Raises JOB_NOT_FOUND, JOB_FINISHED, JOB_NOT_PAUSED."""
    if _going(tx, tenant_id, job_id).paused_at is None:
        raise Failure("JOB_NOT_PAUSED")
    job = tx.execute(update(job_rows).where(job_rows.c.id == job_id).values(paused_at=None).returning(*job_rows.c)).one()
    audit.record(tx, tenant_id, "api", "job.resumed", job_id)
    telling.job(tx, job)
    if job.max_concurrency is None:
        places.let_up(tx, job)
    else:
        places.fill(tx, job)


def retry(tx: Tx, tenant_id: str, job_id: str, size: ChunkSize, code: str | None = None) -> tuple[str, ...]:
    """Queue the failed items of an ended job again, as a new generation; with a `code` only those that failed with it.

    Answers the deliveries to ring. Raises JOB_NOT_FOUND, JOB_NOT_RETRYABLE, QUOTA_EXCEEDED, TENANT_DISABLED."""
    job = _of_tenant(tx, tenant_id, job_id)
    if job.state not in ("failed", "partial") or job.rolled_back_at is not None:
        raise Failure("JOB_NOT_RETRYABLE", {"state": job.state, "rolled_back_at": iso(job.rolled_back_at)})
    failed = select(items.c.index, items.c.bytes).where(items.c.job_id == job_id, items.c.state == "failed").order_by(items.c.index)
    again = tx.execute(failed if code is None else failed.where(recorded.has_code(items.c.error, code))).all()
    if not again:
        raise Failure("JOB_NOT_RETRYABLE", {"state": job.state, "items_with_code": 0})
    quotas.start_job(tx, tenant_id)
    runs = cut([row.bytes for row in again], size)
    costs = [size.share(len(run), sum(again[at].bytes for at in run)) for run in runs]
    new = [jobs.new_chunk(tx, job, job.chunks_made + place, held=jobs.beyond(job, place), cost=cost) for place, cost in enumerate(costs)]
    tx.execute(insert(chunks), line.tagged(tx, job, new))
    tx.execute(
        update(items)
        .where(items.c.job_id == job_id, items.c.index == bindparam("i"), items.c.state == "failed")
        .values(state="pending", chunk_id=bindparam("c"), error=None, finished_at=None),
        [{"i": again[at].index, "c": f"{job_id}.{job.chunks_made + place}"} for place, run in enumerate(runs) for at in run],
    )
    queued = tx.execute(
        update(job_rows)
        .where(job_rows.c.id == job_id, job_rows.c.state == job.state)
        .values(
            state="queued",
            generation=job_rows.c.generation + 1,
            failed=job_rows.c.failed - len(again),
            chunks_made=job_rows.c.chunks_made + len(runs),
            finished_at=None,
            error=None,
            deadline=None if job.deadline is not None and job.deadline <= tx.now else job.deadline,
        )
        .returning(*job_rows.c)
    ).one()
    audit.record(tx, tenant_id, "api", "job.retried", job_id, items=len(again), generation=job.generation + 1)
    telling.job(tx, queued)
    return settling.tell(tx, tenant_id, job_id, "retried")


def _going(tx: Tx, tenant_id: str, job_id: str) -> Row[Any]:
    job = _of_tenant(tx, tenant_id, job_id)
    if job.state in ended("jobs"):
        raise Failure("JOB_FINISHED", {"state": job.state})
    return job


def _of_tenant(tx: Tx, tenant_id: str, job_id: str) -> Row[Any]:
    mine = (job_rows.c.id == job_id, job_rows.c.tenant_id == tenant_id, job_rows.c.pruned_at.is_(None))
    job = tx.first(select(job_rows).where(*mine).with_for_update())
    if job is None:
        raise Failure("JOB_NOT_FOUND", {"id": job_id[:64]})
    return job
