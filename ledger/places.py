"""The places of a job: how many of its chunks may be in the line or at work at once. A paused job has none.

A chunk that waits for a place is `waiting` without a time. The caller holds the lock of the job.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, func, or_, select, update

from ledger import line
from ledger.rows import chunks
from ledger.session import Tx


def hold(tx: Tx, *where: Any) -> None:
    """Take queued chunks of a paused job out of the line: they wait for a place, and it has none."""
    tx.execute(update(chunks).where(line.queued(*where)).values(state="waiting", run_after=None, rung_at=None))


def again(job: Row[Any] | None) -> str:
    """The state in which a chunk of this job, which is locked, waits to be started again at once."""
    return "queued" if job is None or job.paused_at is None else "waiting"


def fill(tx: Tx, job: Row[Any]) -> None:
    """Let chunks that wait for a place move up, as many as the job may now run at once: none while it is paused."""
    if job.paused_at is not None or job.max_concurrency is None:
        return
    busy = tx.number(
        select(func.count())
        .select_from(chunks)
        .where(
            chunks.c.job_id == job.id,
            or_(chunks.c.state.in_(("queued", "running")), (chunks.c.state == "waiting") & chunks.c.run_after.is_not(None)),
        )
    )
    if busy < job.max_concurrency:
        let_up(tx, job, job.max_concurrency - busy)


def let_up(tx: Tx, job: Row[Any], most: int | None = None) -> None:
    """Queue so many of the chunks that wait for a place, or all."""
    held = line.waiting(chunks.c.job_id == job.id, chunks.c.run_after.is_(None)).order_by(chunks.c.ordinal)
    line.join(tx, tx.execute(held.limit(most)).all())
