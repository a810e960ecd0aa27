"""The whole line beside a plain loop over the same engine and beside Celery alone: `python -m bench.line` (`make bench`), `--help`.

Rounds are interleaved (loop, line, loop, line) because machines have moods: trust the ratio, not the absolute times.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path

from bench.alone import Alone, alone
from bench.house import ROOT, House, Ride, house, postgresql
from bench.plain import PROCESSES, File, Loop, loop
from bench.plot import plot
from bench.reading import DATA
from bench.report import Acceptance, Figures, Idle, Row, Upload, show, write
from bench.watch import Watch, watch
from ledger.files import FileStore

_VERSION = "v4"
_BATCH = 500
_SPIN_MS, _SHORT_MS = 5.0, 1.0
_WORKLOADS = ("files", "spin", "short", "nothing", "accept")
_IDLE_JOBS = 30
_LARGE, _SMALL, _SMALL_JOBS = 10_000, 100, 60
_MOST_BYTES = 5_000_000  # of one file: a few giants would decide how a round ends
_LATER = 86_400.0  # a job that is only accepted, and cancelled before its time comes


@dataclass(frozen=True, slots=True)
class Sizes:
    files: int
    spin: int
    short: int
    nothing: int


_FULL = Sizes(files=1_000, spin=2_000, short=10_000, nothing=20_000)
_QUICK = Sizes(files=200, spin=500, short=2_000, nothing=2_000)


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
        celery = stack.enter_context(alone(directory, f"redis+socket://{directory}/redis.sock?virtual_host=1"))
        seen = stack.enter_context(watch(database_url, directory))
        figures = measure(here, plain, celery, seen, sizes, asked.rounds, asked.only, asked.distinct)
    database = "postgresql (whose CPU counts among the others)" if asked.postgresql else "sqlite"
    show(figures, database)
    if asked.write:
        name = "bench-postgresql" if asked.postgresql else "bench"
        write(figures, database, ROOT / "docs" / f"{name}.json")
        plot(figures, database, ROOT / "docs" / f"{name}.svg")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.line", description="The whole line beside a plain loop over the same engine.")
    parser.add_argument("--rounds", type=int, choices=range(1, 21), metavar="N", help="interleaved rounds (3; with --quick 1)")
    parser.add_argument("--quick", action="store_true", help="fewer items; within a minute")
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL server of its own instead of SQLite")
    parser.add_argument(
        "--distinct", action="store_true", help="make the content of every file unlike any other (save binary DXF), not only its name"
    )
    parser.add_argument("--only", nargs="+", choices=_WORKLOADS, default=_WORKLOADS, help="some of the workloads")
    parser.add_argument("--write", action="store_true", help="write docs/bench.json and docs/bench.svg")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (1 if asked.quick else 3)
    return asked


def measure(
    here: House, plain: Loop, celery: Alone, seen: Watch, sizes: Sizes, rounds: int, only: tuple[str, ...], distinct: bool
) -> Figures:
    """Every workload in interleaved rounds, after a warm-up of both sides."""
    rows = {
        "files": Row("real DXF files, each computed", sizes.files),
        "reused": Row("the same, stored answers reused (nothing is computed)", sizes.files),
        "spin": Row("5 ms of Python", sizes.spin),
        "short": Row("1 ms of Python", sizes.short),
        "nothing": Row("nothing (what the line itself costs)", sizes.nothing),
    }
    here.ride("probe", {"items": 100}, 100)
    sent: Upload | None = None
    files: list[File] = []
    part_ids: list[str] = []
    if "files" in only:
        sent, files, part_ids = upload(here, samples(), sizes.files, distinct)
        plain.extract(files[:100] * PROCESSES, _VERSION)
        _extraction(here, part_ids, force=True)
    for ms in (_SPIN_MS, _SHORT_MS):  # so that it is known how long such items take
        here.ride("probe", {"items": 200, "ms": ms, "act": "spin"}, 200)
    acceptance, idling = Acceptance(), Idle()
    many = upload(here, samples()[:1], _LARGE, False)[2] if "accept" in only else []
    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}", flush=True)
        if "files" in only:
            rows["files"].loop.append(plain.extract(files, _VERSION))
            rows["files"].line.append(_extraction(here, part_ids, force=True))
            rows["reused"].line.append(_extraction(here, part_ids, force=False))
        if "spin" in only:
            rows["spin"].loop.append(plain.spin(sizes.spin, _SPIN_MS))
            rows["spin"].line.append(here.ride("probe", {"items": sizes.spin, "ms": _SPIN_MS, "act": "spin"}, sizes.spin))
            rows["spin"].celery.append(celery.work(sizes.spin, _SPIN_MS))
        if "short" in only:
            rows["short"].loop.append(plain.spin(sizes.short, _SHORT_MS))
            rows["short"].line.append(here.ride("probe", {"items": sizes.short, "ms": _SHORT_MS, "act": "spin"}, sizes.short))
        if "nothing" in only:
            rows["nothing"].line.append(here.ride("probe", {"items": sizes.nothing, "ms": 0, "act": "spin"}, sizes.nothing))
        if many:
            accept(here, celery, many, acceptance)
        idle(here, celery, seen, idling)
    return Figures([row for row in rows.values() if row.line], sent, acceptance, idling, here.peaks(), rounds, distinct)


@cache
def samples() -> list[Path]:
    """Real DXF files that the engine answers; those of the tests where there are no others."""
    real = DATA / "real" / "dxf"
    found = sorted(real.rglob("*.dxf")) if real.is_dir() else sorted((ROOT / "tests" / "data" / "dxf").iterdir())
    return [path for path in found if path.stat().st_size <= _MOST_BYTES and _answered(path)]


def _answered(path: Path) -> bool:
    """Whether the engine has features for a file: some real ones hold none."""
    from foundation.engine_settings import CadSettings
    from foundation.errors import Failure
    from tasks.vocabulary import FeatureVersion
    from workers.features.extraction import extract

    try:
        return not extract(path, path.name, FeatureVersion(_VERSION), CadSettings()).result["missing_slots"]
    except Failure:
        return False


def upload(here: House, samples: list[Path], count: int, distinct: bool) -> tuple[Upload, list[File], list[str]]:
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


def accept(here: House, celery: Alone, part_ids: list[str], told: Acceptance) -> None:
    """Jobs that are written down and start a day later, and messages that Celery publishes one by one."""
    here.connect()
    later = time.time() + _LATER
    told.large.append(_LARGE / min(here.accept("extraction", {"parts": part_ids}, later) for _ in range(3)))
    started = time.perf_counter()
    for number in range(_SMALL_JOBS):
        start = number * _SMALL % (len(part_ids) - _SMALL)
        here.accept("extraction", {"parts": part_ids[start : start + _SMALL]}, later)
    told.small.append(_SMALL_JOBS * _SMALL / (time.perf_counter() - started))
    told.celery.append(celery.publish(1000))


def idle(here: House, celery: Alone, seen: Watch, told: Idle) -> None:
    """Jobs of one empty item, one at a time, on a line that has nothing else to do; and messages of Celery alone, in turns.

    The end of ours is when the database shows it to others, that of Celery's when its function ends."""
    here.connect()
    for _ in range(_IDLE_JOBS):
        pause = random.uniform(0.05, 0.25)  # not in step with anything that ticks
        time.sleep(pause)
        started = time.perf_counter()
        job_id = here.submit("probe", {"items": 1})
        told.accept.append(time.perf_counter() - started)
        seen.wait_for(job_id)
        told.whole.append(time.perf_counter() - started)
        told.celery.extend(celery.latency([pause]))


if __name__ == "__main__":
    main()
