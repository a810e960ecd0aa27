"""What the sandbox costs a file: `Sandbox.extract` in a warm child, less the engine's own `extract` of the same file in this process.

    python -m bench.sandbox [--data FOLDER] [--rounds 15] [--runs 1] [--version v4] [--files] [--most 400]

FOLDER holds CAD files at any depth, of which those up to 100 kB are taken (at most `--most` of them, evenly spread); without it the
samples of the tests. Both ways take turns on every file in every round, so what else the machine does hits both; the median round
counts. Processes of the same code differ by up to 2 % for all of their lives, as much as a fifth of what is to be measured, so one run
says little: `--runs` starts everything anew as often, and of each file the median run counts.
Wall time holds the two changes of process as well; CPU time is that of this process and the child, so it hardly depends on
neighbours. Files that the engine refuses are left out: a refusal costs a new child where it is a crash, and nothing else.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from foundation.settings import Settings
from tasks.vocabulary import FeatureVersion
from workers.cad.sandbox.nursery import Nursery
from workers.cad.sandbox.sandbox import Sandbox
from workers.features.extraction import extract

SAMPLES = Path(__file__).parents[1] / "tests" / "data"
_FORMATS = (".dxf", ".stl", ".step", ".stp", ".igs", ".iges")
_SMALL = 100_000
_AIM = 0.10


class Took(NamedTuple):
    """Seconds of one extraction."""

    wall: float
    cpu: float


class Row(NamedTuple):
    """One file: medians over the rounds of what the engine took alone, and of what the sandbox cost on top."""

    path: Path
    engine: Took
    cost: Took


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--runs", type=int, default=1)
    options.add_argument("--version", type=FeatureVersion, default=FeatureVersion.V4)
    options.add_argument("--files", action="store_true", help="a line for each file")
    options.add_argument("--most", type=int, default=400)
    options.add_argument("--json", type=Path, help="write the figures there")
    chosen = options.parse_args()
    runs = repeated(chosen.runs) if chosen.runs > 1 else [run(chosen)]
    rows = middle(runs)
    show(rows, chosen.files)
    if chosen.json:
        medians = sorted(statistics.median(shares(rows, 1)) for rows in runs)
        chosen.json.write_text(json.dumps(figures(rows) | {"runs": medians, "rows": rows}, default=str))


def run(chosen: argparse.Namespace) -> list[Row]:
    """Everything once, in this process and a sandbox of its own."""
    logging.getLogger("ezdxf").setLevel(logging.CRITICAL)
    files = (
        small(chosen.data, chosen.most) if chosen.data else sorted(path for name in ("dxf", "stl") for path in (SAMPLES / name).iterdir())
    )
    nursery = Nursery(Settings())
    try:
        with Sandbox(nursery) as box:
            files = readable(box, files, chosen.version)
            gc.collect()
            gc.freeze()  # as the zygote does: else the collector would slow down one side only
            return measured(box, files, chosen.version, chosen.rounds)
    finally:
        nursery.close()


def repeated(runs: int) -> list[list[Row]]:
    """The same in as many processes, one after the other."""
    found = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            told = Path(folder) / "rows.json"
            subprocess.run([sys.executable, "-m", "bench.sandbox", *sys.argv[1:], "--runs", "1", "--json", str(told)], check=True)
            found.append([Row(Path(path), Took(*engine), Took(*cost)) for path, engine, cost in json.loads(told.read_text())["rows"]])
    return found


def middle(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """Of each file the median of its runs."""
    return [
        Row(rows[0].path, _median([row.engine for row in rows]), _median([row.cost for row in rows])) for rows in zip(*runs, strict=True)
    ]


def shares(rows: Sequence[Row], at: int) -> list[float]:
    """What the sandbox costs of each extraction, ascending: wall time at 0, CPU time at 1."""
    return sorted(row.cost[at] / row.engine[at] for row in rows)


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Costs in ms and as shares of the extraction, ascending, by wall and by CPU time."""
    told: dict[str, Any] = {"files": len(rows)}
    for name, at in (("wall", 0), ("cpu", 1)):
        told[name] = {
            "cost_ms": sorted(row.cost[at] * 1e3 for row in rows),
            "shares": shares(rows, at),
            "of_sums": sum(row.cost[at] for row in rows) / sum(row.engine[at] for row in rows),
        }
    return told


