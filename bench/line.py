"""The whole line beside a plain loop over the same engine: `python -m bench.line` (`make bench`), `--help` for what it takes.

Rounds are interleaved (loop, line, loop, line) because machines have moods: trust the ratio, not the absolute times.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from bench.house import ROOT, House, Ride, house, postgresql
from bench.plain import PROCESSES, File, Loop, loop
from bench.report import Figures, Idle, Row, Upload, show, write
from ledger.files import FileStore

_VERSION = "v4"
_BATCH = 500
_SPIN_MS = 5.0
_WORKLOADS = ("files", "spin", "nothing")
_IDLE_JOBS = 30


@dataclass(frozen=True, slots=True)
class Sizes:
    files: int
    spin: int
    nothing: int


_FULL = Sizes(files=10_000, spin=2_000, nothing=20_000)
_QUICK = Sizes(files=1_000, spin=500, nothing=2_000)


def main() -> None:
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the blocks below stop what they started
    os.environ["OMP_NUM_THREADS"] = "1"  # the loop as the workers: processes are the parallelism
    sizes = _QUICK if asked.quick else _FULL
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cadmill-bench-", ignore_cleanup_errors=True)))
        database_url = stack.enter_context(postgresql()) if asked.postgresql else ""
        here = stack.enter_context(house(directory, database_url, PROCESSES))
        plain = stack.enter_context(loop())
        figures = measure(here, plain, sizes, asked.rounds, asked.only, asked.distinct)
    database = "postgresql (whose CPU counts among the others)" if asked.postgresql else "sqlite"
    show(figures, database)
    if asked.write:
        write(figures, database, ROOT / "docs" / "bench.json")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.line", description="The whole line beside a plain loop over the same engine.")
    parser.add_argument("--rounds", type=int, choices=range(1, 21), metavar="N", help="interleaved rounds (2; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="1,000 items; within a minute")
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL server of its own instead of SQLite")
    parser.add_argument(
        "--distinct", action="store_true", help="make the content of every file unlike any other (save binary DXF), not only its name"
    )
    parser.add_argument("--only", nargs="+", choices=_WORKLOADS, default=_WORKLOADS, help="some of the workloads")
    parser.add_argument("--write", action="store_true", help="write docs/bench.json")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (1 if asked.quick else 2)
    return asked


def measure(here: House, plain: Loop, sizes: Sizes, rounds: int, only: tuple[str, ...], distinct: bool) -> Figures:
    """Every workload in interleaved rounds, after a warm-up of both sides."""
    rows = {
        "files": Row("real files, each computed", sizes.files),
        "reused": Row("real files, stored answers reused (nothing is computed)", sizes.files),
        "spin": Row("5 ms of Python", sizes.spin),
        "nothing": Row("nothing (what the line itself costs)", sizes.nothing),
    }
    here.ride("probe", {"items": 100}, 100)
    upload: Upload | None = None
    files: list[File] = []
    part_ids: list[str] = []
    if "files" in only:
        samples = _samples()
        _, warm_files, warm_ids = _upload(here, samples, 2 * len(samples), False)
        plain.extract(warm_files * PROCESSES, _VERSION)
        _extraction(here, warm_ids * PROCESSES, force=True)
        upload, files, part_ids = _upload(here, samples, sizes.files, distinct)
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}", flush=True)
        if "files" in only:
            rows["files"].loop.append(plain.extract(files, _VERSION))
            rows["files"].line.append(_extraction(here, part_ids, force=True))
            rows["reused"].line.append(_extraction(here, part_ids, force=False))
        if "spin" in only:
            rows["spin"].loop.append(plain.spin(sizes.spin, _SPIN_MS))
            rows["spin"].line.append(here.ride("probe", {"items": sizes.spin, "ms": _SPIN_MS, "act": "spin"}, sizes.spin))
        if "nothing" in only:
            rows["nothing"].line.append(here.ride("probe", {"items": sizes.nothing, "ms": 0, "act": "spin"}, sizes.nothing))
    return Figures([row for row in rows.values() if row.line], upload, idle(here), here.peaks(), rounds, distinct)


def _samples() -> list[Path]:
    return sorted(path for folder in ("dxf", "stl") for path in (ROOT / "tests" / "data" / folder).iterdir())


def _upload(here: House, samples: list[Path], count: int, distinct: bool) -> tuple[Upload, list[File], list[str]]:
    """Upload so many files; how long that took, where the line has stored them, and the ids of their parts."""
    content = {path: path.read_bytes() for path in samples}
    store = FileStore(here.directory)
    files: list[File] = []
    part_ids: list[str] = []
    seconds, weight = 0.0, 0
    chosen = list(enumerate(islice(cycle(samples), count)))
    for at in range(0, count, _BATCH):
        batch = [
            (f"{path.stem}-{number}{path.suffix}", stamped(content[path], number) if distinct else content[path])
            for number, path in chosen[at : at + _BATCH]
        ]
        started = time.perf_counter()
        parts = here.upload(batch)
        seconds += time.perf_counter() - started
        weight += sum(len(data) for _, data in batch)
        files += [(store.path(part["sha256"]), part["name"]) for part in parts]
        part_ids += [part["id"] for part in parts]
    return Upload(count, seconds, weight), files, part_ids


def stamped(data: bytes, number: int) -> bytes:
    """The same drawing or mesh in other bytes: a comment in a DXF, the name in a text STL, the header of a binary one."""
    stamp = f"copy {number}".encode()
    first, line_end, rest = data.partition(b"\n")
    if len(data) >= 84 and len(data) == 84 + 50 * int.from_bytes(data[80:84], "little"):
        return data[: 80 - len(stamp)] + stamp + data[80:]
    if first.lstrip().startswith(b"solid"):
        return first.rstrip() + b" " + stamp + line_end + rest
    if data.startswith(b"AutoCAD Binary DXF"):
        return data  # has no place for a comment that its readers bear
    return b"999\n" + stamp + b"\n" + data


def _extraction(here: House, part_ids: list[str], force: bool) -> Ride:
    return here.ride("extraction", {"parts": part_ids, "feature_version": _VERSION, "force": force}, len(part_ids))


def idle(here: House) -> Idle:
    """Jobs of one empty item, one at a time, on a line that has nothing else to do."""
    rides = []
    for _ in range(_IDLE_JOBS):
        time.sleep(random.uniform(0.05, 0.25))  # not in step with anything that ticks
        rides.append(here.ride("probe", {"items": 1}, 1, look=0.05))
    return Idle(
        whole=[ride.whole for ride in rides],
        accept=[ride.accept for ride in rides],
        wait=[ride.wait for ride in rides],
        one_by_one=1 / statistics.median(ride.accept for ride in rides),
    )


if __name__ == "__main__":
    main()
