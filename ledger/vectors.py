"""Feature vectors: the truth that any index is rebuilt from. A vector belongs to (tenant, file, feature version, engine build).

Its provenance is `extracted` (from the file), `cut` (the first slots of a longer one, bit for bit those of an extraction) or
`projected` (a shorter one, filled up because the file is gone). A projected vector is kept and shown, but is no answer to an
extraction, is not searched, and stands in no gallery and no statistics: whoever reads vectors here asks for `native` ones or says why not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Executable, and_, bindparam, case, delete, func, null, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger.epochs import Shelf, note
from ledger.parts import in_bites
from ledger.prepared import Prepared
from ledger.rows import CUT as CUT
from ledger.rows import EXTRACTED as EXTRACTED
from ledger.rows import PROJECTED as PROJECTED
from ledger.rows import files, native, parts, vectors
from ledger.session import Tx

_SAMPLE = 500  # results of which a median is taken
_NAMED = 900  # of the parts that a selector names, spread evenly, so many are looked at


@dataclass(frozen=True, slots=True)
class Vector:
    sha256: str
    feature_version: str
    engine_build: str
    family: str
    vector: bytes  # float32, little endian
    result: dict[str, Any]
    provenance: str = EXTRACTED


@dataclass(frozen=True, slots=True)
class Stored:
    """An extraction result as it is stored, or what was made of one."""

    result: dict[str, Any]
    provenance: str = EXTRACTED


def _put(dialect: str) -> Executable:
    statement: Any = (postgresql if dialect == "postgresql" else sqlite).insert(vectors)
    # numbers that come out as they were have not been written anew: what was made from them still holds
    written = case((vectors.c.vector == statement.excluded.vector, vectors.c.created_at), else_=statement.excluded.created_at)
    upsert: Executable = statement.on_conflict_do_update(
        index_elements=["tenant_id", "sha256", "feature_version", "engine_build"],
        set_={name: statement.excluded[name] for name in ("family", "vector", "result", "provenance", "job_id")} | {"created_at": written},
        where=or_(statement.excluded.provenance != PROJECTED, vectors.c.provenance == PROJECTED),
    )
    return upsert


_PUT = Prepared(_put)


def put(tx: Tx, tenant_id: str, new: Iterable[Vector], job_id: str | None = None) -> None:
    """Store vectors; one that is there already is replaced (a forced extraction, or a second attempt), but no native one by a projected.
    Last in a transaction."""
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
            "provenance": v.provenance,
            "job_id": job_id,
        }
        # One order everywhere, so that two chunks with common files never wait for each other.
        for _, v in sorted({(v.sha256, v.feature_version, v.engine_build): v for v in new}.items())
    ]
    if not rows:
        return
    _PUT.each(tx.connection, rows)
    shelves = _by_shelf(tenant_id, [(str(row["sha256"]), str(row["feature_version"]), str(row["engine_build"])) for row in rows])
    for shelf in sorted(shelves):
        note(tx, shelf, shelves[shelf])


def put_back(tx: Tx, tenant_id: str, before: Sequence[Mapping[str, Any]], gone: Sequence[tuple[str, str, str]]) -> None:
    """Make vectors, which are there and held, what they were, whole but for their hits: who wrote them, when, and from what; and remove
    others by (file, feature version, engine build). Last in a transaction."""
    if before:
        _restore(tx, tenant_id, before)
    this = (vectors.c.sha256 == bindparam("s"), vectors.c.feature_version == bindparam("f"), vectors.c.engine_build == bindparam("b"))
    if gone:
        tx.execute(delete(vectors).where(vectors.c.tenant_id == tenant_id, *this), [{"s": s, "f": f, "b": b} for s, f, b in gone])
    restored = _by_shelf(tenant_id, [(row["sha256"], row["feature_version"], row["engine_build"]) for row in before])
    removed = _by_shelf(tenant_id, gone)
    for shelf in sorted(restored.keys() | removed.keys()):
        note(tx, shelf, restored.get(shelf, []))
        note(tx, shelf, removed.get(shelf, []), removed=True)


def _restore(tx: Tx, tenant_id: str, before: Sequence[Mapping[str, Any]]) -> None:
    key = ("sha256", "feature_version", "engine_build")
    these = (vectors.c.tenant_id == tenant_id, *(vectors.c[name] == bindparam(f"k_{name}") for name in key))
    values = {name: bindparam(f"v_{name}", type_=vectors.c[name].type) for name in before[0] if name not in key}
    told = [{f"{'k' if name in key else 'v'}_{name}": value for name, value in row.items()} for row in before]
    tx.execute(update(vectors).where(*these).values(values), told)


def _by_shelf(tenant_id: str, keys: Iterable[tuple[str, str, str]]) -> dict[Shelf, list[str]]:
    """Files of (file, feature version, engine build), by shelf."""
    found: dict[Shelf, list[str]] = {}
    for sha256, version, build in keys:
        found.setdefault(Shelf(tenant_id, version, build), []).append(sha256)
    return found


def results(tx: Tx, tenant_id: str, sha256s: Sequence[str], version: str, build: str) -> dict[str, dict[str, Any]]:
    """Native extraction results by file."""
    query = select(vectors.c.sha256, vectors.c.result).where(native())
    rows = in_bites(tx, sha256s, lambda bite: query.where(_these(tenant_id, version, build, bite)))
    return {row.sha256: row.result for row in rows}


def in_every_version(tx: Tx, tenant_id: str, sha256s: Sequence[str], build: str) -> dict[str, dict[str, Stored]]:
    """All that is stored by file and feature version, projected ones too: a migration decides what to make of them."""
    here = (vectors.c.tenant_id == tenant_id, vectors.c.engine_build == build)
    query = select(vectors.c.sha256, vectors.c.feature_version, vectors.c.result, vectors.c.provenance).where(*here)
    found: dict[str, dict[str, Stored]] = {}
    for row in in_bites(tx, sha256s, lambda bite: query.where(vectors.c.sha256.in_(bite))):
        found.setdefault(row.sha256, {})[row.feature_version] = Stored(row.result, row.provenance)
    return found


def typical_seconds(tx: Tx, tenant_id: str, build: str) -> dict[str, float]:
    """Median seconds that extractions of each format took, over a sample of what is stored."""
    seconds = vectors.c.result["seconds"].as_float().label("seconds")
    query = select(files.c.format, seconds).join(files, files.c.sha256 == vectors.c.sha256)
    found: dict[str, list[float]] = {}
    for row in tx.execute(query.where(vectors.c.tenant_id == tenant_id, vectors.c.engine_build == build).limit(_SAMPLE)):
        if row.seconds is not None:
            found.setdefault(row.format, []).append(row.seconds)
    return {format: median(measured) for format, measured in found.items()}


def formats(tx: Tx, sha256s: Sequence[str]) -> dict[str, str]:
    """What files were recognised as."""
    rows = in_bites(tx, sha256s, lambda bite: select(files.c.sha256, files.c.format).where(files.c.sha256.in_(bite)))
    return {row.sha256: row.format for row in rows}


def builds(tx: Tx, tenant_id: str, version: str) -> list[str]:
    """Engine builds in which a tenant has vectors of a feature version, the newest first: they are numbers that only rise."""
    here = (vectors.c.tenant_id == tenant_id, vectors.c.feature_version == version)
    found = tx.execute(select(vectors.c.engine_build).where(*here).distinct()).scalars()
    return sorted(found, key=lambda build: (len(build), build), reverse=True)


@dataclass(frozen=True, slots=True)
class Pair:
    """A file's native vectors in two feature versions, as float32 bytes; `after` is None where it was not asked for."""

    sha256: str
    family: str
    before: bytes
    after: bytes | None


