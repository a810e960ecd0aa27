"""How long items take, as told by the chunks of the last jobs that asked for the same."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select

from ledger.prepared import Prepared
from ledger.rows import chunks, jobs
from ledger.session import Tx

_JOBS, _ALIKE, _CHUNKS = 100, 3, 64  # so many jobs of a tenant are looked at for so many that asked for the same; so many chunks of each

_own = select(jobs.c.id, jobs.c.kind, jobs.c.input, jobs.c.started_at).where(
    jobs.c.tenant_id == bindparam("tenant"), jobs.c.pruned_at.is_(None)
)
_latest = _own.order_by(jobs.c.id.desc()).limit(_JOBS).subquery()
_LATEST = Prepared(
    select(_latest.c.id, _latest.c.input)
    .where(_latest.c.kind == bindparam("kind"), _latest.c.started_at.is_not(None))
    .order_by(_latest.c.id.desc())
)
_some = (
    select(chunks.c.cost, chunks.c.started_at, chunks.c.finished_at)
    .where(chunks.c.job_id == bindparam("of"), chunks.c.state == "done")
    .limit(_CHUNKS)
    .subquery()
)
_TAKEN = Prepared(select(func.sum(_some.c.finished_at - _some.c.started_at).label("seconds"), func.sum(_some.c.cost).label("cost")))


def seconds(tx: Tx, tenant_id: str, kind: str, input: dict[str, Any]) -> float | None:
    """Seconds of one worker for a full chunk; None: nobody has asked for the same lately, or nothing of it is done."""
    alike = [row.id for row in _LATEST.all(tx.connection, {"tenant": tenant_id, "kind": kind}) if row.input == input][:_ALIKE]
    taken = [_TAKEN.first(tx.connection, {"of": job_id}) for job_id in alike]
    cost = sum(row.cost or 0.0 for row in taken)
    return sum(row.seconds or 0.0 for row in taken) / cost if cost else None
