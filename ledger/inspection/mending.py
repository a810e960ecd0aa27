"""The repairs of rows, by legal moves only. The caller holds the lock of the job, has looked again, and writes the audit line.

Each answers whether it could: what it could not mend is left for a person.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, delete, exists, func, insert, not_, select, update

from foundation.errors import Failure
from ledger import jobs, outbox, places, repair, settling
from ledger.inspection.findings import Finding, Patience
from ledger.inspection.jobs import LIVE_CHUNK
from ledger.job_views import view
from ledger.rows import chunks, idempotency, items, parts, vectors
from ledger.rows import jobs as job_rows
from ledger.session import Tx
from ledger.vector_rows import superseded
from ledger.webhook_rows import deliveries


def count_anew(tx: Tx, job: Row[Any], _finding: Finding, _patience: Patience) -> bool:
    tally = {
        row.state: row.n
        for row in tx.execute(select(items.c.state, func.count().label("n")).where(items.c.job_id == job.id).group_by(items.c.state))
    }
    return _one(
        tx,
        update(job_rows)
        .where(job_rows.c.id == job.id)
        .values(succeeded=tally.get("succeeded", 0), failed=tally.get("failed", 0), cancelled=tally.get("cancelled", 0)),
    )


def close(tx: Tx, job: Row[Any], finding: Finding, patience: Patience) -> bool:
    count_anew(tx, job, finding, patience)
    tx.execute(
        update(job_rows)
        .where(job_rows.c.id == job.id, job_rows.c.state == "queued")
        .values(state="running", started_at=func.coalesce(job_rows.c.started_at, tx.now))
    )
    return bool(settling.close(tx, job).job_state != "running")


def end_items(tx: Tx, job: Row[Any], finding: Finding, patience: Patience) -> bool:
    """An ended job cannot go on by itself, so its open items end: cancelled with it, else failed so that a retry takes them."""
    cancelled = job.state == "cancelled"
    error = Failure("JOB_CANCELLED" if cancelled else "ITEM_STRANDED").public()
    tx.execute(
        update(items)
        .where(items.c.job_id == job.id, items.c.state == "pending")
        .values(state="cancelled" if cancelled else "failed", error=error, finished_at=tx.now)
    )
    return count_anew(tx, job, finding, patience)


def number_chunks(tx: Tx, job: Row[Any], finding: Finding, _patience: Patience) -> bool:
    return _one(tx, update(job_rows).where(job_rows.c.id == job.id).values(chunks_made=finding.detail["used"]))


def give_chunk(tx: Tx, job: Row[Any], finding: Finding, _patience: Patience) -> bool:
    """Put the items of a chunk that is gone into a new one."""
    new = jobs.new_chunk(tx, job, job.chunks_made, held=job.max_concurrency is not None or job.paused_at is not None)
    tx.execute(insert(chunks).values(**new))
    tx.execute(
        update(items)
        .where(items.c.job_id == job.id, items.c.chunk_id == finding.subject, items.c.state == "pending")
        .values(chunk_id=new["id"])
    )
    tx.execute(update(job_rows).where(job_rows.c.id == job.id).values(chunks_made=job_rows.c.chunks_made + 1))
    places.fill(tx, job)
    return True


def cancel_chunk(tx: Tx, job: Row[Any], finding: Finding, _patience: Patience) -> bool:
    done = _one(
        tx,
        update(chunks)
        .where(chunks.c.id == finding.subject, chunks.c.state.in_(LIVE_CHUNK))
        .values(state="cancelled", lease_until=None, rung_at=None),
    )
    places.fill(tx, job)
    return done


def rescue(tx: Tx, _job: Row[Any], finding: Finding, patience: Patience) -> bool:
    """What upkeep does with an ended lease. A chunk that has none gets one first: whoever works on it may still beat."""
    given = tx.execute(
        update(chunks)
        .where(chunks.c.id == finding.subject, chunks.c.state == "running", chunks.c.lease_until.is_(None))
        .values(lease_until=tx.now + patience.lease)
    )
    return bool(given.rowcount) or repair.rescue(tx) > 0


def let_up(tx: Tx, job: Row[Any], _finding: Finding, _patience: Patience) -> bool:
    if job.paused_at is not None:
        return False
    if job.max_concurrency is not None:
        places.fill(tx, job)
        return True
    held = (chunks.c.job_id == job.id, chunks.c.state == "waiting", chunks.c.run_after.is_(None))
    return bool(tx.execute(update(chunks).where(*held).values(state="queued", rung_at=None)).rowcount)


def owe_webhook(tx: Tx, job: Row[Any], _finding: Finding, _patience: Patience) -> bool:
    outbox.owe(tx, job.tenant_id, job.id, job.callback_url, f"job.{job.state}", view(job))
    return True


def withdraw_webhook(tx: Tx, job: Row[Any], finding: Finding, _patience: Patience) -> bool:
    """End as many as are too many, the newest first. What was sent already cannot be taken back."""
    spare = finding.detail["told"] - finding.detail["ends"]
    to = None if finding.detail["receiver"] == "callback" else finding.detail["receiver"]
    here = (deliveries.c.job_id == job.id, deliveries.c.endpoint_id.is_not_distinct_from(to), deliveries.c.event.in_(outbox.ENDS))
    unsent = select(deliveries.c.id).where(*here, deliveries.c.state.in_(("owed", "waiting")))
    withdrawn = list(tx.execute(unsent.order_by(deliveries.c.created_at.desc(), deliveries.c.id.desc()).limit(spare)).scalars())
    tx.execute(update(deliveries).where(deliveries.c.id.in_(withdrawn)).values(state="dead", rung_at=None, finished_at=tx.now))
    return bool(len(withdrawn) == spare)


def send_again(tx: Tx, _job: Row[Any], finding: Finding, _patience: Patience) -> bool:
    return outbox.rescue(tx, deliveries.c.id == finding.subject) == 1


def tell_end(tx: Tx, job: Row[Any], _finding: Finding, _patience: Patience) -> bool:
    settling.record_end(tx, job, "doctor", late=True)
    return True


# -- what hangs on no job: guarded by their own condition ------------------------------------------------------------------


def forget_key(tx: Tx, finding: Finding) -> bool:
    tied = exists().where(job_rows.c.id == idempotency.c.job_id)
    here = (idempotency.c.tenant_id == finding.detail["tenant_id"], idempotency.c.key == finding.subject)
    return _one(tx, delete(idempotency).where(*here, idempotency.c.job_id.is_not(None), not_(tied)))


def forget_vector(tx: Tx, finding: Finding) -> bool:
    named = exists().where(parts.c.tenant_id == vectors.c.tenant_id, parts.c.sha256 == vectors.c.sha256)
    here = (vectors.c.tenant_id == finding.detail["tenant_id"], vectors.c.sha256 == finding.subject)
    gone = bool(tx.execute(delete(vectors).where(*here, not_(named))).rowcount)
    if gone:
        before = (superseded.c.tenant_id == finding.detail["tenant_id"], superseded.c.sha256 == finding.subject)
        tx.execute(delete(superseded).where(*before))
    return gone


def ring_anew(tx: Tx, finding: Finding) -> bool:
    """Count the ring as never sent; upkeep rings as soon as the window has room."""
    table, waiting = (deliveries, ("owed", "waiting")) if finding.detail["what"] == "delivery" else (chunks, ("queued",))
    still = (table.c.id == finding.subject, table.c.state.in_(waiting), table.c.rung_at == finding.detail["at"])
    return _one(tx, update(table).where(*still).values(rung_at=None))


def _one(tx: Tx, statement: Any) -> bool:
    return bool(tx.execute(statement).rowcount == 1)
