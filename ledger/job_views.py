"""Jobs and items as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, bindparam, exists, select

from foundation.clock import iso
from foundation.errors import Failure
from ledger import queues, recorded
from ledger.prepared import Prepared
from ledger.rows import items, jobs, parts
from ledger.session import Tx
from ledger.telling import counts_of


def view(job: Row[Any]) -> dict[str, Any]:
    """A job as clients see it."""
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "priority": job.priority,
        "generation": job.generation,
        "counts": counts_of(job),
        "labels": job.labels,
        "input": job.input,
        "callback_url": job.callback_url,
        "max_concurrency": job.max_concurrency,
        "run_after": iso(job.run_after),
        "paused_at": iso(job.paused_at),
        "deadline": iso(job.deadline),
        "created_at": iso(job.created_at),
        "started_at": iso(job.started_at),
        "finished_at": iso(job.finished_at),
        "results_pruned_at": iso(job.results_pruned_at),
        "rolled_back_at": iso(job.rolled_back_at),
        "summary": job.summary,
        "error": recorded.told(job.error),
    }


def among(tx: Tx, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Many jobs at once, by id. The caller has checked whose they are."""
    found = tx.execute(select(jobs).where(jobs.c.id.in_(job_ids), jobs.c.pruned_at.is_(None)))
    return {row.id: view(row) for row in found}


_GET = Prepared(select(jobs).where(jobs.c.id == bindparam("of"), jobs.c.tenant_id == bindparam("tenant"), jobs.c.pruned_at.is_(None)))


def get(tx: Tx, tenant_id: str, job_id: str) -> dict[str, Any]:
    """Raises JOB_NOT_FOUND, also for a job of another tenant."""
    job = _GET.first(tx.connection, {"of": job_id, "tenant": tenant_id})
    if job is None:
        raise Failure("JOB_NOT_FOUND", {"id": job_id[:64]})
    return view(job) | ({"summary": _estimated(tx, job)} if job.summary else {})


def _estimated(tx: Tx, job: Row[Any]) -> dict[str, Any]:
    """The summary of a job; one that tells how much work there would be, also how long the workers that are alive would need."""
    if "work_seconds" not in job.summary:
        return dict(job.summary)
    slots = queues.slots(tx).get(job.queue, 0)
    return {**job.summary, "workers": slots, "estimate_seconds": round(job.summary["work_seconds"] / max(1, slots), 1)}


def page(tx: Tx, tenant_id: str, limit: int, after: str | None, state: str | None, kind: str | None) -> list[dict[str, Any]]:
    """Jobs of a tenant, newest first, starting behind the job id `after`."""
    query = select(jobs).where(jobs.c.tenant_id == tenant_id, jobs.c.pruned_at.is_(None)).order_by(jobs.c.id.desc()).limit(limit)
    for column, value in ((jobs.c.state, state), (jobs.c.kind, kind)):
        query = query.where(column == value) if value else query
    query = query.where(jobs.c.id < after) if after else query
    return [view(row) for row in tx.execute(query)]


def find(
    tx: Tx,
    tenant_id: str,
    limit: int,
    states: list[str],
    kind: str | None,
    labels: dict[str, str],
    code: str | None,
    finished_after: float | None = None,
    finished_before: float | None = None,
) -> list[str]:
    """Ids of a tenant's jobs by state, kind, labels, the code of an item that failed, and when they ended; oldest first."""
    query = select(jobs.c.id).where(jobs.c.tenant_id == tenant_id, jobs.c.state.in_(states), jobs.c.pruned_at.is_(None))
    query = query.where(jobs.c.kind == kind) if kind else query
    for name, value in labels.items():
        query = query.where(jobs.c.labels[name].as_string() == value)
    if code is not None:
        failed = (items.c.job_id == jobs.c.id, items.c.state == "failed", recorded.has_code(items.c.error, code))
        query = query.where(exists().where(*failed))
    query = query.where(jobs.c.finished_at > finished_after) if finished_after is not None else query
    query = query.where(jobs.c.finished_at < finished_before) if finished_before is not None else query
    return list(tx.execute(query.order_by(jobs.c.id).limit(limit)).scalars())


def page_items(tx: Tx, job_id: str, limit: int, after: int, state: str | None, part_id: str | None = None) -> list[dict[str, Any]]:
    """Items of a job with an index above `after`, in order, or those of one part. The caller has checked whose job it is."""
    owner = select(jobs.c.tenant_id).where(jobs.c.id == job_id).scalar_subquery()  # a job may name ids of anybody, and learns no name by it
    query = (
        select(items, parts.c.name)
        .select_from(items)
        .outerjoin(parts, (parts.c.id == items.c.part_id) & (parts.c.tenant_id == owner))
        .where(items.c.job_id == job_id, items.c.index > after)
        .order_by(items.c.index)
        .limit(limit)
    )
    query = query.where(items.c.state == state) if state else query
    query = query.where(items.c.part_id == part_id) if part_id else query
    return [
        {
            "index": row.index,
            "part_id": row.part_id,
            "name": row.name,
            "state": row.state,
            "attempts": row.attempts,
            "error": recorded.told(row.error),
            "result": row.result,
            "finished_at": iso(row.finished_at),
        }
        for row in tx.execute(query)
    ]


def samples(tx: Tx, tenant_id: str, job_id: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The input of a migration, and the results of the parts of its sample. Raises JOB_NOT_FOUND, also for a job of another kind."""
    job = get(tx, tenant_id, job_id)
    if job["kind"] != "migration":
        raise Failure("JOB_NOT_FOUND", {"id": job_id[:64], "kind": job["kind"]})
    done = (items.c.job_id == job_id, items.c.state == "succeeded", items.c.payload.is_not(None), items.c.result.is_not(None))
    return job["input"], list(tx.execute(select(items.c.result).where(*done).order_by(items.c.index)).scalars())


def alive(tx: Tx) -> bool:
    """Whether the tables are there to be read."""
    tx.execute(select(jobs.c.id).limit(1)).all()
    return True
