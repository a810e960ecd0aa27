"""Items that failed, over all jobs of a tenant, grouped by code."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, distinct, func, select

from foundation.clock import iso
from ledger import job_views, recorded
from ledger.rows import items, jobs
from ledger.session import Tx

_LOOKED_AT = ("running", "partial", "failed", "cancelled")
"""States of jobs that may have failed items; without them every item of every job would be read."""


def by_code(tx: Tx, tenant_id: str, since: float) -> list[dict[str, Any]]:
    """Codes of items that failed after a time, the most frequent first: how many items, in how many jobs, and the newest."""
    code = recorded.code(items.c.error)
    counted = (func.count(), func.count(distinct(items.c.job_id)), func.max(items.c.finished_at), func.max(items.c.job_id))
    query = select(code, *counted).join(jobs, jobs.c.id == items.c.job_id).where(*_failed(tenant_id), items.c.finished_at > since)
    return [
        {"code": str(name), "items": int(number), "jobs": int(different), "newest_at": iso(newest), "newest_job": job_id}
        for name, number, different, newest, job_id in tx.execute(query.group_by(code).order_by(func.count().desc(), code))
    ]


def jobs_with(tx: Tx, tenant_id: str, limit: int, after: str | None, code: str) -> list[dict[str, Any]]:
    """Jobs of a tenant with an item that failed with this code, newest first, starting behind the job id `after`."""
    here = (items.c.job_id == jobs.c.id, items.c.state == "failed", recorded.has_code(items.c.error, code))
    query = select(jobs).where(jobs.c.tenant_id == tenant_id, jobs.c.pruned_at.is_(None), jobs.c.state.in_(_LOOKED_AT))
    query = query.where(select(items.c.job_id).where(*here).exists())
    query = query.where(jobs.c.id < after) if after else query
    return [job_views.view(row) for row in tx.execute(query.order_by(jobs.c.id.desc()).limit(limit))]


def _failed(tenant_id: str) -> tuple[ColumnElement[bool], ...]:
    return (
        jobs.c.tenant_id == tenant_id,
        jobs.c.pruned_at.is_(None),
        jobs.c.state.in_(_LOOKED_AT),
        jobs.c.failed > 0,
        items.c.state == "failed",
    )
