"""A tenant's named references to files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit, json_text, quotas
from ledger.prepared import tuples
from ledger.rows import files, native, parts, vectors
from ledger.session import Tx

_BITE = 900  # values of an IN list that every database takes


@dataclass(frozen=True, slots=True)
class NewPart:
    """A stored file under a name. `format` is what its content was recognised as, `labels` are its own; those of its upload come first."""

    id: str
    name: str
    sha256: str
    bytes: int
    format: str
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Named:
    """A part, as far as it takes to name it."""

    id: str
    name: str
    sha256: str
    format: str


def add(tx: Tx, tenant_id: str, new: Sequence[NewPart], labels: dict[str, str]) -> None:
    """Write parts and the files they name, in four statements however many there are. Raises QUOTA_EXCEEDED."""
    if not new:
        return
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    # One order everywhere, so that two uploads with common files never wait for each other; and an update rather than
    # nothing where the row is there, because it holds the row against a sweep until the commit.
    once = sorted({part.sha256: part for part in new}.values(), key=lambda part: part.sha256)
    row = dialect.insert(files)
    tx.execute(
        row.on_conflict_do_update(index_elements=["sha256"], set_={"bytes": row.excluded.bytes}),
        [{"sha256": p.sha256, "bytes": p.bytes, "format": p.format, "created_at": tx.now} for p in once],
    )
    tx.execute(
        insert(parts),
        [
            {"id": p.id, "tenant_id": tenant_id, "name": p.name, "sha256": p.sha256, "labels": p.labels | labels, "created_at": tx.now}
            for p in new
        ],
    )
    quotas.keep(tx, tenant_id, len(new), sum(part.bytes for part in new))
    audit.record(tx, tenant_id, "api", "parts.added", new[0].id, parts=len(new))


def _mine(tenant_id: str) -> Any:
    return (
        select(parts, files.c.bytes, files.c.format)
        .join(files, files.c.sha256 == parts.c.sha256)
        .where(parts.c.tenant_id == tenant_id, parts.c.deleted_at.is_(None))
    )


def view(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "sha256": row.sha256,
        "format": row.format,
        "bytes": row.bytes,
        "labels": row.labels,
        "created_at": iso(row.created_at),
    }


def get(tx: Tx, tenant_id: str, part_id: str) -> dict[str, Any]:
    """A part with what is known of its vectors. Raises PART_NOT_FOUND, also for a part of another tenant."""
    row = tx.execute(_mine(tenant_id).where(parts.c.id == part_id)).one_or_none()
    if row is None:
        raise Failure("PART_NOT_FOUND", {"id": part_id[:64]})
    found = tx.execute(
        select(*(vectors.c[name] for name in ("feature_version", "engine_build", "provenance", "result", "created_at")))
        .where(vectors.c.tenant_id == tenant_id, vectors.c.sha256 == row.sha256)
        .order_by(vectors.c.feature_version, vectors.c.created_at)
    )
    return view(row) | {
        "vectors": [
            {
                "feature_version": v.feature_version,
                "engine_build": v.engine_build,
                "provenance": v.provenance,
                "result": v.result,
                "created_at": iso(v.created_at),
            }
            for v in found
        ]
    }


def page(
    tx: Tx, tenant_id: str, limit: int, after: str | None, name: str | None, format: str | None, labels: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Parts of a tenant, newest first, starting behind the part id `after`."""
    query = _mine(tenant_id).where(*matching({"labels": labels})).order_by(parts.c.id.desc()).limit(limit)
    query = query.where(parts.c.id < after) if after else query
    query = query.where(parts.c.name.contains(name, autoescape=True)) if name else query
    query = query.where(files.c.format == format) if format else query
    return [view(row) for row in tx.execute(query)]


def delete(tx: Tx, tenant_id: str, part_id: str) -> None:
    """Forget a part. Raises PART_NOT_FOUND."""
    gone = tx.execute(
        update(parts)
        .where(parts.c.id == part_id, parts.c.tenant_id == tenant_id, parts.c.deleted_at.is_(None))
        .values(deleted_at=tx.now)
        .returning(parts.c.sha256)
    ).one_or_none()
    if gone is None:
        raise Failure("PART_NOT_FOUND", {"id": part_id[:64]})
    quotas.keep(tx, tenant_id, -1, -tx.number(select(files.c.bytes).where(files.c.sha256 == gone.sha256)))
    audit.record(tx, tenant_id, "api", "part.deleted", part_id)


def in_bites(tx: Tx, values: Sequence[Any], query: Callable[[Sequence[Any]], Any], size: int = _BITE) -> list[Any]:
    """Rows of a query with an IN list, asked in bites that every database takes."""
    return [row for start in range(0, len(values), size) for row in tx.execute(query(values[start : start + size]))]


# as text, because a job may name many thousands: one list is one value
_SIZES_SQLITE = """
SELECT parts.id, files.bytes FROM json_each(?) AS asked CROSS JOIN parts ON parts.id = asked.value JOIN files ON files.sha256 = parts.sha256
WHERE parts.tenant_id = ? AND parts.deleted_at IS NULL"""
_SIZES_POSTGRESQL = """
SELECT parts.id, files.bytes FROM parts JOIN files ON files.sha256 = parts.sha256
WHERE parts.id = ANY(%s::text[]) AND parts.tenant_id = %s AND parts.deleted_at IS NULL"""


def sizes(tx: Tx, tenant_id: str, part_ids: Sequence[str]) -> dict[str, int]:
    """Bytes of those of the named parts that are the tenant's."""
    postgres = tx.connection.dialect.name == "postgresql"
    asked = list(part_ids) if postgres else json_text.written(part_ids)
    return dict(tuples(tx.connection, _SIZES_POSTGRESQL if postgres else _SIZES_SQLITE, (asked, tenant_id)))


