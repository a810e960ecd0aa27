"""Which vectors are asked for: what a cache should hold before it is asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, select, update

from ledger.parts import in_bites
from ledger.rows import items, jobs, native, parts, vectors
from ledger.session import Tx

_BATCHES = 20  # similarity jobs that count as recent


class Hot(NamedTuple):
    """One vector, by the time it was written at."""

    feature_version: str
    sha256: str
    written: float


def count_hits(tx: Tx, keys: Iterable[tuple[str, str, str, str]]) -> None:
    """Remember that vectors of (tenant, file, feature version, engine build) were asked for."""
    for tenant_id, sha256, version, build in sorted(keys):
        these = _of(tenant_id, build, [version]) & (vectors.c.sha256 == sha256)
        tx.execute(update(vectors).where(these).values(hits=vectors.c.hits + 1, hit_at=tx.now))


def hottest(tx: Tx, tenant_id: str, build: str, versions: Sequence[str], most: int) -> list[Hot]:
    """What to load, most urgent first: asked for lately; queries of the last batches; then hits per length of the vector."""
    these = _of(tenant_id, build, versions)
    lately = _ask(tx, these & vectors.c.hit_at.is_not(None), vectors.c.hit_at.desc(), most)
    often = _ask(tx, these, (vectors.c.hits * 1.0 / func.length(vectors.c.vector)).desc(), most)
    return list(dict.fromkeys([*lately, *queries(tx, tenant_id, build, versions, most), *often]))[:most]


def queries(tx: Tx, tenant_id: str, build: str, versions: Sequence[str], most: int) -> list[Hot]:
    """The vectors that the last similarity jobs asked with, newest job first, as often as they were asked."""
    recent = (
        select(jobs.c.id)
        .where(jobs.c.tenant_id == tenant_id, jobs.c.kind == "similarity", jobs.c.pruned_at.is_(None))
        .order_by(jobs.c.id.desc())
        .limit(_BATCHES)
    )
    found = (
        select(vectors.c.feature_version, vectors.c.sha256, vectors.c.created_at)
        .select_from(items)
        .join(parts, and_(parts.c.id == items.c.part_id, parts.c.tenant_id == tenant_id))
        .join(vectors, vectors.c.sha256 == parts.c.sha256)
        .where(items.c.job_id.in_(recent), _of(tenant_id, build, versions))
        .order_by(items.c.job_id.desc(), items.c.index)
        .limit(most)
    )
    return [Hot(*row) for row in tx.execute(found)]


def load(tx: Tx, tenant_id: str, build: str, wanted: Sequence[Hot]) -> dict[Hot, bytes]:
    """Vectors as float32 bytes; one that was written anew since is left out."""
    found: dict[Hot, bytes] = {}
    for version in sorted({one.feature_version for one in wanted}):
        sha256s = [one.sha256 for one in wanted if one.feature_version == version]
        these = _of(tenant_id, build, [version])
        columns = select(vectors.c.feature_version, vectors.c.sha256, vectors.c.created_at, vectors.c.vector).where(these)
        for row in in_bites(tx, sha256s, partial(_named, columns)):
            found[Hot(row.feature_version, row.sha256, row.created_at)] = row.vector
    return {one: found[one] for one in wanted if one in found}


def _named(query: Select[Any], sha256s: Sequence[str]) -> Select[Any]:
    return query.where(vectors.c.sha256.in_(sha256s))


def _ask(tx: Tx, these: ColumnElement[bool], order: Any, most: int) -> list[Hot]:
    columns = select(vectors.c.feature_version, vectors.c.sha256, vectors.c.created_at)
    return [Hot(*row) for row in tx.execute(columns.where(these).order_by(order, vectors.c.sha256).limit(most))]


def _of(tenant_id: str, build: str, versions: Sequence[str]) -> ColumnElement[bool]:
    return and_(vectors.c.tenant_id == tenant_id, vectors.c.engine_build == build, vectors.c.feature_version.in_(versions), native())
