"""How well vectors find what they should: `python -m bench.quality` (`make quality`), `--help` for what it takes.

Real files ask for their like, generated variants of real files ask for their originals. Nothing here is fitted.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.comparing import Classes, Shelf, Variants, apart, classes, mates, variants
from bench.exports import FLAT_VARIANTS, ONCE, SOLID_VARIANTS
from bench.extracted import extracted
from bench.house import ROOT
from bench.labelled import Collection, data_folder, kicad, real
from bench.telling import told
from bench.verdict import LIMITS, Verdict, alarms, judged, widest
from foundation.settings import CadSettings
from tasks.vocabulary import Family, FeatureVersion, Format
from workers.features.extraction import extract
from workers.index.exact import SAME_PART

_WHOLE = (Format.DXF, Format.STL)  # what every variant is made of


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict "same part" in one family: for some limits, for the one in force and for the widest that may be."""

    parts: int
    curve: list[Verdict]
    now: Verdict
    widest: Verdict


@dataclass(frozen=True, slots=True)
class Study:
    """All figures of one family of one collection."""

    collection: str
    family: Family
    formats: dict[str, int]
    twins: int
    classes: list[Classes]
    variants: list[Variants]
    judgement: Judgement | None


@dataclass(slots=True)
class Quality:
    studies: list[Study] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    price: float | None = None  # p95 of v4 by p95 of v3
    timed: int = 0


def main() -> None:
    asked = _arguments()
    with ExitStack() as stack:
        cache = asked.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cadmill-quality-")))
        quality = Quality()
        manifest = asked.data / "manifest.csv"
        if manifest.exists():
            collection = real(asked.data)
            study(collection, cache, quality, with_variants=True)
            quality.price, quality.timed = price([sample.path for sample in collection.samples], asked.rounds)
        else:
            quality.skipped.append(f"development set: {manifest} is not there; set CADMILL_DATA to the folder that holds real/")
        study(kicad(asked.kicad) if asked.kicad else kicad(), cache, quality, with_variants=False)
    text = told(quality)
    print(text)
    for line in quality.skipped:
        print(f"SKIPPED: {line}")
    if asked.write:
        target = ROOT / "docs" / "quality.md"
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"written: {target}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.quality", description="How well vectors find what they should.")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder with manifest.csv (CADMILL_DATA/real)")
    parser.add_argument("--kicad", type=Path, help="folder of the KiCad packages, one folder a class")
    parser.add_argument("--cache", type=Path, help="keep vectors here; a change of the engine is noticed")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of the timing")
    parser.add_argument("--write", action="store_true", help="write docs/quality.md")
    return parser.parse_args()


def study(collection: Collection, cache: Path, quality: Quality, with_variants: bool) -> None:
    """Add the figures of a collection, family by family."""
    quality.skipped += collection.skipped
    found = extracted([(sample.path, "") for sample in collection.samples], cache)
    failed = Counter(one.missing for one in found if one.missing)
    quality.skipped += [f"{count} files of the {collection.name}: {reason}" for reason, count in failed.most_common()]
    for family in Family:
        shelf = Shelf.of(family, collection.samples, found)
        if not shelf.samples:
            continue
        kinds = _variants(shelf, cache) if with_variants else []
        judgement = _judgement(shelf, kinds) if with_variants else None
        formats = dict(sorted(Counter(shelf.formats).items()))
        quality.studies.append(Study(collection.name, family, formats, shelf.twins, classes(shelf), kinds, judgement))


def _variants(shelf: Shelf, cache: Path) -> list[Variants]:
    """Each kind of variant of the originals of each format."""
    kinds = FLAT_VARIANTS if shelf.family is Family.FLAT else SOLID_VARIANTS
    rows = []
    for format in sorted(set(shelf.formats)):
        places = [place for place, one in enumerate(shelf.formats) if one == format]
        for kind in kinds if format in _WHOLE else ONCE:
            found = extracted([(shelf.samples[place].path, kind) for place in places], cache)
            rows.append(variants(shelf, f"{format}: {kind}", places, found))
    return rows + mates(shelf)


def _judgement(shelf: Shelf, kinds: Sequence[Variants]) -> Judgement:
    nearest = alarms(apart(shelf.matrix, shelf.matrix, shelf.family, sized=True).near, shelf.alike[True])
    own = {kind.name: kind.own[True] for kind in kinds if kind.count and not kind.scaled_up}
    curve = [judged(nearest, own, limit) for limit in LIMITS]
    limit = SAME_PART[shelf.family]
    return Judgement(len(nearest), curve, judged(nearest, own, limit), judged(nearest, own, widest(nearest)))


def price(paths: Sequence[Path], rounds: int) -> tuple[float, int]:
    """p95 of whole extractions, v4 by v3, of the files that both read; the versions take turns, the median of each file counts."""
    seconds: dict[FeatureVersion, list[float]] = {FeatureVersion.V3: [], FeatureVersion.V4: []}
    for path in (path for path in paths if path.suffix.lower() in (".dxf", ".stl")):
        laps: dict[FeatureVersion, list[float]] = {version: [] for version in seconds}
        try:
            for turn in range(2 * rounds):
                version = tuple(seconds)[(turn + turn // 2) % 2]  # 3 4 4 3 3 4: neither is always the one that warms up
                started = time.perf_counter()
                extract(path, path.name, version, CadSettings())
                laps[version].append(time.perf_counter() - started)
        except Exception:  # noqa: BLE001, S112 - told already, when the vectors were made
            continue
        for version, times in laps.items():
            seconds[version].append(statistics.median(times))
    p95 = {version: float(np.percentile(times, 95)) for version, times in seconds.items() if times}
    return (p95[FeatureVersion.V4] / p95[FeatureVersion.V3] if p95 else float("nan")), len(seconds[FeatureVersion.V4])


if __name__ == "__main__":
    main()
