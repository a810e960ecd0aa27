"""Vectors side by side: distances between them as the search sees them, and how far variants drift from their originals."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.extracted import Found
from bench.labelled import Sample
from bench.ranking import Flags, Floats, Measures, leave_one_out, recall_at_one
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.cad.shape import Integers
from workers.features.scaling import scaled, stable_slots
from workers.index.exact import distances

CANDIDATES = 50  # of each of the two lists that an approximate index would hand to the gate
_TWIN = 1e-3  # two files whose slots all agree to this, in units of scale, hold one part
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
        named = np.array([sample.part for sample, _ in kept])
        alike = {}
        for sized in (True, False):
            same = named[:, None] == named[None, :]
            for at, row in enumerate(matrix):
                same[at] |= np.abs(matrix - row)[:, 0 if sized else 1 :].max(axis=1) <= _TWIN
            alike[sized] = same
        return cls(family, [sample for sample, _ in kept], [one.format for _, one in kept], matrix, alike)

    @property
    def twins(self) -> int:
        """Parts that another file equals without sharing its name."""
        named = np.array([sample.part for sample in self.samples])
        return int((self.alike[True] & (named[:, None] != named[None, :])).any(axis=1).sum())


@dataclass(frozen=True, slots=True)
class Distances:
    """(queries, gallery) over all slots, over the stable ones, and gated."""

    plain: Floats
    near: Floats
    gated: Floats

    @property
    def by_name(self) -> dict[str, Floats]:
        return {"plain": self.plain, "stable": self.near, "gated": self.gated, "candidates": self._candidates()}

    def _candidates(self) -> Floats:
        """Gated, when only the nearest by either of the other two distances are looked at."""
        depth = min(CANDIDATES, self.plain.shape[1]) - 1
        seen = (self.plain <= np.sort(self.plain, axis=1)[:, [depth]]) | (self.near <= np.sort(self.near, axis=1)[:, [depth]])
        return np.where(seen, self.gated, np.inf)


def apart(queries: Floats, gallery: Floats, family: Family, sized: bool) -> Distances:
    """Distances between scaled vectors; without size, the first slot has no say."""
    if not sized:
        queries, gallery = queries.copy(), gallery.copy()
        queries[:, 0] = gallery[:, 0] = 0.0
    rows = [distances(gallery, query, family) for query in queries]
    plain = np.array([np.sqrt(np.square(gallery - query).sum(axis=1)) for query in queries])
    return Distances(plain, np.array([near for near, _ in rows]), np.array([gated for _, gated in rows]))


@dataclass(frozen=True, slots=True)
class Classes:
    """Retrieval of like parts in one setting."""

    queries: int
    labels: int
    setting: str
    measures: Measures


def classes(shelf: Shelf) -> list[Classes]:
    """Every labelled part of a shelf asks for its like among the labelled ones."""
    chosen = [at for at, sample in enumerate(shelf.samples) if sample.label]
    if not chosen:
        return []
    labels = np.array([shelf.samples[at].label for at in chosen])
    kin = np.array([shelf.samples[at].kin for at in chosen])
    relevant = labels[:, None] == labels[None, :]
    nobody, family = np.zeros_like(relevant), kin[:, None] == kin[None, :]
    matrix, told = shelf.matrix[chosen], []
    for sized in (True, False):
        by_name = apart(matrix, matrix, shelf.family, sized).by_name
        for name in ("plain", "stable", "gated"):
            for out, hidden in (("all", nobody), ("family out", family)):
                if not sized and name != "gated":
                    continue
                score = leave_one_out(by_name[name], relevant, hidden)
                setting = f"{name}, {'with' if sized else 'without'} size, {out}"
                told.append(Classes(score.queries, len(set(labels)), setting, score.mean))
    return told


@dataclass(frozen=True, slots=True)
class Variants:
    """All variants of one kind beside their originals."""

    name: str
    count: int
    missing: dict[str, int]
    recall: dict[tuple[str, bool], float]  # by ranking and by whether size counts
    own: dict[bool, Floats]  # stable distance from the original, by whether size counts
    drift: list[tuple[str, float]]  # slots by their drift, largest first

    @property
    def scaled_up(self) -> bool:
        return self.name.endswith("25.4")


def variants(shelf: Shelf, name: str, places: Sequence[int], found: Sequence[Found]) -> Variants:
    """What came of one kind of variant of the originals at these places of the shelf."""
    pairs = [(place, one.vector) for place, one in zip(places, found, strict=True) if one.vector]
    missing = Counter(one.missing for one in found if one.missing)
    if not pairs:
        return Variants(name, 0, missing, {}, {}, [])
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
    own: dict[bool, Floats] = {}
    for sized in (True, False):
        table = apart(queries, shelf.matrix[gallery], shelf.family, sized)
        own[sized] = table.near[np.arange(len(at)), np.searchsorted(gallery, at)]
        for ranking, distance in table.by_name.items():
            recall[ranking, sized] = recall_at_one(distance, shelf.alike[sized][np.ix_(at, gallery)])
    drift = np.percentile(np.abs(queries - shelf.matrix[at]), _DRIFT_PERCENT, axis=0)
    slots = slot_names(shelf.family, FeatureVersion.V4)
    order = [int(slot) for slot in np.argsort(-drift, kind="stable")]
    return Variants(name, len(at), missing, recall, own, [(slots[slot], float(drift[slot])) for slot in order])


def stable_names(family: Family) -> set[str]:
    slots = slot_names(family, FeatureVersion.V4)
    return {slots[slot] for slot in stable_slots(family)}
