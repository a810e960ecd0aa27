"""Vectors side by side: distances between them as the search sees them, and how far variants drift from their originals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.quality.extracted import Found
from bench.quality.ranking import Flags, Floats, Integers, recall_at_one
from bench.quality.samples import Sample
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.features.scaling import scaled, stable_slots
from workers.index.sameness import candidates, nearness

CANDIDATES = 50  # of each of the two lists that an approximate index would hand to the gate
RANKINGS = ("plain", "stable", "candidates", "gated")
_TWIN = 1e-3  # two files whose slots all agree to this, in units of scale, hold one part
_BODY = 1e-6  # so do two whose stable slots do and whose exact areas and volumes agree to this part, however their faces are cut
_DRIFT_PERCENT = 97


@dataclass(frozen=True, slots=True)
class Shelf:
    """All originals of a family that gave a vector."""

    family: Family
    samples: list[Sample]
    formats: list[str]
    matrix: Floats  # scaled
    alike: dict[bool, Flags]  # (n, n) the same part, by name or by equality; by whether size counts

    @classmethod
    def of(cls, family: Family, samples: Sequence[Sample], found: Sequence[Found]) -> Shelf:
        kept = [(sample, one) for sample, one in zip(samples, found, strict=True) if one.family == family.value]
        matrix = scaled(np.array([one.vector for _, one in kept]), family) if kept else np.empty((0, 0))
        alike = {sized: _alike([sample for sample, _ in kept], [one for _, one in kept], matrix, family, sized) for sized in (True, False)}
        return cls(family, [sample for sample, _ in kept], [one.format for _, one in kept], matrix, alike)

    @property
    def twins(self) -> int:
        """Parts that another file equals without sharing its name."""
        named = np.array([sample.part for sample in self.samples])
        return int((self.alike[True] & (named[:, None] != named[None, :])).any(axis=1).sum())

    @property
    def held(self) -> Flags:
        """(n,) the half that only reports."""
        return np.array([sample.held for sample in self.samples], dtype=bool)


def _alike(samples: Sequence[Sample], found: Sequence[Found], matrix: Floats, family: Family, sized: bool) -> Flags:
    """(n, n) whether two files hold one part."""
    named = np.array([sample.part for sample in samples])
    same = np.asarray(named[:, None] == named[None, :])
    # NaN for what has no exact body: it equals nothing
    area, volume = np.array([one.body or (np.nan, np.nan) for one in found]).reshape(-1, 2).T
    measures = (area, volume) if sized else (volume / area**1.5,)
    first = 0 if sized else 1
    stable = [slot for slot in stable_slots(family) if slot >= first]
    for at, row in enumerate(matrix):
        apart = np.abs(matrix - row)
        body = np.logical_and.reduce([np.isclose(measure, measure[at], rtol=_BODY, atol=0) for measure in measures])
        same[at] |= (apart[:, first:].max(axis=1) <= _TWIN) | (body & (apart[:, stable].max(axis=1) <= _TWIN))
    return same


@dataclass(frozen=True, slots=True)
class Distances:
    """(queries, gallery) by ranking, and the verdict."""

    by_name: dict[str, Floats]
    same: Flags


def apart(queries: Floats, gallery: Floats, family: Family, sized: bool) -> Distances:
    """Distances between scaled vectors; without size, the first slot has no say."""
    if not sized:
        queries, gallery = queries.copy(), gallery.copy()
        queries[:, 0] = gallery[:, 0] = 0.0
    shape = len(queries), len(gallery)
    by_name = {ranking: np.full(shape, np.inf) for ranking in RANKINGS}
    same = np.zeros(shape, dtype=bool)
    for at, query in enumerate(queries):
        found = nearness(gallery, query, family)
        some = candidates(found.plain, found.stable, CANDIDATES)
        by_name["plain"][at], by_name["stable"][at], by_name["gated"][at], same[at] = found.plain, found.stable, found.gated, found.same
        by_name["candidates"][at, some] = found.gated[some]
    return Distances(by_name, same)


@dataclass(frozen=True, slots=True)
class Variants:
    """All variants of one kind beside their originals."""

    name: str
    missing: dict[str, int]
    at: Integers  # (n,) places of the originals
    queries: Floats  # (n, d) scaled
    recall: dict[tuple[str, bool], float]  # by ranking and by whether size counts
    same: Flags  # (n,) called the same as the original, size counted
    drift: list[tuple[str, float]]  # slots by their drift, largest first

    @property
    def count(self) -> int:
        return len(self.at)

    @property
    def scaled_up(self) -> bool:
        return self.name.endswith("25.4")


def variants(shelf: Shelf, name: str, places: Sequence[int], found: Sequence[Found]) -> Variants:
    """What came of one kind of variant of the originals at these places of the shelf."""
    pairs = [(place, one.vector) for place, one in zip(places, found, strict=True) if one.vector]
    missing = dict(Counter(one.missing for one in found if one.missing))
    if not pairs:
        nothing = np.empty((0, shelf.matrix.shape[1]))
        return Variants(name, missing, np.empty(0, dtype=np.int64), nothing, {}, np.empty(0, dtype=bool), [])
    queries = scaled(np.array([vector for _, vector in pairs]), shelf.family)
    return _asked(shelf, name, np.array([place for place, _ in pairs]), queries, np.arange(len(shelf.samples)), missing)


def mates(shelf: Shelf) -> list[Variants]:
    """Published files that surely hold the same part: the first of them stays in the gallery, the others ask for it."""
    first: dict[str, int] = {}
    pairs: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for at, sample in enumerate(shelf.samples):
        if sample.sure:
            original = first.setdefault(sample.part, at)
            if original != at:
                pairs[f"published: {shelf.formats[at]} for {shelf.formats[original]}"].append((at, original))
    asking = {at for some in pairs.values() for at, _ in some}
    gallery = np.array([at for at in range(len(shelf.samples)) if at not in asking])
    return [
        _asked(shelf, name, np.array([original for _, original in some]), shelf.matrix[[at for at, _ in some]], gallery, {})
        for name, some in sorted(pairs.items())
    ]


def _asked(shelf: Shelf, name: str, at: Integers, queries: Floats, gallery: Integers, missing: dict[str, int]) -> Variants:
    """The queries ask these places of the shelf; the original of each stands at `at`."""
    recall: dict[tuple[str, bool], float] = {}
    same = np.empty(0, dtype=bool)
    for sized in (True, False):
        table = apart(queries, shelf.matrix[gallery], shelf.family, sized)
        if sized:
            same = table.same[np.arange(len(at)), np.searchsorted(gallery, at)]
        for ranking, distance in table.by_name.items():
            recall[ranking, sized] = recall_at_one(distance, shelf.alike[sized][np.ix_(at, gallery)])
    drift = np.percentile(np.abs(queries - shelf.matrix[at]), _DRIFT_PERCENT, axis=0)
    slots = slot_names(shelf.family, FeatureVersion.V4)
    order = [int(slot) for slot in np.argsort(-drift, kind="stable")]
    return Variants(name, missing, at, queries, recall, same, [(slots[slot], float(drift[slot])) for slot in order])


def stable_names(family: Family) -> set[str]:
    slots = slot_names(family, FeatureVersion.V4)
    return {slots[slot] for slot in stable_slots(family)}
