"""What can be wrong with jobs and what hangs on them: one statement a question, asked about a bite of jobs at a time.

A statement sees one moment on both databases, and every verb of the ledger moves a job with all that hangs on it in one
commit, so what is in flight is never found here. Only ended leases need patience: upkeep may be about to see them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Select, String, and_, case, cast, exists, func, literal, not_, or_, select

from ledger.inspection.findings import Finding, Patience
from ledger.rows import audit, audit_heads, chunks, items, jobs
from ledger.session import Tx
from ledger.states import ITEM, ended
from ledger.webhook_rows import deliveries

LIVE_CHUNK = ("queued", "waiting", "running")
_ENDS = tuple(f"job.{state}" for state in ended("jobs"))
_has_ended = jobs.c.state.in_(ended("jobs"))
_ends_due = jobs.c.generation - case((_has_ended, 0), else_=1)  # how often a job has ended, by its row


def census(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    """Counters of jobs beside their items: items_missing, counters_differ, open_items_of_ended_job, never_closed."""
    tally = [func.coalesce(func.sum(case((items.c.state == state, 1), else_=0)), 0).label(f"items_{state}") for state in ITEM]
    rows = tx.execute(
        select(jobs.c.id, jobs.c.state, jobs.c.total, jobs.c.succeeded, jobs.c.failed, jobs.c.cancelled, func.count(items.c.index), *tally)
        .outerjoin(items, items.c.job_id == jobs.c.id)
        .where(jobs.c.id.in_(ids))
        .group_by(jobs.c.id)
    )
    for job_id, state, total, *told, found, pending, succeeded, failed, cancelled in rows:
        if found != total:
            yield Finding("items_missing", job_id, job_id, {"found": found, "total": total})
        if told != [succeeded, failed, cancelled]:
            yield Finding("counters_differ", job_id, job_id, {"told": told, "true": [succeeded, failed, cancelled]})
        if pending and state in ended("jobs"):
            yield Finding("open_items_of_ended_job", job_id, job_id, {"state": state, "pending": pending})
        if not pending and found and state not in ended("jobs"):
            yield Finding("never_closed", job_id, job_id, {"state": state})


def chunk_numbers(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    used = func.max(chunks.c.ordinal) + 1
    yield from _found(
        tx,
        "chunk_numbers",
        select(jobs.c.id.label("subject"), jobs.c.id.label("job_id"), jobs.c.chunks_made, used.label("used"))
        .join(chunks, chunks.c.job_id == jobs.c.id)
        .where(jobs.c.id.in_(ids))
        .group_by(jobs.c.id)
        .having(used > jobs.c.chunks_made),
    )


def items_without_chunk(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    yield from _found(
        tx,
        "items_without_chunk",
        select(items.c.chunk_id.label("subject"), items.c.job_id, func.count().label("items"))
        .join(jobs, jobs.c.id == items.c.job_id)
        .outerjoin(chunks, chunks.c.id == items.c.chunk_id)
        .where(items.c.job_id.in_(ids), items.c.state == "pending", not_(_has_ended))
        .where(or_(chunks.c.id.is_(None), chunks.c.state.not_in(LIVE_CHUNK)))
        .group_by(items.c.chunk_id, items.c.job_id),
    )


def chunks_without_items(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    open_items = exists().where(items.c.chunk_id == chunks.c.id, items.c.state == "pending")
    waiting = chunks.c.state.in_(("queued", "waiting"))
    yield from _found(tx, "chunk_without_items", _chunks(ids).where(not_(_has_ended), waiting, not_(open_items)))


def chunks_of_ended_jobs(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    yield from _found(tx, "live_chunk_of_ended_job", _chunks(ids).where(_has_ended, chunks.c.state.in_(LIVE_CHUNK)))


def leases(tx: Tx, ids: Sequence[str], patience: Patience) -> Iterator[Finding]:
    late = or_(chunks.c.lease_until.is_(None), chunks.c.lease_until < tx.now - patience.lease)
    yield from _found(tx, "lease_ended", _chunks(ids).where(not_(_has_ended), chunks.c.state == "running", late))


def held_for_nothing(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    """Jobs whose chunks wait for a place while every place is free: nobody would ever let them up. A paused job has no places."""
    busy = chunks.alias()
    taken = exists().where(
        busy.c.job_id == chunks.c.job_id,
        or_(busy.c.state.in_(("queued", "running")), and_(busy.c.state == "waiting", busy.c.run_after.is_not(None))),
    )
    yield from _found(
        tx,
        "held_for_nothing",
        select(jobs.c.id.label("subject"), jobs.c.id.label("job_id"), func.count().label("chunks"))
        .join(chunks, chunks.c.job_id == jobs.c.id)
        .where(jobs.c.id.in_(ids), not_(_has_ended), jobs.c.paused_at.is_(None), chunks.c.state == "waiting", chunks.c.run_after.is_(None))
        .where(or_(jobs.c.max_concurrency.is_(None), not_(taken)))
        .group_by(jobs.c.id),
    )


def webhooks_not_owed(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    owed = exists().where(
        deliveries.c.job_id == jobs.c.id,
        deliveries.c.endpoint_id.is_(None),
        deliveries.c.event == literal("job.").concat(jobs.c.state),
        deliveries.c.created_at >= func.coalesce(jobs.c.finished_at, 0.0),
    )
    yield from _found(
        tx,
        "webhook_not_owed",
        select(jobs.c.id.label("subject"), jobs.c.id.label("job_id"), jobs.c.state).where(
            jobs.c.id.in_(ids), _has_ended, jobs.c.callback_url.is_not(None), not_(owed)
        ),
    )


def webhooks_of_no_end(tx: Tx, ids: Sequence[str], _patience: Patience) -> Iterator[Finding]:
    """More webhooks to one receiver than the job has had ends."""
    told, to = func.count(), func.coalesce(deliveries.c.endpoint_id, "callback")
    yield from _found(
        tx,
        "webhook_of_no_end",
        select(jobs.c.id.label("subject"), jobs.c.id.label("job_id"), told.label("told"), _ends_due.label("ends"), to.label("receiver"))
        .join(deliveries, deliveries.c.job_id == jobs.c.id)
        .where(jobs.c.id.in_(ids), deliveries.c.event.in_(_ENDS))
        .where(deliveries.c.state != "dead")
        .group_by(jobs.c.id, deliveries.c.endpoint_id)
        .having(told > _ends_due),
    )


def deliveries_stuck(tx: Tx, ids: Sequence[str], patience: Patience) -> Iterator[Finding]:
    late = or_(deliveries.c.lease_until.is_(None), deliveries.c.lease_until < tx.now - patience.lease)
    yield from _found(
        tx,
        "delivery_stuck",
        select(deliveries.c.id.label("subject"), deliveries.c.job_id).where(
            deliveries.c.job_id.in_(ids), deliveries.c.state == "sending", late
        ),
    )


def ends_in_the_trail(tx: Tx, ids: Sequence[str] | None, after_seq: int = 0) -> Iterator[Finding]:
    """Jobs whose ends the audit trail tells not exactly once each, of `ids` or of all; one scan of the trail behind `after_seq`."""
    told = (
        select(audit.c.subject, func.count().label("n"))
        .where(audit.c.action.in_(_ENDS), audit.c.seq > after_seq)
        .group_by(audit.c.subject)
        .subquery()
    )
    n = func.coalesce(told.c.n, 0)
    wrong = n != _ends_due if not after_seq else n > _ends_due  # of a job that began before `after_seq` the first ends are not seen
    query = select(jobs.c.id.label("subject"), jobs.c.id.label("job_id"), n.label("told"), _ends_due.label("ends"))
    query = query.outerjoin(told, told.c.subject == jobs.c.id).where(wrong)
    if (floor := tx.connection.scalar(select(func.max(audit_heads.c.floor_at)))) is not None:
        query = query.where(jobs.c.created_at >= floor)  # the first ends of an older job may have been let go
    for finding in _found(tx, "end_told_wrong", query if ids is None else query.where(jobs.c.id.in_(ids))):
        missing = finding.detail["told"] < finding.detail["ends"]
        yield Finding("end_not_told" if missing else "end_told_twice", finding.subject, finding.job_id, finding.detail)


def commits_in_the_trail(tx: Tx, after_seq: int = 0) -> Iterator[Finding]:
    """Chunks that the audit trail saw done more than once."""
    yield from _found(
        tx,
        "done_twice",
        select(audit.c.actor.label("subject"), func.min(audit.c.subject).label("job_id"), func.count().label("times"))
        .where(audit.c.action == "chunk.done", audit.c.seq > after_seq)
        .group_by(audit.c.actor)
        .having(func.count() > 1),
    )


def _chunks(ids: Sequence[str]) -> Select[Any]:
    return (
        select(chunks.c.id.label("subject"), chunks.c.job_id, chunks.c.state, cast(jobs.c.state, String).label("job_state"))
        .join(jobs, jobs.c.id == chunks.c.job_id)
        .where(chunks.c.job_id.in_(ids))
    )


def _found(tx: Tx, kind: str, query: Select[Any]) -> Iterator[Finding]:
    for row in tx.execute(query).mappings().all():
        detail = dict(row)
        yield Finding(kind, detail.pop("subject"), detail.pop("job_id"), detail)
