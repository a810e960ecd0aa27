"""STEP without the kernel beside Open CASCADE, over real and hostile files: `python -m bench.step [--every N] [--rounds N] [--write]`.

Each file is extracted both ways, in turns, so what else the machine does hits both; the best CPU time of each way counts. Told: which
files need no kernel, why the others do, how much faster the whole extraction is, and how far the answers are apart. Ends with 1 where
they are further apart than `LIMITS_OF` allow, or a hostile file gets an answer from one way that it does not get from the other.
The set lies in the folder named by CADMILL_DATA, or in `../shared/data` beside the repository.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

# as in the sandbox; read while numpy is loaded
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bench.reading import DATA, ROOT, rows
from bench.report import facts
from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.cad.analytic.body import analytic_body
from workers.cad.analytic.instances import NotCovered
from workers.cad.brep.kernel import need_kernel
from workers.cad.brep.step_text import checked
from workers.features.extraction import extract
from workers.features.scaling import scaled
from workers.index.sameness import nearness

PAGE = ROOT / "docs" / "bench-step.md"
WAYS = (CadSettings(step_kernel="fallback"), CadSettings(step_kernel="always"))
# relative for measures; in parts of the scale of its slot for each file, and for 97 of 100 of all
LIMITS_OF = {"area": 1e-3, "volume": 1e-3, "slot": 0.5, "slot of 97 %": 0.1}
AIMS = {"coverage": 0.8, "ratio": 5.0}


def differences(analytic: dict[str, Any], kernel: dict[str, Any]) -> list[str]:
    """In what two results of one file disagree more than they may."""
    told = []
    for name in ("faces", "solids", "shells", "vertices", "edges"):
        if analytic["facts"][name] != kernel["facts"][name]:
            told.append(f"{name}: {analytic['facts'][name]}, kernel {kernel['facts'][name]}")
    for name in ("area", "volume"):
        one, other = analytic["facts"][name], kernel["facts"][name]
        if not abs(one - other) <= LIMITS_OF[name] * abs(other):
            told.append(f"{name}: {one:.8g}, kernel {other:.8g}")
    if analytic["units"] != kernel["units"]:
        told.append("units")
    if not same(analytic, kernel):
        told.append("two parts, by the verdict")
    worst = int(np.argmax(drift(analytic, kernel)))
    if drift(analytic, kernel)[worst] > LIMITS_OF["slot"]:
        told.append(f"{slot_names(Family.SOLID, FeatureVersion.V4)[worst]} by {drift(analytic, kernel)[worst]:.2f}")
    return told


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two results are called the same part."""
    matrix, query = scaled([one["vector"]], Family.SOLID), scaled(other["vector"], Family.SOLID)
    return bool(nearness(matrix, query, Family.SOLID).same[0])


def drift(one: dict[str, Any], other: dict[str, Any]) -> np.ndarray[Any, Any]:
    """How far each slot is apart, in parts of its scale."""
    return np.abs(scaled(one["vector"], Family.SOLID) - scaled(other["vector"], Family.SOLID))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--every", type=int, default=1, help="take every so manieth real file only")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    chosen = options.parse_args()
    real = [DATA / "real" / row["path"] for row in rows("real/manifest.csv") if row["format"] == "step"][:: chosen.every]
    bad = [DATA / "bad" / row["file"] for row in rows("bad/expected.csv") if row["file"].endswith((".step", ".stp"))]
    if not real:
        sys.exit(f"the development set is not at {DATA}: set CADMILL_DATA to its folder")
    need_kernel()
    both = {path: side_by_side(path, chosen.rounds) for path in real}
    hostile = {path: side_by_side(path, 1) for path in bad}
    page, wrong = report(both, hostile)
    print("\n".join(page))
    if chosen.write:
        PAGE.write_text("\n".join(page) + "\n", encoding="utf-8")
    sys.exit(1 if wrong else 0)


Pair = tuple[Any, Any, float, float]


def side_by_side(path: Path, rounds: int) -> Pair:
    """Result or code of both ways, and the CPU seconds of each."""
    told: list[Any] = [None, None]
    best = [float("inf"), float("inf")]
    for _ in range(rounds):
        for at, way in enumerate(WAYS):
            started = time.process_time()
            try:
                told[at] = extract(path, path.name, FeatureVersion.V4, way).result
            except Failure as failure:
                told[at] = failure.code
            best[at] = min(best[at], time.process_time() - started)
    return told[0], told[1], best[0], best[1]


def covered(pair: Pair) -> bool:
    return isinstance(pair[0], dict) and pair[0]["facts"]["reader"] == "analytic"


