"""Fit the constants of `tasks/scaling.json` anew: `python -m bench.quality.fit_scaling`, run by hand, never by the suite.

Prints them beside those in force, and with `--write` writes them, which moves every distance. Drawings: real files. Solids: real
files and the KiCad classes of the half that does not report. A folder counts at most eight files, so that no collection prevails.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench.quality.extracted import Found, extracted
from bench.quality.ranking import Floats
from bench.quality.samples import KICAD, Sample, data_folder, held, kicad, real
from tasks import scaling
from tasks.vocabulary import Family, FeatureVersion, slot_names

_PER_FOLDER = 8
# a slot that hardly varies in the sample must not become a magnifying glass: logarithms of counts move by 0.7 for the first one
_LEAST_SCALE, _LEAST_COUNT_SCALE = 0.05, 1.0
_COUNTS = ("turning_", "distinct_radii", "path_count", "surface_count")

Constants = list[dict[str, float | str]]


def fit(vectors: Floats, family: Family) -> Constants:
    """Median and 90 % quantile minus 10 % quantile of each slot of (n, d) vectors."""
    slots = slot_names(family, FeatureVersion.V4)
    low, median, high = np.quantile(vectors, (0.1, 0.5, 0.9), axis=0)
    scale = np.maximum(high - low, [_LEAST_COUNT_SCALE if name.startswith(_COUNTS) else _LEAST_SCALE for name in slots])
    return [
        {"slot": name, "median": round(float(m), 3), "scale": round(float(s), 3)} for name, m, s in zip(slots, median, scale, strict=True)
    ]


def _few_of_each_folder(samples: Sequence[Sample], found: Sequence[Found]) -> Iterator[Found]:
    taken: Counter[Path] = Counter()
    for sample, one in sorted(zip(samples, found, strict=True), key=lambda row: row[0].path):
        if one.vector and taken[sample.path.parent] < _PER_FOLDER:
            taken[sample.path.parent] += 1
            yield one


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.quality.fit_scaling")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder with manifest.csv (CADMILL_DATA/real)")
    parser.add_argument("--kicad", type=Path, default=KICAD, help="folder of the KiCad packages, one folder a class")
    parser.add_argument("--cache", type=Path, help="keep vectors here")
    parser.add_argument("--write", action="store_true", help="write scaling.json")
    asked = parser.parse_args()
    packages = [sample for sample in kicad(asked.kicad).samples if sample.label and not held(sample.label)]
    samples = real(asked.data).samples + packages
    with ExitStack() as stack:
        cache = asked.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cadmill-quality-")))
        found = list(_few_of_each_folder(samples, extracted([(sample.path, "") for sample in samples], cache)))
    target = Path(scaling.__file__).with_name("scaling.json")
    in_force = json.loads(target.read_text(encoding="utf-8"))
    fitted = {}
    for family in (Family.SOLID, Family.FLAT):
        fitted[family.value] = fit(np.array([one.vector for one in found if one.family == family.value]), family)
        for old, new in zip(in_force[family.value], fitted[family.value], strict=True):
            told = " ".join(f"{name} {old[name]:g} -> {new[name]:g}" for name in ("median", "scale") if old[name] != new[name])
            print(f"{family.value} {old['slot']}: {told or 'the same'}")
    if asked.write:
        rows = {family: ",\n".join("  " + json.dumps(row) for row in table) for family, table in fitted.items()}
        text = "{\n" + ",\n".join(f' "{family}": [\n{table}\n ]' for family, table in rows.items()) + "\n}\n"
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
