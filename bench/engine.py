"""What reading and measuring files costs, each figure beside its aim: `python -m bench.engine [--write]`, the first half of `make bench`.

All are ratios within one run: DXF against `ezdxf.readfile`, STL against trimesh, our own share of a STEP extraction beside Open
CASCADE's, the sandbox beside the extraction it holds. Each part runs in a process of its own with one thread, as the workers do.
With real files (CADMILL_DATA, or `../shared/data` beside the repository), else on the samples. `--write` keeps docs/bench-engine.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.reading import DATA, ROOT
from bench.report import facts

PAGE = ROOT / "docs" / "bench-engine.md"
SAMPLES = ROOT / "tests" / "data"
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # as the workers
_MINUTES = 30
_RUNS = 5  # of the sandbox: its figure differs more from process to process than from round to round


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    chosen = options.parse_args()
    real = DATA / "real" if (DATA / "real").is_dir() else SAMPLES
    rounds = ["--rounds", str(chosen.rounds)]
    dxf = _run("bench.dxf", "--data", str(real / "dxf"), *rounds)
    solid = _run("bench.solid", "--stl", str(real / "stl"), "--step", str(real / "step"), *rounds)
    samples = _run("bench.sandbox", "--runs", str(_RUNS))
    small = _run("bench.sandbox", "--runs", str(_RUNS), "--data", str(real), "--most", "100", *rounds)
    where = "real files" if real is not SAMPLES else "the samples, for want of real files"
    page = "\n".join(_page(where, chosen.rounds, dxf, solid, samples, small))
    print(page)
    if chosen.write:
        PAGE.write_text(page + "\n", encoding="utf-8")


def _run(module: str, *arguments: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "figures.json"
        command = [sys.executable, "-m", module, *arguments, "--json", str(figures)]
        subprocess.run(command, cwd=ROOT, env=os.environ | _ONE_THREAD, check=True, timeout=60 * _MINUTES, stdout=sys.stderr)
        told: dict[str, Any] = json.loads(figures.read_text()) if figures.exists() else {}
        return told


def _page(where: str, rounds: int, dxf: Any, solid: Any, samples: Any, small: Any) -> Iterator[str]:
    yield "# What the engine costs\n"
    yield f"Written by `python -m bench.engine --write` on {facts()}, {where}, {rounds} interleaved rounds."
    yield "Spread: 10th to 90th percentile of the files.\n"
    yield "| what | files | figure | spread | aim | |"
    yield "|---|---|---|---|---|---|"
    if dxf:
        for name, title, aim in (
            ("scan", "DXF > 1 MB: scan of all tags, times faster than `ezdxf.readfile`", 12),
            ("vector", "the same: complete v4", 10),
            ("unchanged", "DXF, all real files of any size as they are: complete v4, times faster than `ezdxf.readfile`", 4),
        ):
            middle = statistics.median(dxf[name])
            yield f"| {title} | {len(dxf[name])} | {middle:.1f}x | {_spread(dxf[name], 'x', 1)} | {aim}x | {_met(middle >= aim)} |"
    if stl := solid.get("stl"):
        title = "STL: load and v4, of trimesh's load, properties, hull, adjacency"
        for name, figure in (("of medians", stl["of_medians"]), ("of sums", stl["of_sums"])):
            yield f"| {title}, {name} | {stl['files']} | {figure:.2f}x | {_spread(stl['ratios'], 'x', 2)} | 0.4x | {_met(figure <= 0.4)} |"
    if step := solid.get("step"):
        yield (
            f"| STEP: the vector's share of the CPU time, mesh to slots, of sums | {step['files']} | {step['vector_of_sums']:.1%} "
            f"| {_spread(step['vectors'], '%', 1)} | 6% | {_met(step['vector_of_sums'] <= 0.06)} |"
        )
        title = "STEP: all that is not Open CASCADE (text checks, names, fetching and welding the mesh, vector, result)"
        for name, figure in (("of sums", step["of_sums"]), ("median file", statistics.median(step["shares"]))):
            yield f"| {title}, {name} | {step['files']} | {figure:.1%} | {_spread(step['shares'], '%', 1)} | 6% | {_met(figure <= 0.06)} |"
    for name, told in (("the samples", samples), ("real files < 100 kB", small)):
        shares = told["cpu"]["shares"]
        middle, within = statistics.median(shares), sum(share <= 0.1 for share in shares)
        cost, count, runs = statistics.median(told["cpu"]["cost_ms"]), told["files"], told["runs"]
        yield (
            f"| sandbox: CPU time on top of the extraction, {name}; {cost:.2f} ms in the median, {within} of {count} within the aim; "
            f"{len(runs)} runs from {runs[0]:.1%} to {runs[-1]:.1%} "
            f"| {count} | {middle:.1%} | {_spread(shares, '%', 1)} | 10% | {_met(middle <= 0.1)} |"
        )
    if dxf:
        kinds = ", ".join(f"{kind} {ratio:.1f}x" for kind, ratio in sorted(dxf["vector_by_kind"].items(), key=lambda pair: -pair[1]))
        yield f"\nComplete v4 of DXF by the kind most entities of a drawing are of, medians: {kinds}."
        sizes = ", ".join(f"{title} {statistics.median(some):.1f}x ({len(some)})" for title, some in dxf["unchanged_by_size"].items())
        yield f"Complete v4 of real drawings as they are, by size, medians: {sizes}."
        reasons = ", ".join(f"{reason} ({count})" for reason, count in dxf["reasons"].items())
        yield f"Drawings that take the fast way: {dxf['covered']} of {dxf['of']}. The others: {reasons}."


def _spread(values: Sequence[float], unit: str, digits: int) -> str:
    low, high = (values[len(values) * percent // 100] for percent in (10, 90))
    return f"{low:.{digits}%} to {high:.{digits}%}" if unit == "%" else f"{low:.{digits}f} to {high:.{digits}f}{unit}"


def _met(right: bool) -> str:
    return "met" if right else "**MISSED**"


if __name__ == "__main__":
    main()
