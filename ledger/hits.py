"""What similarity jobs have found, read from the results of their items: hits, and the pairs of parts they make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from foundation.errors import Failure
from ledger import job_views, recorded
from ledger.parts import in_bites
from ledger.rows import items, jobs
from ledger.session import Ledger, Tx

_BITE = 200  # items


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """The `place`-th hit of the item with this index."""

    index: int
    place: int
    query: str  # id of the part that asked
    part: str
    told: dict[str, Any]


def searched(tx: Tx, tenant_id: str, job_id: str) -> dict[str, Any]:
    """A similarity job whose hits are there. Raises JOB_NOT_FOUND, JOB_WITHOUT_HITS, RESULTS_PRUNED."""
    job = job_views.get(tx, tenant_id, job_id)
    if job["kind"] != "similarity":
        raise Failure("JOB_WITHOUT_HITS", {"id": job["id"], "kind": job["kind"]})
    if job["results_pruned_at"] is not None:
        raise Failure("RESULTS_PRUNED", {"id": job["id"], "pruned_at": job["results_pruned_at"]})
    return job


def newest_all_against_all(tx: Tx, tenant_id: str) -> str | None:
    """The newest job of a tenant that compared all of its parts, has ended well and still has its results."""
    done = (jobs.c.state.in_(("succeeded", "partial")), jobs.c.pruned_at.is_(None), jobs.c.results_pruned_at.is_(None))
    everything = jobs.c.input["all_against_all"].as_boolean()
    chosen = select(jobs.c.id).where(jobs.c.tenant_id == tenant_id, jobs.c.kind == "similarity", *done, everything)
    job_id: str | None = tx.connection.scalar(chosen.order_by(jobs.c.id.desc()).limit(1))
    return job_id


def every(ledger: Ledger, job_id: str) -> Iterator[list[Hit]]:
    """All hits of a job, some items at a time. The caller has checked whose job it is."""
    after = -1
    while True:
        with ledger.read() as tx:
            rows = _bite(tx, job_id, after)
        if not rows:
            return
        yield [hit for row in rows for hit in _hits(row)]
        after = rows[-1].index


def these(tx: Tx, job_id: str, places: Sequence[tuple[int, int]]) -> list[Hit]:
    """The hits at (index of the item, place), in that order."""
    indexes = sorted({index for index, _ in places})
    query = select(items.c.index, items.c.part_id, items.c.result)
    rows = in_bites(tx, indexes, lambda bite: query.where(items.c.job_id == job_id, items.c.index.in_(bite)))
    found = {(hit.index, hit.place): hit for row in rows for hit in _hits(row)}
    return [found[place] for place in places if place in found]


def _bite(tx: Tx, job_id: str, after: int) -> Sequence[Any]:
    query = select(items.c.index, items.c.part_id, items.c.result).where(items.c.job_id == job_id, items.c.index > after)
    return list(tx.execute(query.where(items.c.state == "succeeded").order_by(items.c.index).limit(_BITE)))


def _hits(row: Any) -> list[Hit]:
    return [Hit(row.index, place, row.part_id, hit["part_id"], hit) for place, hit in enumerate((row.result or {}).get("hits", ()))]


def once(ledger: Ledger, job_id: str, after: tuple[int, int]) -> Iterator[list[Hit]]:
    """Hits behind a place, of which each unordered pair of parts shows one: that of the item with the lower index.

    Two parts may both have been asked for, and the one may be among the hits of the other only; so the hits of the earlier
    item are looked at, where there is one. Bounded by ids: one number for each item of the job.
    """
    with ledger.read() as tx:
        first = _first_items(tx, job_id)
    start = after[0] - 1
    while True:
        with ledger.read() as tx:
            rows = _bite(tx, job_id, start)
            if not rows:
                return
            own = [hit for row in rows for hit in _hits(row) if first[row.part_id] == row.index and hit.part != hit.query]
            hits = [hit for hit in own if (hit.index, hit.place) > after]
            told = _told_before(tx, job_id, hits, first)
        yield [hit for hit in hits if (hit.index, hit.place) not in told]
        start = rows[-1].index


def _first_items(tx: Tx, job_id: str) -> dict[str, int]:
    """The lowest index of the items of each part."""
    query = select(items.c.part_id, func.min(items.c.index)).where(items.c.job_id == job_id).group_by(items.c.part_id)
    return {part_id: int(index) for part_id, index in tx.execute(query)}


def _told_before(tx: Tx, job_id: str, hits: Sequence[Hit], first: dict[str, int]) -> set[tuple[int, int]]:
    """Those hits whose pair is also one of an earlier item."""
    doubtful = [hit for hit in hits if first.get(hit.part, hit.index) < hit.index]
    indexes = sorted({first[hit.part] for hit in doubtful})
    query = select(items.c.part_id, items.c.result)
    rows = in_bites(tx, indexes, lambda bite: query.where(items.c.job_id == job_id, items.c.index.in_(bite)))
    found = {(row.part_id, hit["part_id"]) for row in rows for hit in (row.result or {}).get("hits", ())}
    return {(hit.index, hit.place) for hit in doubtful if (hit.part, hit.query) in found}


def failures(tx: Tx, job_id: str) -> dict[str, int]:
    """How many items of a job failed, by code."""
    code = recorded.code(items.c.error)
    query = select(code, func.count()).where(items.c.job_id == job_id, items.c.state == "failed").group_by(code)
    return {str(name): int(count) for name, count in tx.execute(query)}


def ended_at(tx: Tx, job_id: str) -> tuple[float, float | None]:
    """When a job was submitted and when it ended, in seconds since the epoch."""
    row = tx.execute(select(jobs.c.created_at, jobs.c.finished_at).where(jobs.c.id == job_id)).one()
    return float(row.created_at), row.finished_at