def sample(tx: Tx, tenant_id: str, source: str, target: str | None, build: str, selector: Mapping[str, Any], limit: int) -> list[Pair]:
    """Files of parts that match a selector, with native vectors in `source` and, unless it is None, in `target`.

    The first so many by hash: the same ones each time, and as good as drawn by lot."""
    one, other = vectors.alias("one"), vectors.alias("other")
    mine = [parts.c.tenant_id == tenant_id, parts.c.sha256 == one.c.sha256, parts.c.deleted_at.is_(None)]
    if named := selector.get("parts"):
        mine.append(parts.c.id.in_(named[:: -(-len(named) // _NAMED)]))
    mine += [parts.c.labels[name].as_string() == value for name, value in (selector.get("labels") or {}).items()]
    part = select(parts.c.id).where(*mine)
    if selector.get("format"):
        part = part.join(files, files.c.sha256 == parts.c.sha256).where(files.c.format == selector["format"])

    def here(table: Any, version: str) -> ColumnElement[bool]:
        keys = (table.c.tenant_id == tenant_id, table.c.feature_version == version, table.c.engine_build == build)
        return and_(*keys, table.c.provenance != PROJECTED)

    query = select(one.c.sha256, one.c.family, one.c.vector, null() if target is None else other.c.vector).where(here(one, source))
    if target is not None:
        query = query.join(other, and_(other.c.sha256 == one.c.sha256, here(other, target)))
    return [Pair(*row) for row in tx.execute(query.where(part.exists()).order_by(one.c.sha256).limit(limit))]


def written(tx: Tx, tenant_id: str, sha256s: Sequence[str], version: str, build: str) -> dict[str, float]:
    """When the native vectors of these files were written, in seconds since the epoch, by file."""
    query = select(vectors.c.sha256, vectors.c.created_at).where(native())
    rows = in_bites(tx, sha256s, lambda bite: query.where(_these(tenant_id, version, build, bite)))
    return {row.sha256: row.created_at for row in rows}


def load(tx: Tx, tenant_id: str, sha256s: Sequence[str], version: str, build: str) -> dict[str, bytes]:
    """Native vectors by file, as float32 bytes."""
    query = select(vectors.c.sha256, vectors.c.vector).where(native())
    rows = in_bites(tx, sha256s, lambda bite: query.where(_these(tenant_id, version, build, bite)))
    return {row.sha256: row.vector for row in rows}


def described(tx: Tx, tenant_id: str, sha256s: Sequence[str]) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """Engine build and result of every extraction of these files for a tenant, by file, the newest first."""
    query = select(vectors.c.sha256, vectors.c.engine_build, vectors.c.result).where(vectors.c.tenant_id == tenant_id, native())
    newest = query.order_by(vectors.c.created_at.desc(), vectors.c.feature_version.desc())
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for row in in_bites(tx, sha256s, lambda bite: newest.where(vectors.c.sha256.in_(bite))):
        found.setdefault(row.sha256, []).append((row.engine_build, row.result))
    return found


def written_after(tx: Tx, tenant_id: str, version: str, time: float) -> int:
    """How many vectors of a tenant in a feature version were written after a time."""
    mine = (vectors.c.tenant_id == tenant_id, vectors.c.feature_version == version, vectors.c.created_at > time, native())
    return tx.number(select(func.count()).select_from(vectors).where(*mine))


def _these(tenant_id: str, version: str, build: str, sha256s: Sequence[str]) -> ColumnElement[bool]:
    return and_(
        vectors.c.tenant_id == tenant_id,
        vectors.c.feature_version == version,
        vectors.c.engine_build == build,
        vectors.c.sha256.in_(sha256s),
    )
