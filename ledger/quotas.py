"""What a tenant may have at most: bytes and parts it keeps, jobs in flight. Checked in the very transaction that would break it.

Bytes and parts are counted in the tenant's row, which the two verbs that change them (`parts.add`, `parts.delete`) update last: of two
uploads at the limit the second waits for the first. Jobs in flight are counted in the rows of the jobs themselves, under that row's lock
and no further than the quota, so whatever ends a job need not know of it. Who has no quota of jobs takes no lock and counts nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select, text, update

from foundation.errors import Failure
from ledger.prepared import Prepared
from ledger.rows import jobs, tenants
from ledger.session import Tx

NAMES = ("bytes", "parts", "jobs")

_OF_TENANT = select(tenants.c.quota_jobs, tenants.c.disabled_at).where(tenants.c.id == bindparam("of"))
_ASKED, _HELD = Prepared(_OF_TENANT), Prepared(_OF_TENANT.with_for_update(key_share=True))
# written out: only then may the partial index answer
_IN_FLIGHT = text("state IN ('queued', 'running')")


def keep(tx: Tx, tenant_id: str, parts: int, size: int) -> None:
    """Parts of so many bytes together come, or go (below zero). Raises QUOTA_EXCEEDED."""
    row = tx.execute(
        update(tenants)
        .where(tenants.c.id == tenant_id)
        .values(used_parts=tenants.c.used_parts + parts, used_bytes=tenants.c.used_bytes + size)
        .returning(tenants.c.used_parts, tenants.c.used_bytes, tenants.c.quota_parts, tenants.c.quota_bytes)
    ).one()
    for name, used, asked, own in (("parts", row.used_parts, parts, row.quota_parts), ("bytes", row.used_bytes, size, row.quota_bytes)):
        limit = _limit(tx, name, own)
        if asked > 0 and limit is not None and used > limit:
            raise Failure("QUOTA_EXCEEDED", {"quota": name, "used": used - asked, "asked": asked, "limit": limit})


def start_job(tx: Tx, tenant_id: str) -> None:
    """One more job comes into flight. Raises QUOTA_EXCEEDED, TENANT_DISABLED (its schedules go on asking)."""
    told = {"of": tenant_id}
    found = _ASKED.first(tx.connection, told)
    if found.disabled_at is not None:
        raise Failure("TENANT_DISABLED")
    if _limit(tx, "jobs", found.quota_jobs) is None:
        return
    # Not FOR UPDATE: whoever writes a row that names the tenant must not wait. Read again: the quota may have been changed.
    limit = _limit(tx, "jobs", _HELD.first(tx.connection, told).quota_jobs)
    if limit is not None and in_flight(tx, tenant_id, limit) >= limit:
        raise Failure("QUOTA_EXCEEDED", {"quota": "jobs", "used": limit, "asked": 1, "limit": limit})


def in_flight(tx: Tx, tenant_id: str, most: int | None = None) -> int:
    """Jobs of a tenant that are queued or running, counted up to `most`."""
    some = select(jobs.c.id).where(jobs.c.tenant_id == tenant_id, _IN_FLIGHT).limit(most)
    return tx.number(select(func.count()).select_from(some.subquery()))


def usage(tx: Tx, tenant_id: str) -> dict[str, Any]:
    """By quota what is used, and the limit (null: none)."""
    row = tx.execute(select(tenants).where(tenants.c.id == tenant_id)).one()
    used = {"bytes": row.used_bytes, "parts": row.used_parts, "jobs": in_flight(tx, tenant_id)}
    return {name: {"used": used[name], "limit": _limit(tx, name, getattr(row, f"quota_{name}"))} for name in NAMES}


def _limit(tx: Tx, name: str, own: int | None) -> int | None:
    """The tenant's own quota, else that of all; None where there is none."""
    return (getattr(tx.quota, name) if own is None else own) or None
