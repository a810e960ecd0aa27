"""Feature vectors: the truth that any index is rebuilt from. A vector belongs to (tenant, file, feature version, engine build)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger.parts import in_bites
from ledger.rows import files, parts, vectors
from ledger.session import Tx


@dataclass(frozen=True, slots=True)
class Vector:
    sha256: str
    feature_version: str
    engine_build: str
    family: str
    vector: bytes  # float32, little endian
    result: dict[str, Any]


@dataclass(frozen=True, slots=True)
class PartVector:
    """A part that has a vector."""

    part_id: str
    name: str
    sha256: str
    family: str
    format: str
    written: float  # when its vector was, in seconds since the epoch


def put(tx: Tx, tenant_id: str, new: Iterable[Vector]) -> None:
    """Store vectors; one that is there already is replaced (a forced extraction, or a second attempt)."""
    rows = [
        {
            "tenant_id": tenant_id,
            "sha256": v.sha256,
            "feature_version": v.feature_version,
            "engine_build": v.engine_build,
            "family": v.family,
            "vector": v.vector,
            "result": v.result,
            "created_at": tx.now,
        }
        # One order everywhere, so that two chunks with common files never wait for each other.
        for v in sorted({(v.sha256, v.feature_version, v.engine_build): v for v in new}.values(), key=lambda v: v.sha256)
    ]
    if not rows:
        return
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(vectors)
    # numbers that come out as they were have not been written anew: what was made from them still holds
    written = case((vectors.c.vector == statement.excluded.vector, vectors.c.created_at), else_=statement.excluded.created_at)
    tx.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant_id", "sha256", "feature_version", "engine_build"],
            set_={name: statement.excluded[name] for name in ("family", "vector", "result")} | {"created_at": written},
        ),
        rows,
    )


def results(tx: Tx, tenant_id: str, sha256s: Sequence[str], version: str, build: str) -> dict[str, dict[str, Any]]:
    """Stored extraction results by file."""
    rows = in_bites(tx, sha256s, lambda bite: select(vectors.c.sha256, vectors.c.result).where(_these(tenant_id, version, build, bite)))
    return {row.sha256: row.result for row in rows}


def gallery(tx: Tx, tenant_id: str, version: str, build: str) -> list[PartVector]:
    """Every part of a tenant that has a vector in this feature version and engine build, oldest first."""
    query = (
        select(parts.c.id, parts.c.name, vectors.c.sha256, vectors.c.family, files.c.format, vectors.c.created_at)
        .join(vectors, (vectors.c.sha256 == parts.c.sha256) & (vectors.c.tenant_id == parts.c.tenant_id))
        .join(files, files.c.sha256 == parts.c.sha256)
        .where(
            parts.c.tenant_id == tenant_id,
            parts.c.deleted_at.is_(None),
            vectors.c.feature_version == version,
            vectors.c.engine_build == build,
        )
        .order_by(parts.c.id)
    )
    return [PartVector(*row) for row in tx.execute(query)]


def load(tx: Tx, tenant_id: str, sha256s: Sequence[str], version: str, build: str) -> dict[str, bytes]:
    """Vectors by file, as float32 bytes."""
    rows = in_bites(tx, sha256s, lambda bite: select(vectors.c.sha256, vectors.c.vector).where(_these(tenant_id, version, build, bite)))
    return {row.sha256: row.vector for row in rows}


def described(tx: Tx, tenant_id: str, sha256s: Sequence[str]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Engine build and result of every extraction of these files for a tenant, by file, the newest first."""
    query = select(vectors.c.sha256, vectors.c.engine_build, vectors.c.result).where(vectors.c.tenant_id == tenant_id)
    newest = query.order_by(vectors.c.created_at.desc(), vectors.c.feature_version.desc())
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for row in in_bites(tx, sha256s, lambda bite: newest.where(vectors.c.sha256.in_(bite))):
        found.setdefault(row.sha256, []).append((row.engine_build, row.result))
    return found


def written_after(tx: Tx, tenant_id: str, version: str, time: float) -> int:
    """How many vectors of a tenant in a feature version were written after a time."""
    mine = (vectors.c.tenant_id == tenant_id, vectors.c.feature_version == version, vectors.c.created_at > time)
    return tx.number(select(func.count()).select_from(vectors).where(*mine))


def hottest(tx: Tx, tenant_id: str, version: str, build: str, most: int) -> dict[tuple[str, float], bytes]:
    """The vectors asked for most often, by file and time of writing."""
    rows = tx.execute(
        select(vectors.c.sha256, vectors.c.created_at, vectors.c.vector)
        .where(vectors.c.tenant_id == tenant_id, vectors.c.feature_version == version, vectors.c.engine_build == build)
        .order_by(vectors.c.hits.desc(), vectors.c.created_at.desc())
        .limit(most)
    )
    return {(row.sha256, row.created_at): row.vector for row in rows}


def count_hits(tx: Tx, keys: Iterable[tuple[str, str, str, str]]) -> None:
    """Remember that vectors of (tenant, file, feature version, engine build) were asked for; prewarm loads those first."""
    for tenant_id, sha256, version, build in sorted(keys):
        tx.execute(update(vectors).where(_these(tenant_id, version, build, [sha256])).values(hits=vectors.c.hits + 1))


def _these(tenant_id: str, version: str, build: str, sha256s: Sequence[str]) -> ColumnElement[bool]:
    return and_(
        vectors.c.tenant_id == tenant_id,
        vectors.c.feature_version == version,
        vectors.c.engine_build == build,
        vectors.c.sha256.in_(sha256s),
    )
