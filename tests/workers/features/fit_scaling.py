"""Fit the drawing constants of `workers/features/scaling.json` to a folder of DXF files; run by hand, never by the suite.

    python tests/workers/features/fit_scaling.py FOLDER

Solid constants are left as they are. A category (folder) counts at most eight files, so that no collection prevails.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[3]))

from foundation.errors import Failure
from foundation.settings import CadSettings
from tasks.vocabulary import FLAT_SLOTS, Family, FeatureVersion
from workers.features import scaling
from workers.features.extraction import extract

PER_CATEGORY = 8
# a slot that hardly varies in the sample must not become a magnifying glass: logarithms of counts move by 0.7 for the first one
LEAST_SCALE, LEAST_COUNT_SCALE = 0.05, 1.0
COUNTS = ("turning_", "distinct_radii", "path_count", "surface_count")


def fit(folder: Path) -> list[dict[str, float | str]]:
    vectors: list[list[float]] = []
    taken: Counter[Path] = Counter()
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix.lower() != ".dxf" or taken[path.parent] >= PER_CATEGORY:
            continue
        try:
            vectors.append(extract(path, path.name, FeatureVersion.V4, CadSettings()).vector)
        except Failure as failure:
            sys.stderr.write(f"{path.name}: {failure.code}\n")
            continue
        taken[path.parent] += 1
    table = np.array(vectors)
    low, median, high = np.quantile(table, (0.1, 0.5, 0.9), axis=0)
    scale = np.maximum(high - low, [LEAST_COUNT_SCALE if name.startswith(COUNTS) else LEAST_SCALE for name in FLAT_SLOTS])
    return [
        {"slot": name, "median": round(float(m), 3), "scale": round(float(s), 3)}
        for name, m, s in zip(FLAT_SLOTS, median, scale, strict=True)
    ]


if __name__ == "__main__":
    target = Path(scaling.__file__).with_name("scaling.json")
    constants = json.loads(target.read_text(encoding="utf-8"))
    constants[Family.FLAT.value] = fit(Path(sys.argv[1]))
    rows = {family: ",\n".join("  " + json.dumps(row) for row in table) for family, table in constants.items()}
    target.write_text("{\n" + ",\n".join(f' "{family}": [\n{table}\n ]' for family, table in rows.items()) + "\n}\n", encoding="utf-8")
