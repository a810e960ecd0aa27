"""What v4 costs more than v3: CPU time of whole extractions, the two taking turns in one child process.

Run as a program it times the files named on its standard input, one line each; what kills it costs one file.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.house import ROOT
from bench.quality.ranking import Floats
from bench.quality.samples import lot
from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import FeatureVersion
from workers.features.extraction import extract

_VERSIONS = (FeatureVersion.V3, FeatureVersion.V4)
_PERCENT = 95


@dataclass(frozen=True, slots=True)
class Price:
    """Milliseconds at the 95th percentile, and their ratio; `ratios`: the same of every format."""

    files: int
    v3: float
    v4: float
    ratios: dict[str, tuple[int, float]]

    @property
    def ratio(self) -> float:
        return self.v4 / self.v3


def price(files: Sequence[tuple[Path, str]], rounds: int, seconds: float) -> Price | None:
    """Of (file, format) that can all be read; the median of the rounds counts for each file. Files are timed in the order of their draw,
    and none is begun later than that. None when there is none.
    """
    drawn = sorted(files, key=lambda file: lot(file[0]))
    laps = np.array(_laps([path for path, _ in drawn], rounds, time.monotonic() + seconds)).reshape(-1, len(_VERSIONS))
    timed = ~np.isnan(laps).any(axis=1)
    if not timed.any():
        return None
    formats = np.array([format for _, format in drawn[: len(laps)]])
    v3, v4 = _percentile(laps[timed])
    ratios = {}
    for format in sorted(set(formats[timed])):
        mine = laps[timed & (formats == format)]
        slow = _percentile(mine)
        ratios[str(format)] = (len(mine), slow[1] / slow[0])
    return Price(int(timed.sum()), 1000 * v3, 1000 * v4, ratios)


def _percentile(laps: Floats) -> tuple[float, float]:
    v3, v4 = np.percentile(laps, _PERCENT, axis=0)
    return float(v3), float(v4)


def _laps(paths: Sequence[Path], rounds: int, until: float) -> list[list[float]]:
    """Seconds of v3 and of v4 for each file begun until that time (monotonic), NaN where its extraction failed or died."""
    laps: list[list[float]] = []
    while len(laps) < len(paths) and time.monotonic() < until:
        rest = [str(path) for path in paths[len(laps) :]]
        child = subprocess.run(
            [sys.executable, "-m", "bench.quality.price", str(rounds), str(until)],
            cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, input=json.dumps(rest), stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        lines = child.stdout.splitlines()
        laps += [json.loads(line) for line in lines]
        if len(lines) < len(rest) and child.returncode:
            laps.append([float("nan")] * len(_VERSIONS))
    return laps


def serve(rounds: int, until: float) -> None:
    for path in json.load(sys.stdin):
        if time.monotonic() > until:  # this clock is the same in all processes of a machine
            return
        print(json.dumps(_timed(Path(path), rounds)), flush=True)


def _timed(path: Path, rounds: int) -> list[float]:
    laps: dict[FeatureVersion, list[float]] = {version: [] for version in _VERSIONS}
    for turn in range(-1, 2 * rounds):
        version = _VERSIONS[(turn + turn // 2) % 2]  # 3 4 4 3 3 4, after one that warms up
        started = time.process_time()
        try:
            extract(path, path.name, version, CadSettings())
        except Failure:
            return [float("nan")] * len(_VERSIONS)  # the sandbox allows more, or less, than this process
        if turn >= 0:
            laps[version].append(time.process_time() - started)
    return [statistics.median(times) for times in laps.values()]


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]))
