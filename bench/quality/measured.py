"""All figures of a run: collections are read, their parts written anew, and both compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.quality.classes import Classes, classes
from bench.quality.comparing import Shelf, Variants, mates, variants
from bench.quality.exports import FLAT_VARIANTS, ONCE, REEXPORTS, SOLID_VARIANTS
from bench.quality.extracted import Found, extracted
from bench.quality.price import Price, price
from bench.quality.samples import Collection, held, lot, redrawn
from bench.quality.verdict import Verdict, judged
from tasks.vocabulary import Family, Format


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is measured."""

    parts: int  # of each kind of variant
    rounds: int  # of timing, 0: none
    timing: float  # seconds
    until: float = float("inf")  # monotonic seconds: nothing is begun later


@dataclass(frozen=True, slots=True)
class Study:
    """All figures of one family."""

    family: Family
    formats: dict[str, int]
    twins: int
    classes: dict[str, list[Classes]]  # by collection
    variants: list[Variants]
    verdict: Verdict  # on the half that only reports
    fitted: Verdict  # on the other half


@dataclass(frozen=True, slots=True)
class Quality:
    studies: list[Study]
    price: Price | None
    skipped: list[str]


def measured(collections: Sequence[Collection], cache: Path, bounds: Bounds) -> Quality:
    skipped = [line for collection in collections for line in collection.skipped]
    samples = [sample for collection in collections for sample in collection.samples]
    found = extracted([(sample.path, "") for sample in samples], cache, bounds.until)
    of = {sample.path: one for sample, one in zip(samples, found, strict=True)}
    for collection in collections:
        failed = Counter(of[sample.path].missing for sample in collection.samples)
        skipped += [f"{collection.name}: {count} files {reason}" for reason, count in failed.most_common() if reason]
    studies = []
    for family in Family:
        shelf = Shelf.of(family, samples, found)
        if shelf.samples:
            studies.append(_study(shelf, collections, of, cache, bounds))
    readable = [(path, one.format) for path, one in of.items() if one.vector and path in _paths(collections[:1])]
    return Quality(studies, price(readable, bounds.rounds, bounds.timing) if bounds.rounds else None, skipped)


def _paths(collections: Sequence[Collection]) -> set[Path]:
    return {sample.path for collection in collections for sample in collection.samples}


def _study(shelf: Shelf, collections: Sequence[Collection], of: dict[Path, Found], cache: Path, bounds: Bounds) -> Study:
    kinds = all_variants(shelf, collections, cache, bounds) + mates(shelf)
    rows = {}
    for collection in collections:
        own = Shelf.of(shelf.family, collection.samples, [of[sample.path] for sample in collection.samples])
        if own.samples:
            rows[collection.name] = classes(own)
        if own.samples and collection.unseen:
            rows[f"{collection.name}, unseen classes"] = classes(own, held)
    formats = dict(sorted(Counter(shelf.formats).items()))
    told = {name: row for name, row in rows.items() if row}
    return Study(shelf.family, formats, shelf.twins, told, kinds, judged(shelf, kinds, held=True), judged(shelf, kinds, held=False))


def all_variants(shelf: Shelf, collections: Sequence[Collection], cache: Path, bounds: Bounds) -> list[Variants]:
    """Each kind of variant that is made of the parts of a shelf."""
    kinds = _variants(shelf, cache, bounds)
    return kinds + _reexports(shelf, collections, cache, bounds) if shelf.family is Family.SOLID else kinds


def _variants(shelf: Shelf, cache: Path, bounds: Bounds) -> list[Variants]:
    """Each kind of variant that needs no kernel."""
    kinds = {Format.DXF: tuple(FLAT_VARIANTS), Format.STL: tuple(SOLID_VARIANTS), Format.IGES: ONCE}
    rows = []
    for format in sorted(set(shelf.formats) & set(kinds)):
        places = [place for place, one in enumerate(shelf.formats) if one == format]
        drawn = sorted(places, key=lambda place: lot(shelf.samples[place].path))[: bounds.parts]
        rows += _made(shelf, f"{format}: ", drawn, kinds[Format(format)], cache, bounds)
    return rows


def _reexports(shelf: Shelf, collections: Sequence[Collection], cache: Path, bounds: Bounds) -> list[Variants]:
    place_of = {sample.path: place for place, sample in enumerate(shelf.samples)}
    readable = [[sample for sample in collection.samples if sample.path in place_of] for collection in collections]
    places = [place_of[sample.path] for sample in redrawn(readable, bounds.parts)]
    return _made(shelf, "re-exported: ", places, REEXPORTS, cache, bounds) if places else []


def _made(shelf: Shelf, prefix: str, places: list[int], kinds: Sequence[str], cache: Path, bounds: Bounds) -> list[Variants]:
    found = extracted([(shelf.samples[place].path, kind) for place in places for kind in kinds], cache, bounds.until)
    return [variants(shelf, prefix + kind, places, found[at :: len(kinds)]) for at, kind in enumerate(kinds)]