def small(folder: Path, most: int) -> list[Path]:
    """The small CAD files there; not more than `most`, evenly spread over their names."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _FORMATS and 0 < path.stat().st_size <= _SMALL)
    return files[:: -(-len(files) // most)] if len(files) > most else files


def readable(box: Sandbox, files: Sequence[Path], version: FeatureVersion) -> list[Path]:
    """Those that the engine reads. Each is read in the sandbox first: some of them kill a process."""
    found = []
    for path in files:
        try:
            box.extract(path, path.name, version)
        except Failure as failure:
            print(f"left out, {failure.code}: {path.name}")
            continue
        found.append(path)
    return found


def measured(box: Sandbox, files: Sequence[Path], version: FeatureVersion, rounds: int) -> list[Row]:
    limits = CadSettings()
    alone: dict[Path, list[Took]] = {path: [] for path in files}
    inside: dict[Path, list[Took]] = {path: [] for path in files}
    ways: tuple[tuple[dict[Path, list[Took]], Callable[[Path], object]], ...] = (
        (alone, lambda path: extract(path, path.name, version, limits)),
        (inside, lambda path: box.extract(path, path.name, version)),
    )
    for turn in range(rounds + 1):
        for path in files:
            for kept, way in ways if turn % 2 else ways[::-1]:
                child, cpu, started = _child_cpu(box), time.process_time(), time.perf_counter()
                way(path)
                wall = time.perf_counter() - started
                took = Took(wall, time.process_time() - cpu + _child_cpu(box) - child)
                if turn:  # the first round warms both sides
                    kept[path].append(took)
    return [Row(path, _median(alone[path]), _difference(inside[path], alone[path])) for path in files]


def _child_cpu(box: Sandbox) -> float:
    """CPU seconds of the child, which the scheduler counts in nanoseconds."""
    child = box._child
    return int(Path(f"/proc/{child.pid}/schedstat").read_text().split()[0]) / 1e9 if child else 0.0


def _median(took: Sequence[Took]) -> Took:
    return Took(*(statistics.median(column) for column in zip(*took, strict=True)))


def _difference(inside: Sequence[Took], alone: Sequence[Took]) -> Took:
    """The median of what each round tells: its two ways stood next to each other."""
    return _median([Took(within.wall - without.wall, within.cpu - without.cpu) for within, without in zip(inside, alone, strict=True)])


def show(rows: Sequence[Row], each: bool) -> None:
    if each:
        print(f"{'file':<40}{'engine ms':>10}{'cost ms':>9}{'share':>8}{'CPU ms':>9}{'cost ms':>9}{'share':>8}")
        for row in rows:
            columns = (f"{took:>{width}.2f}{cost:>9.3f}{cost / took:>8.1%}" for took, cost, width in _figures(row))
            print(f"{row.path.name[:39]:<40}{''.join(columns)}")
    print(f"{len(rows)} files")
    for name, at in (("wall", 0), ("CPU", 1)):
        costs = [row.cost[at] * 1e3 for row in rows]
        told = shares(rows, at)
        engine = statistics.median(row.engine[at] for row in rows) * 1e3
        print(
            f"{name:<5} engine {engine:6.2f} ms; cost {statistics.median(costs):6.3f} ms (p90 {_p90(costs):.3f}); "
            f"share {statistics.median(told):6.1%} (p90 {_p90(told):.1%}); "
            f"sum {sum(costs) / sum(row.engine[at] * 1e3 for row in rows):.1%}; "
            f"{sum(share <= _AIM for share in told)} of {len(rows)} within {_AIM:.0%}"
        )


def _figures(row: Row) -> list[tuple[float, float, int]]:
    return [(row.engine.wall * 1e3, row.cost.wall * 1e3, 10), (row.engine.cpu * 1e3, row.cost.cpu * 1e3, 9)]


def _p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10, method="inclusive")[-1] if len(values) > 1 else values[0]


if __name__ == "__main__":
    main()