def reason(path: Path) -> str:
    try:
        analytic_body(checked(path.read_bytes(), CadSettings()), CadSettings())
    except NotCovered as told:
        return str(told)
    except Failure as failure:
        return f"refused before: {failure.code}"
    return "none"


def report(both: dict[Path, Pair], hostile: dict[Path, Pair]) -> tuple[list[str], list[str]]:
    """The page, and what is wrong."""
    own = {path: pair for path, pair in both.items() if covered(pair)}
    wrong = []
    for path, pair in [*own.items(), *((path, pair) for path, pair in hostile.items() if covered(pair))]:
        if not isinstance(pair[1], dict):
            wrong.append(f"{path.name}: the kernel says {pair[1]}")
        elif apart := differences(pair[0], pair[1]):
            wrong.append(f"{path.name}: {', '.join(apart)}")
    for path, pair in {**both, **hostile}.items():
        if isinstance(pair[0], str) and pair[0] != pair[1]:
            wrong.append(f"{path.name}: {pair[0]}, by the kernel alone {pair[1]}")
    slots = np.array([drift(pair[0], pair[1]) for pair in own.values() if isinstance(pair[1], dict)])
    usual = np.quantile(slots, 0.97, axis=0)
    if float(usual.max()) > LIMITS_OF["slot of 97 %"]:
        wrong.append(f"{slot_names(Family.SOLID, FeatureVersion.V4)[int(np.argmax(usual))]} of 97 % by {usual.max():.3f}")
    ratios = sorted(pair[3] / pair[2] for pair in own.values())
    share, median = len(own) / len(both), statistics.median(ratios)
    sums = sum(pair[3] for pair in own.values()) / sum(pair[2] for pair in own.values())
    extra = statistics.median(pair[2] / pair[3] - 1 for path, pair in both.items() if path not in own and isinstance(pair[1], dict))
    measures = [[abs(pair[0]["facts"][name] / pair[1]["facts"][name] - 1) for pair in own.values()] for name in ("area", "volume")]
    slowest, fastest = ratios[len(ratios) // 10], ratios[len(ratios) * 9 // 10]
    agreeing = sum(same(pair[0], pair[1]) for pair in own.values() if isinstance(pair[1], dict))
    left = Counter(map(reason, set(both) - set(own))).most_common()
    table = [
        ("real files that need no kernel", f"{len(own)} of {len(both)}, {share:.1%}", f"{AIMS['coverage']:.0%}", share >= AIMS["coverage"]),
        ("times faster than through the kernel, median", f"{median:.1f}x", f"{AIMS['ratio']:.0f}x", median >= AIMS["ratio"]),
        ("the same, 10th and 90th percentile", f"{slowest:.1f}x, {fastest:.1f}x", "", None),
        ("the same, of sums", f"{sums:.1f}x", f"{AIMS['ratio']:.0f}x", sums >= AIMS["ratio"]),
        ("CPU time that a look in vain costs the others, median", f"{extra:.1%}", "", None),
        *(
            (f"{name}, largest difference", f"{max(apart):.1e}", f"{LIMITS_OF[name]}", max(apart) <= LIMITS_OF[name])
            for name, apart in zip(("area", "volume"), measures, strict=True)
        ),
        (
            "drift of the worst slot, 97 % of the files, in parts of its scale",
            f"{usual.max():.3f}",
            f"{LIMITS_OF['slot of 97 %']}",
            float(usual.max()) <= LIMITS_OF["slot of 97 %"],
        ),
        ("files called the same part both ways", f"{agreeing} of {len(own)}", "all", agreeing == len(own)),
        ("hostile files, of these read without the kernel", f"{len(hostile)}, {sum(map(covered, hostile.values()))}", "", None),
    ]
    page = [
        "# STEP without a geometry kernel",
        "",
        f"Written by `python -m bench.step --write` on {facts()}. Whole extractions, both ways in turns, best CPU time of each.",
        "",
        "| what | figure | aim | |",
        "|---|---|---|---|",
        *(f"| {what} | {figure} | {aim} | {'' if met is None else verdict(met)} |" for what, figure, aim, met in table),
        "",
        "Why the kernel is needed, files: " + ", ".join(f"{why} {count}" for why, count in left) + ".",
        "",
        "Further apart than they may be: " + ("; ".join(wrong) or "none") + ".",
    ]
    return page, wrong


def verdict(met: bool) -> str:
    return "met" if met else "**MISSED**"


if __name__ == "__main__":
    main()
