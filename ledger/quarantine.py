"""Files that kill the process that reads them: counted per tenant, content and engine build, and kept from the engine for a while."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit
from ledger.parts import in_bites
from ledger.rows import parts, quarantine
from ledger.session import Tx

CRASHES_MAX = 2  # this many within the length of a quarantine begin one


@dataclass(frozen=True, slots=True)
class Rule:
    """How long a quarantine lasts, and the kinds of jobs whose dead processes were reading a file."""

    seconds: float
    kinds: Collection[str] = ()


def crashed(tx: Tx, tenant_id: str, sha256: str, build: str, seconds: float, actor: str, job_id: str, died: int = 1) -> float | None:
    """Count processes that a file killed. Answers until when the file is in quarantine, or None: it is suspected only.

    Crashes further apart than `seconds`, the length of a quarantine, are not added up.
    """
    first = tx.now + seconds if died >= CRASHES_MAX else None
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    file = {"tenant_id": tenant_id, "sha256": sha256, "engine_build": build}
    fresh = dialect.insert(quarantine).values(**file, crashes=died, last_at=tx.now, until=first)
    again = case((quarantine.c.last_at < tx.now - seconds, died), else_=quarantine.c.crashes + died)
    until = case((again >= CRASHES_MAX, tx.now + seconds), else_=None)
    row = tx.execute(
        fresh.on_conflict_do_update(index_elements=list(file), set_={"crashes": again, "last_at": tx.now, "until": until}).returning(
            quarantine.c.crashes, quarantine.c.until
        )
    ).one()
    if row.until is None:
        return None
    audit.record(
        tx, tenant_id, actor, "file.quarantined", sha256, job=job_id, engine_build=build, crashes=row.crashes, until=iso(row.until)
    )
    return float(row.until)


def active(tx: Tx, tenant_id: str, sha256s: Sequence[str], build: str) -> dict[str, float]:
    """Those of the files that may not be read by this engine build, and until when."""
    rows = in_bites(
        tx,
        sha256s,
        lambda bite: select(quarantine.c.sha256, quarantine.c.until).where(
            quarantine.c.tenant_id == tenant_id,
            quarantine.c.engine_build == build,
            quarantine.c.until > tx.now,
            quarantine.c.sha256.in_(bite),
        ),
    )
    return {row.sha256: row.until for row in rows}


def page(tx: Tx, tenant_id: str, limit: int, after: str | None) -> list[dict[str, Any]]:
    """The tenant's files in quarantine with the names of its parts, by hash and build, starting behind `after` (`<sha256>.<build>`)."""
    key = quarantine.c.sha256 + "." + quarantine.c.engine_build
    query = select(quarantine).where(*_mine(tx, tenant_id)).order_by(key).limit(limit)
    rows = tx.execute(query.where(key > after) if after else query).all()
    named = in_bites(
        tx,
        sorted({row.sha256 for row in rows}),
        lambda bite: (
            select(parts.c.id, parts.c.name, parts.c.sha256)
            .where(parts.c.tenant_id == tenant_id, parts.c.deleted_at.is_(None), parts.c.sha256.in_(bite))
            .order_by(parts.c.id)
        ),
    )
    return [
        {
            "key": f"{row.sha256}.{row.engine_build}",
            "sha256": row.sha256,
            "engine_build": row.engine_build,
            "crashes": row.crashes,
            "last_at": iso(row.last_at),
            "until": iso(row.until),
            "parts": [{"id": part.id, "name": part.name} for part in named if part.sha256 == row.sha256][:10],
        }
        for row in rows
    ]


def release(tx: Tx, tenant_id: str, sha256: str) -> None:
    """Let a file be read again by every engine build. Raises QUARANTINE_NOT_FOUND, also for a file of another tenant."""
    gone = tx.execute(delete(quarantine).where(*_mine(tx, tenant_id), quarantine.c.sha256 == sha256)).rowcount
    if not gone:
        raise Failure("QUARANTINE_NOT_FOUND", {"sha256": sha256[:64]})
    audit.record(tx, tenant_id, "api", "file.released", sha256)


def count(tx: Tx) -> int:
    """How many files are in quarantine, of all tenants, for metrics."""
    return tx.number(select(func.count()).select_from(quarantine).where(quarantine.c.until > tx.now))


def forget(tx: Tx, before: float) -> None:
    """Drop what ended, and suspicions nothing came of, before a time."""
    tx.execute(delete(quarantine).where(quarantine.c.last_at < before, or_(quarantine.c.until.is_(None), quarantine.c.until < before)))


def _mine(tx: Tx, tenant_id: str) -> tuple[ColumnElement[bool], ...]:
    return (and_(quarantine.c.tenant_id == tenant_id, quarantine.c.until > tx.now),)
