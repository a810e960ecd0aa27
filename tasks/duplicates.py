"""The duplicates report: which parts are there more than once, from the newest job that compared all of them with each other."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from foundation.errors import Failure
from ledger import hits, parts, reviews, vectors
from ledger.session import Ledger, Tx
from tasks.clusters import evidence, named
from tasks.grouping import Edge, Grouping, grouped
from tasks.reviews import HIDING

COMPARISON: dict[str, Any] = {
    "queries": "all",
    "distinct": True,
    "scale_invariant": True,
    "top_k": 50,
    "filters": {"matches": ["exact", "same", "scaled", "likely"]},
}
"""The input of the similarity job that this report is made for."""

PARTS_SHOWN = 200  # of a group


class Kind(StrEnum):
    """Kinds of groups, the surest first. A group is told by the weakest evidence it needs, and holds groups of surer kinds."""

    CONTENT = "content"
    GEOMETRY = "geometry"
    PART = "part"
    LIKELY = "likely"
    UNITS = "units"
    SIZE = "size"


SENTENCES: Mapping[Kind, str] = {
    Kind.CONTENT: "The same file: equal byte for byte.",
    Kind.GEOMETRY: "The same geometry: all slots are equal, size included. Texts are not compared.",
    Kind.PART: "The same part, or its mirror image, in another file, format or pose.",
    Kind.LIKELY: "Probably the same part: as near as a coarse mesh or straightened curves of it would be. Look at them.",
    Kind.UNITS: "The same shape 25.4 times as large: one of the two seems to have its unit of length wrong.",
    Kind.SIZE: "The same shape at another size.",
}
_KINDS = tuple(Kind)


def rank(hit: Mapping[str, Any]) -> int | None:
    """Place in `Kind` of what a hit shows; None: nothing for this report."""
    label, likely = hit["label"], bool(hit.get("likely"))
    if label in ("scaled", "near"):
        shown = Kind.UNITS if hit["units_suspected"] else Kind.SIZE if label == "scaled" else Kind.LIKELY if likely else None
    else:
        shown = Kind.GEOMETRY if hit.get("equal") else Kind.PART
    return None if shown is None else _KINDS.index(shown)


@dataclass(frozen=True, slots=True)
class Found:
    """A group of parts; `contains` are the ids of the groups of surer kinds within."""

    kind: Kind
    id: str
    parts: list[str]
    contents: list[str]
    edges: list[Edge]
    subgroups: dict[str, str]  # by content the group of a surer kind it is in


@dataclass(frozen=True, slots=True)
class Report:
    """Groups by kind, the surest kind and the largest group first, and how far they can be trusted."""

    job: dict[str, Any] | None
    groups: list[Found]
    rejected: Collection[reviews.Contents]
    left_out: dict[str, int]
    stale: dict[str, int]
    not_compared: dict[str, int]  # by code

    def head(self) -> dict[str, Any]:
        """All but the groups, as clients see it."""
        kinds = {kind.value: [group for group in self.groups if group.kind is kind] for kind in Kind}
        return {
            "job": self.job and {name: self.job[name] for name in ("id", "state", "input", "created_at", "finished_at", "counts")},
            "stale": self.stale | {"stale": any(self.stale.values())},
            "not_compared": self.not_compared,
            "left_out": self.left_out,
            "kinds": {
                kind: {"groups": len(some), "parts": sum(len(group.parts) for group in some), "sentence": SENTENCES[Kind(kind)]}
                for kind, some in kinds.items()
            },
        }


def report(ledger: Ledger, tenant_id: str, job_id: str | None, kinds: Collection[Kind], reviewed: bool) -> Report:
    """Groups of a tenant's parts by what a similarity job found, the newest of all against all unless one is named.

    Copies are read from the ledger as it is now, and need no job. Raises DUPLICATES_UNSEARCHED, and what `hits.searched` raises.
    """
    job, stale, not_compared = None, {"parts_added": 0, "vectors_changed": 0}, dict[str, int]()
    grouping = Grouping(len(_KINDS))
    with ledger.read() as tx:
        copies = parts.copies(tx, tenant_id)
        hidden = {} if reviewed else {pair[0]: mark for pair, mark in reviews.marked(tx, tenant_id, HIDING).items() if pair[0] == pair[1]}
        if job_id is not None or set(kinds) != {Kind.CONTENT}:
            job_id = job_id or hits.newest_all_against_all(tx, tenant_id)
            if job_id is None:
                raise Failure("DUPLICATES_UNSEARCHED", {"job": {"kind": "similarity", "input": COMPARISON}})
            job = hits.searched(tx, tenant_id, job_id)
            stale, not_compared = _stale(tx, tenant_id, job), hits.failures(tx, job_id)
    if job is not None:
        grouping = grouped(ledger, tenant_id, job["id"], len(_KINDS), rank, _by_content(tenant_id), reviewed)
    left_out = dict(grouping.left_out)
    for sha256 in copies.keys() & hidden.keys():
        left_out[hidden[sha256]] += 1
    found = _of_copies({sha256: ids for sha256, ids in copies.items() if sha256 not in hidden})
    found += _of_groups(ledger, tenant_id, grouping, found)
    chosen = [group for group in found if group.kind in kinds]
    chosen.sort(key=lambda group: (_KINDS.index(group.kind), -len(group.parts), group.id))
    return Report(job, chosen, grouping.rejected, left_out, stale, not_compared)


def _stale(tx: Tx, tenant_id: str, job: Mapping[str, Any]) -> dict[str, int]:
    submitted, ended = hits.ended_at(tx, job["id"])
    changed = 0 if ended is None else vectors.written_after(tx, tenant_id, job["input"]["feature_version"], ended)
    return {"parts_added": parts.count(tx, tenant_id, submitted), "vectors_changed": changed}


def _by_content(tenant_id: str) -> Any:
    # deleted parts too: another one may have the same content
    def by_content(tx: Tx, part_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
        return {part_id: (sha256, sha256) for part_id, sha256 in parts.contents(tx, tenant_id, part_ids, deleted=True).items()}

    return by_content


def _of_copies(copies: Mapping[str, list[str]]) -> list[Found]:
    return [Found(Kind.CONTENT, named(Kind.CONTENT, [sha256]), ids, [sha256], [], {}) for sha256, ids in copies.items()]


def _of_groups(ledger: Ledger, tenant_id: str, grouping: Grouping, copies: Sequence[Found]) -> list[Found]:
    """Groups of contents, told as the parts that have them now; one that is left with a single part is none."""
    with ledger.read() as tx:
        owners = parts.of_contents(tx, tenant_id, grouping.keys)
    of_copies = {group.contents[0]: group.id for group in copies}
    ids: dict[int, str] = {}
    found = []
    for group in grouping.groups():
        alive = [sha256 for sha256 in group.members if sha256 in owners]
        if len(alive) < 2:
            continue
        kind = _KINDS[group.rank]
        ids[id(group)] = named(kind, alive)
        within = {sha256: ids[id(inner)] for inner in group.inner if id(inner) in ids for sha256 in inner.members}
        subgroups = {sha256: within.get(sha256) or of_copies[sha256] for sha256 in alive if sha256 in within or sha256 in of_copies}
        found.append(Found(kind, ids[id(group)], [one for sha256 in alive for one in owners[sha256]], alive, group.edges, subgroups))
    return found


def told(ledger: Ledger, tenant_id: str, about: Report, groups: Sequence[Found]) -> Iterator[dict[str, Any]]:
    """Groups with their parts and their evidence, as clients see them."""
    for group in groups:
        with ledger.read() as tx:
            shown = parts.named(tx, tenant_id, group.parts[:PARTS_SHOWN])
            measured = vectors.described(tx, tenant_id, sorted({part["sha256"] for part in shown.values()}))
        pairs = _evidence(ledger, tenant_id, about, group, shown)
        members = set(group.contents)
        yield {
            "id": group.id,
            "kind": group.kind.value,
            "sentence": SENTENCES[group.kind],
            "parts": [
                shown[one] | _measures(measured.get(shown[one]["sha256"])) | {"subgroup": group.subgroups.get(shown[one]["sha256"])}
                for one in group.parts[:PARTS_SHOWN]
                if one in shown
            ],
            "parts_total": len(group.parts),
            "evidence": pairs,
            "evidence_total": len(group.edges) or len(group.parts) - 1,
            "rejected_within": sum(first in members and second in members for first, second in about.rejected),
        }


def _evidence(ledger: Ledger, tenant_id: str, about: Report, group: Found, shown: Mapping[str, Any]) -> list[dict[str, Any]]:
    if group.kind is not Kind.CONTENT and about.job is not None:
        return evidence(ledger, tenant_id, about.job["id"], group.edges)
    first, *others = ({"part_id": one["id"]} | {name: one[name] for name in ("name", "sha256", "format")} for one in shown.values())
    with ledger.read() as tx:
        review = reviews.of_pairs(tx, tenant_id, [(first["sha256"], first["sha256"])])
    same = {"label": "exact", "equal": True, "likely": False, "score": 1.0, "distance": 0.0, "size_ratio": 1.0, "units_suspected": False}
    mark = next(iter(review.values()), None)
    return [{"first": first, "second": other, **same, "slots": [], "review": mark} for other in others]


def _measures(extracted: Sequence[tuple[str, dict[str, Any]]] | None) -> dict[str, Any]:
    """Size, unit and count of what was extracted last; `engine_builds` are those that may have drawn previews."""
    if not extracted:
        return {"size_mm": None, "units": None, "surface_count": None, "engine_builds": []}
    _, result = extracted[0]
    box = result["bounding_box"]
    size = [float(f"{high - low:.6g}") for low, high in zip(box["min"], box["max"], strict=True)]
    builds = list(dict.fromkeys(build for build, _ in extracted))
    return {"size_mm": size, "units": result["units"], "surface_count": result["surface_count"], "engine_builds": builds}