def copies(tx: Tx, tenant_id: str) -> dict[str, list[str]]:
    """Contents that a tenant has more than once: by SHA-256 the ids of the parts, the oldest first."""
    mine = (parts.c.tenant_id == tenant_id, parts.c.deleted_at.is_(None))
    often = select(parts.c.sha256).where(*mine).group_by(parts.c.sha256).having(func.count() > 1)
    return _by_content(tx.execute(select(parts.c.sha256, parts.c.id).where(*mine, parts.c.sha256.in_(often)).order_by(parts.c.id)))


def of_contents(tx: Tx, tenant_id: str, sha256s: Sequence[str]) -> dict[str, list[str]]:
    """By SHA-256 the ids of a tenant's parts with that content, the oldest first."""
    query = select(parts.c.sha256, parts.c.id).where(parts.c.tenant_id == tenant_id, parts.c.deleted_at.is_(None)).order_by(parts.c.id)
    return _by_content(in_bites(tx, sha256s, lambda bite: query.where(parts.c.sha256.in_(bite))))


def _by_content(rows: Iterable[Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for sha256, part_id in rows:
        found.setdefault(sha256, []).append(part_id)
    return found


def named(tx: Tx, tenant_id: str, part_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Those of the parts that are the tenant's, as clients see them."""
    return {row.id: view(row) for row in in_bites(tx, part_ids, lambda bite: _mine(tenant_id).where(parts.c.id.in_(bite)))}


def alive(tx: Tx, tenant_id: str, part_ids: Sequence[str]) -> dict[str, Named]:
    """Those of the parts that are the tenant's, by id."""
    return {row.id: _named(row) for row in in_bites(tx, part_ids, lambda bite: _mine(tenant_id).where(parts.c.id.in_(bite)))}


def _named(row: Any) -> Named:
    return Named(row.id, row.name, row.sha256, row.format)


def count(tx: Tx, tenant_id: str, added_after: float = 0.0) -> int:
    """How many parts a tenant has that were added after a time."""
    mine = (parts.c.tenant_id == tenant_id, parts.c.deleted_at.is_(None), parts.c.created_at > added_after)
    return tx.number(select(func.count()).select_from(parts).where(*mine))


def without_vector(tx: Tx, tenant_id: str, selector: Mapping[str, Any], version: str, build: str) -> int:
    """How many of the tenant's parts that match a selector have no native vector in a feature version and engine build."""
    here = (vectors.c.tenant_id == tenant_id, vectors.c.feature_version == version, vectors.c.engine_build == build, native())
    lacking = ~select(vectors.c.sha256).where(vectors.c.sha256 == parts.c.sha256, *here).exists()
    return tx.number(select(func.count()).select_from(_mine(tenant_id).where(lacking, *matching(selector)).subquery()))


def contents(tx: Tx, tenant_id: str, part_ids: Sequence[str], deleted: bool = False) -> dict[str, str]:
    """SHA-256 of those of the named parts that are the tenant's; with `deleted` also of those that are still known."""
    query = select(parts.c.id, parts.c.sha256).where(parts.c.tenant_id == tenant_id)
    query = query if deleted else query.where(parts.c.deleted_at.is_(None))
    return {row.id: row.sha256 for row in in_bites(tx, part_ids, lambda bite: query.where(parts.c.id.in_(bite)))}


def one_each(tx: Tx, tenant_id: str, part_ids: Iterable[str]) -> list[str]:
    """Of parts with the same content only the first; ids that are nobody's stay."""
    asked = list(part_ids)
    known = contents(tx, tenant_id, asked)
    first: dict[str, str] = {}
    for part_id in asked:
        first.setdefault(known.get(part_id, part_id), part_id)
    return list(first.values())


def select_ids(tx: Tx, tenant_id: str, selector: Mapping[str, Any], limit: int | None) -> dict[str, int]:
    """Ids and bytes of the tenant's parts that match a selector: {"parts": [ids]}, {"labels": {...}}, {"format": ...} or {}."""
    if selector.get("parts"):
        return sizes(tx, tenant_id, selector["parts"])
    query = _mine(tenant_id).where(*matching(selector)).order_by(parts.c.id).limit(limit)
    return {row.id: row.bytes for row in tx.execute(query)}


def matching(selector: Mapping[str, Any]) -> list[ColumnElement[bool]]:
    """Conditions on a part: {"labels": {...}}, {"format": ...}, both or neither."""
    wanted = [parts.c.labels[name].as_string() == value for name, value in (selector.get("labels") or {}).items()]
    return [*wanted, files.c.format == selector["format"]] if selector.get("format") else wanted


def of_files(tx: Tx, tenant_id: str, sha256s: Sequence[str], selector: Mapping[str, Any]) -> list[Named]:
    """The tenant's live parts of these files that match a selector, oldest first."""
    found = in_bites(tx, sha256s, lambda bite: _mine(tenant_id).where(parts.c.sha256.in_(bite), *matching(selector)))
    return [_named(row) for row in sorted(found, key=lambda row: row.id)]


def files_of(tx: Tx, tenant_id: str, selector: Mapping[str, Any], limit: int) -> list[str]:
    """Files of the tenant's live parts that match a selector, at most so many."""
    chosen = select(parts.c.sha256).join(files, files.c.sha256 == parts.c.sha256)
    mine = chosen.where(parts.c.tenant_id == tenant_id, parts.c.deleted_at.is_(None), *matching(selector))
    return list(tx.execute(mine.distinct().limit(limit)).scalars())
