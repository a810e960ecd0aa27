"""From queries to hits: files proposed by the gallery, named by the ledger. The answer holds the tenant's live parts only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np

from ledger import parts, vectors
from ledger.parts import Named
from ledger.session import Ledger
from tasks.similarity import Sought, is_sought
from tasks.vocabulary import Family, Format
from workers.index.contract import Floats32
from workers.index.galleries import Held
from workers.index.gallery import Gallery, Ranked
from workers.index.parallel import Parallel
from workers.index.verdict import LIKELY, verdict

DEPTH = 50
"""Files that each of the two spaces proposes at first; where that may hide a nearer one, ten times as many."""
_DEEPER = 10
_SURE = 1000  # so deep that what is still not proposed is taken for not near; only want of hits leads further
_SELECTIVE = 20_000  # files of a filter up to which all of them are measured
_MORE = 8  # files named at once beyond those wanted, for want of live parts or matching ones

Hit = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A part and the unscaled vector of its file, (width,)."""

    part_id: str
    sha256: str
    vector: Floats32


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks of each of its queries."""

    top_k: int
    threshold: float
    scale_invariant: bool
    filters: Mapping[str, Any] = field(default_factory=dict)  # labels and format, as `parts.matching` takes them
    matches: frozenset[Sought] = frozenset(Sought)
    include_self: bool = False
    distinct: bool = False  # one part of each content, none of the query's own

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Asked:
        """From the input of a job; what a job of an older release does not say has its default."""
        filters = {name: told["filters"].get(name) for name in ("labels", "format")}
        matches = frozenset(map(Sought, told["filters"].get("matches") or Sought))
        flags = {name: bool(told.get(name)) for name in ("include_self", "distinct")}
        return cls(told["top_k"], told["threshold"], told["scale_invariant"], filters, matches, **flags)

    @property
    def filtered(self) -> bool:
        return any(self.filters.values())

    @property
    def near(self) -> bool:
        """Whether parts that are merely alike may be hits."""
        return Sought.NEAR in self.matches


def similar(held: Held, ledger: Ledger, queries: Sequence[Query], asked: Asked, parallel: Parallel) -> list[list[Hit]]:
    """Hits of each query, best first, itself left out. Scores are 1 / (1 + gated distance). Equal ones come by the age of their part.

    Raises `IndexFailure`, PGVECTOR_MISSING, DATABASE_UNAVAILABLE.
    """
    found: dict[int, list[Hit]] = {}
    for family in Family:
        at = [place for place, query in enumerate(queries) if held.gallery.family(query.sha256) is family]
        if at:
            hits = _of_family(held, ledger, [queries[place] for place in at], family, asked, parallel)
            found.update(zip(at, hits, strict=True))
    return [found.get(place, []) for place in range(len(queries))]


def _of_family(held: Held, ledger: Ledger, queries: Sequence[Query], family: Family, asked: Asked, parallel: Parallel) -> list[list[Hit]]:
    gallery, sized = held.gallery, not asked.scale_invariant
    names = _Names(ledger, gallery.shelf.tenant_id, asked.filters, family)
    few = names.selected() if asked.filtered else None
    kind = (family, sized, few is None, len(str(gallery.size(family))))
    if few is not None:
        among = parallel.search(queries, partial(_ranked_among, gallery, family, sized, few), kind)
        return [hits for hits, _ in names.hits(queries, among, asked)]
    held.open(family, sized)
    answers: list[list[Hit]] = [[] for _ in queries]
    left, depth = list(range(len(queries))), max(DEPTH, 2 * asked.top_k)
    while left:
        some = [queries[at] for at in left]
        ranked = parallel.search(some, partial(_ranked, gallery, family, sized, depth), (*kind, depth))
        again = []
        for at, one, (hits, limit) in zip(left, ranked, names.hits(some, ranked, asked), strict=True):
            answers[at] = hits
            if not asked.near and one.surely_stable >= LIKELY[family]:
                continue  # whatever may be the same part has been proposed
            if depth < gallery.size(family) and (limit is None or (limit >= one.surely and depth < _SURE)):
                again.append(at)
        left, depth = again, depth * _DEEPER
    return answers


def _ranked(gallery: Gallery, family: Family, sized: bool, depth: int, queries: Sequence[Query]) -> list[Ranked]:
    return gallery.rank(_matrix(queries), family, sized, depth) if queries else []


def _ranked_among(gallery: Gallery, family: Family, sized: bool, sha256s: Sequence[str], queries: Sequence[Query]) -> list[Ranked]:
    return gallery.rank_among(_matrix(queries), family, sized, sha256s) if queries else []


def _matrix(queries: Sequence[Query]) -> Floats32:
    return np.stack([query.vector for query in queries])


class _Names:
    """The parts by which files are known, asked of the ledger once each."""

    def __init__(self, ledger: Ledger, tenant_id: str, filters: Mapping[str, Any], family: Family) -> None:
        self._ledger, self._tenant_id, self._filters, self._family = ledger, tenant_id, filters, family
        self._of: dict[str, list[Named]] = {}
        self._formats: dict[str, str] = {}  # of the files of queries

    def selected(self) -> list[str] | None:
        """The files that the filters leave, or None if they are so many that near ones will be among the nearest of all."""
        with self._ledger.read() as tx:
            files = parts.files_of(tx, self._tenant_id, self._filters, _SELECTIVE + 1)
        return files if len(files) <= _SELECTIVE else None

    def hits(self, queries: Sequence[Query], ranked: Sequence[Ranked], asked: Asked) -> Iterator[tuple[list[Hit], float | None]]:
        """Hits of each query, and how near a file that was not proposed would have to be to count. None: as near as it may be."""
        with self._ledger.read() as tx:
            self._formats |= vectors.formats(tx, sorted({query.sha256 for query in queries} - self._formats.keys()))
        self._learn(sha256 for one in ranked for sha256 in one.sha256s[: asked.top_k + _MORE])
        for query, one in zip(queries, ranked, strict=True):
            yield self._chosen(query, one, asked)

    def _learn(self, sha256s: Iterable[str]) -> None:
        new = sorted({sha256 for sha256 in sha256s if sha256 not in self._of})
        if new:
            self._of.update({sha256: [] for sha256 in new})
            with self._ledger.read() as tx:
                for part in parts.of_files(tx, self._tenant_id, new, self._filters):
                    self._of[part.sha256].append(part)

    def _chosen(self, query: Query, ranked: Ranked, asked: Asked) -> tuple[list[Hit], float | None]:
        chosen: list[tuple[float, str, int, Named]] = []
        scores, limit = ranked.scores, None

        @cache  # of a file that many parts name there is one
        def told(at: int) -> Hit:
            return self._verdict(query, ranked, at, asked)

        for at, sha256 in enumerate(ranked.sha256s):
            if len(chosen) >= asked.top_k and scores[at] < chosen[asked.top_k - 1][0]:
                break
            if scores[at] < asked.threshold:
                limit = 1.0 / asked.threshold - 1.0
                break
            if not asked.near and ranked.stable[at] >= LIKELY[self._family]:
                continue
            if sha256 not in self._of:
                self._learn(ranked.sha256s[at : at + asked.top_k + _MORE])
            named = self._wanted(query, sha256, asked)
            if named and (len(asked.matches) == len(Sought) or is_sought(told(at), asked.matches)):
                chosen += [(float(scores[at]), part.id, at, part) for part in named]
        chosen.sort(key=lambda row: (-row[0], row[1]))
        if len(chosen) >= asked.top_k:
            limit = float(ranked.gated[chosen[asked.top_k - 1][2]])
        hits = [
            {"part_id": part_id, "name": part.name, "score": round(score, 6), **told(at)}
            for score, part_id, at, part in chosen[: asked.top_k]
        ]
        return hits, limit

    def _wanted(self, query: Query, sha256: str, asked: Asked) -> list[Named]:
        """The parts of a file that may be hits."""
        itself = [part for part in self._of[sha256] if part.id == query.part_id] if asked.include_self else []
        others = [part for part in self._of[sha256] if part.id != query.part_id]
        if asked.distinct:
            others = [] if sha256 == query.sha256 else others[:1]
        return itself + others

    def _verdict(self, query: Query, ranked: Ranked, at: int, asked: Asked) -> Hit:
        sha256 = ranked.sha256s[at]
        mixed = (self._of[sha256][0].format == Format.STL) != (self._formats.get(query.sha256) == Format.STL)
        same_file = sha256 == query.sha256
        return verdict(query.vector, ranked.rows[at], self._family, same_file, mixed, sized=not asked.scale_invariant)
