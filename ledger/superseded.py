"""What migrations wrote and what was there before, so that a migration can be undone.

For each vector that a migration writes there is a row from the same commit: the vector it replaced, or nothing where there was none.
Putting back takes such rows away, a bite at a time, so it may be broken off and repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit, vectors
from ledger.parts import in_bites
from ledger.rows import PROJECTED, jobs
from ledger.rows import vectors as rows
from ledger.session import Tx
from ledger.states import ended
from ledger.vector_rows import superseded
from ledger.vectors import Vector

BITE = 200  # vectors of a transaction
_TOLD = 20  # jobs of a conflict

_KEY = ("sha256", "feature_version", "engine_build")
_KEPT = ("family", "vector", "result", "provenance", "created_at")


@dataclass(frozen=True, slots=True)
class PutBack:
    """What became of vectors of a migration: replaced ones put back, new ones removed, and those left that somebody changed since."""

    restored: int = 0
    removed: int = 0
    kept: int = 0

    def __add__(self, other: PutBack) -> PutBack:
        return PutBack(self.restored + other.restored, self.removed + other.removed, self.kept + other.kept)


def remember(tx: Tx, tenant_id: str, job_id: str, new: Sequence[Vector]) -> None:
    """Keep what `vectors.put` is about to replace. What a job replaced first is what it is undone to."""
    if not new:
        return
    latest = {(v.sha256, v.feature_version, v.engine_build): v for v in new}
    present = {tuple(row[:3]): row for row in _present(tx, tenant_id, sorted(latest))}
    told = [
        dict(zip(_KEY, key, strict=True)) | {"tenant_id": tenant_id, "job_id": job_id} | _was(present.get(key))
        for key, vector in sorted(latest.items())
        # a projected vector does not replace a native one
        if not (vector.provenance == PROJECTED and key in present and present[key].provenance != PROJECTED)
    ]
    if told:
        dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
        tx.execute(dialect.insert(superseded).on_conflict_do_nothing(), told)


def _present(tx: Tx, tenant_id: str, keys: Sequence[Any]) -> list[Any]:
    """Vectors by their keys, held until the commit."""
    columns = [rows.c[name] for name in (*_KEY, *_KEPT, "job_id")]
    found = select(*columns).where(rows.c.tenant_id == tenant_id).order_by(*columns[:3]).with_for_update()
    return in_bites(tx, keys, lambda bite: found.where(tuple_(*columns[:3]).in_(bite)), size=300)


def _was(row: Any) -> dict[str, Any]:
    if row is None:
        return dict.fromkeys((*_KEPT, "writer_id"))
    return {name: getattr(row, name) for name in _KEPT} | {"writer_id": row.job_id}


def begin(tx: Tx, tenant_id: str, job_id: str, keep_days: float) -> None:
    """Decide that a migration is undone: from here on it cannot be retried. Nothing to do if that was decided before.

    Raises JOB_NOT_FOUND, JOB_NOT_MIGRATION, JOB_NOT_ENDED, ROLLBACK_EXPIRED."""
    job = _migration(tx, tenant_id, job_id, lock=True)
    if job.rolled_back_at is not None:
        return
    if job.finished_at < tx.now - keep_days * 86_400.0:
        raise Failure("ROLLBACK_EXPIRED", {"finished_at": iso(job.finished_at), "days": keep_days})
    tx.execute(update(jobs).where(jobs.c.id == job_id).values(rolled_back_at=tx.now))
    audit.record(tx, tenant_id, "api", "job.rolled_back", job_id)


def refuse_changed(tx: Tx, tenant_id: str, job_id: str) -> None:
    """Raises ROLLBACK_CONFLICT where others have written vectors of this migration since, and says who; and what `begin` raises but for
    ROLLBACK_EXPIRED. Once it is decided, nothing is refused any more."""
    if _migration(tx, tenant_id, job_id).rolled_back_at is not None:
        return
    changed = (superseded.c.job_id == job_id, rows.c.job_id.is_distinct_from(job_id))
    both = select(func.count().label("vectors"), rows.c.job_id).select_from(superseded.outerjoin(rows, _same()))
    found = tx.execute(both.where(*changed).group_by(rows.c.job_id).order_by(rows.c.job_id)).all()
    if found:
        told = [row.job_id for row in found if row.job_id is not None]
        raise Failure(
            "ROLLBACK_CONFLICT", {"vectors": sum(row.vectors for row in found), "jobs": told[:_TOLD], "more_jobs": len(told) > _TOLD}
        )


def _same() -> ColumnElement[bool]:
    return and_(*(superseded.c[name] == rows.c[name] for name in ("tenant_id", *_KEY)))


def put_back(tx: Tx, tenant_id: str, job_id: str) -> PutBack | None:
    """Undo a bite of a migration; vectors that others have written since stay. None: nothing is left."""
    _migration(tx, tenant_id, job_id, lock=True)
    key = [superseded.c[name] for name in _KEY]
    bite = tx.execute(select(superseded).where(superseded.c.job_id == job_id).order_by(*key).limit(BITE)).all()
    if not bite:
        return None
    keys = [(row.sha256, row.feature_version, row.engine_build) for row in bite]
    ours = {tuple(row[:3]) for row in _present(tx, tenant_id, keys) if row.job_id == job_id}
    here = [row for key, row in zip(keys, bite, strict=True) if key in ours]
    before = [row for row in here if row.vector is not None]
    in_bites(tx, keys, lambda some: _gone(tx, job_id, some), size=300)
    told = PutBack(len(before), len(here) - len(before), len(bite) - len(here))
    audit.record(tx, tenant_id, "api", "vectors.put_back", job_id, restored=told.restored, removed=told.removed, kept=told.kept)
    gone = [key for key, row in zip(keys, bite, strict=True) if key in ours and row.vector is None]
    vectors.put_back(tx, tenant_id, [_row(row) for row in before], gone)
    return told


def _gone(tx: Tx, job_id: str, keys: Sequence[Any]) -> Any:
    key = tuple_(*(superseded.c[name] for name in _KEY))
    return delete(superseded).where(superseded.c.job_id == job_id, key.in_(keys)).returning(superseded.c.sha256)


def _row(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in (*_KEY, *_KEPT)} | {"job_id": row.writer_id}


def _migration(tx: Tx, tenant_id: str, job_id: str, lock: bool = False) -> Any:
    mine = select(jobs).where(jobs.c.id == job_id, jobs.c.tenant_id == tenant_id, jobs.c.pruned_at.is_(None))
    job = tx.first(mine.with_for_update() if lock else mine)
    if job is None:
        raise Failure("JOB_NOT_FOUND", {"id": job_id[:64]})
    if job.kind != "migration":
        raise Failure("JOB_NOT_MIGRATION", {"kind": job.kind})
    if job.state not in ended("jobs"):
        raise Failure("JOB_NOT_ENDED", {"state": job.state})
    return job
