"""`python -m bench.quality` (`make quality`), `--help` for what it takes.

Real files ask for their like, variants of real files ask for their originals. Nothing here is fitted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.house import ROOT
from bench.quality.measured import Bounds, measured
from bench.quality.samples import KICAD, Collection, data_folder, kicad, real
from bench.quality.telling import told


def main() -> None:
    asked = arguments()
    until = time.monotonic() + 60 * asked.minutes
    bounds = Bounds(60, 0, 0.0, until) if asked.quick else Bounds(asked.parts, asked.rounds, 60 * asked.timing, until)
    collections = collected(asked)
    for line in (line for collection in collections for line in collection.skipped):
        print(f"SKIPPED: {line}", file=sys.stderr)  # before half an hour is spent without it
    with ExitStack() as stack:
        cache = asked.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cadmill-quality-")))
        quality = measured(collections, cache, bounds)
    if asked.quick:
        quality.skipped.insert(0, "most of it: a quick draw, whose figures are not those of the aims")
    text = told(quality)
    print(text)
    if asked.write:
        target = ROOT / "docs" / "quality.md"
        target.write_text(text, encoding="utf-8")
        print(f"written: {target}", file=sys.stderr)


def collected(asked: argparse.Namespace) -> list[Collection]:
    return [_real(asked.data), kicad(asked.kicad, 6) if asked.quick else kicad(asked.kicad)]


def _real(folder: Path) -> Collection:
    if (folder / "manifest.csv").exists():
        return real(folder)
    return Collection(
        "real files", [], [f"real files: {folder}/manifest.csv is not there; set CADMILL_DATA to the folder that holds real/"]
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.quality", description="How well vectors find what they should.")
    parser.add_argument("--data", type=Path, default=data_folder(), help="folder with manifest.csv (CADMILL_DATA/real)")
    parser.add_argument("--kicad", type=Path, default=KICAD, help="folder of the KiCad packages, one folder a class")
    parser.add_argument("--parts", type=int, default=500, help="most parts of which each kind of variant is made")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds of the timing; 0: none")
    parser.add_argument("--minutes", type=float, default=40.0, help="no vector is begun later")
    parser.add_argument("--timing", type=float, default=8.0, help="minutes for the timing, which comes last")
    parser.add_argument("--quick", action="store_true", help="60 parts of each kind, 6 KiCad files a class, no timing")
    parser.add_argument("--cache", type=Path, help="keep vectors here; a change of the engine is noticed")
    parser.add_argument("--write", action="store_true", help="write docs/quality.md")
    asked = parser.parse_args()
    if asked.quick and asked.write:
        parser.error("a quick draw is not written")
    return asked


if __name__ == "__main__":
    main()
