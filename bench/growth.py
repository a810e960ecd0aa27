"""What grows with use: time per item over the size of a job and over rows in history, and memory: `python -m bench.growth`, `--help`.

History is made by the line itself, of jobs with empty items, which is the least work there can be: whatever the database costs more
shows here first. A machine has moods, so a plain loop is timed beside each step, and CPU time is told beside the rate.
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
from dataclasses import dataclass, field
from pathlib import Path

from bench.house import ROOT, House, house, postgresql
from bench.line import samples, upload
from bench.plain import PROCESSES, Loop, loop
from bench.report import facts
from bench.watch import Watch, watch

_PAGE = ROOT / "docs" / "bench-growth.md"
_MOST_ITEMS = 1_000_000
_ROUNDS = 3
_SMALL_JOBS, _SMALL, _IDLE_JOBS = 60, 100, 40
_SPIN_ITEMS, _SPIN_MS = 400, 1.0
_LATER = 86_400.0
_FEW, _MANY = 1_000, 10_000  # real files whose memory is compared


@dataclass(frozen=True, slots=True)
class Size:
    """Jobs of so many items: items a second and CPU milliseconds an item, medians of the rounds."""

    items: int
    rate: float
    cpu: float
    accepted: float


@dataclass(frozen=True, slots=True)
class Age:
    """With so many items in history: the same job, small jobs accepted, one idle job, the plain loop; and the peaks by then."""

    history: int
    size: Size
    small: float
    idle: float
    loop: float
    peaks: dict[str, int]


@dataclass(slots=True)
class Told:
    sizes: list[Size] = field(default_factory=list)
    ages: list[Age] = field(default_factory=list)
    few: dict[str, int] = field(default_factory=dict)
    many: dict[str, int] = field(default_factory=dict)
    database_mb: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.growth", description="Cost per item over the size of jobs and over history, and memory.")
    parser.add_argument("--history", type=int, default=5_000_000, help="items in history at the end (5,000,000)")
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL server of its own instead of SQLite")
    parser.add_argument("--write", action="store_true", help="write docs/bench-growth.md, or docs/bench-growth-postgresql.md")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the blocks below stop what they started
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["CADMILL_UPLOAD_MAX_ITEMS"] = str(_MOST_ITEMS)
    told = Told()
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cadmill-growth-", ignore_cleanup_errors=True)))
        url = stack.enter_context(postgresql()) if asked.postgresql else ""
        here = stack.enter_context(house(directory, url, PROCESSES))
        plain, seen = stack.enter_context(loop()), stack.enter_context(watch(url, directory))
        _memory(here, told)
        _grow(here, plain, seen, asked.history, told)
        told.database_mb = sum(path.stat().st_size for path in directory.glob("cadmill.db*")) / 1e6
    text = page(told, "PostgreSQL" if asked.postgresql else "SQLite")
    print(text)
    if asked.write:
        (_PAGE.with_name("bench-growth-postgresql.md") if asked.postgresql else _PAGE).write_text(text)


def _memory(here: House, told: Told) -> None:
    """Real files, each computed: the peaks after few and after many."""
    ids = upload(here, samples(), _FEW, False)[2]
    for count, peaks in ((_FEW, told.few), (_MANY - _FEW, told.many)):
        for start in range(0, count, _FEW):
            here.ride("extraction", {"parts": ids[: min(_FEW, count - start)], "feature_version": "v4", "force": True}, _FEW)
        peaks |= _largest(here)


def _grow(here: House, plain: Loop, seen: Watch, history: int, told: Told) -> None:
    """All sizes of jobs, then jobs of the largest size until history is full; the same small things before, between and after."""
    there = 0
    print("history 0", flush=True)
    told.ages.append(_age(here, plain, seen, there))
    for items in (1_000, 10_000, 100_000):
        told.sizes.append(_size(here, items))
        there += items * _ROUNDS
    told.sizes.append(_size(here, min(_MOST_ITEMS, history), 1))
    there += min(_MOST_ITEMS, history)
    told.ages.append(_age(here, plain, seen, there))
    while there < history:
        here.ride("probe", {"items": _MOST_ITEMS, "act": "spin"}, _MOST_ITEMS)
        there += _MOST_ITEMS
        print(f"history {there:,}", flush=True)
    told.ages.append(_age(here, plain, seen, there))


def _size(here: House, items: int, rounds: int = _ROUNDS) -> Size:
    rides = [here.ride("probe", {"items": items, "act": "spin"}, items) for _ in range(rounds)]
    cpu = statistics.median(ride.cost.cpu for ride in rides if ride.cost) if rides[0].cost else float("nan")
    rate, accepted = statistics.median(items / ride.seconds for ride in rides), statistics.median(items / ride.accept for ride in rides)
    print(f"jobs of {items:,}: {rate:,.0f} items/s", flush=True)
    return Size(items, rate, 1000 * cpu / items, accepted)


def _age(here: House, plain: Loop, seen: Watch, history: int) -> Age:
    lap = plain.spin(_SPIN_ITEMS, _SPIN_MS)
    size = _size(here, 10_000)
    here.connect()
    started = time.perf_counter()
    for _ in range(_SMALL_JOBS):
        here.accept("probe", {"items": _SMALL}, time.time() + _LATER)
    small = _SMALL_JOBS * _SMALL / (time.perf_counter() - started)
    idle = []
    for _ in range(_IDLE_JOBS):
        time.sleep(random.uniform(0.05, 0.25))
        started = time.perf_counter()
        seen.wait_for(here.submit("probe", {"items": 1}))
        idle.append(time.perf_counter() - started)
    return Age(history, size, small, statistics.median(idle), _SPIN_ITEMS / lap.seconds, _largest(here))


def _largest(here: House) -> dict[str, int]:
    return {name: max(peaks) for name, peaks in here.peaks().items()}


def page(told: Told, database: str) -> str:
    """All of it as a page for people."""
    first, last = told.ages[0], told.ages[-1]
    lines = [
        f"# Growth, measured on {database}",
        "",
        f"Written by `python -m bench.growth --write{' --postgresql' if database != 'SQLite' else ''}` on {facts()}, "
        f"{PROCESSES} compute processes. Items are empty: what is timed is the line itself.",
        "",
        "| a job of | items/s | CPU ms an item | accepted items/s |",
        "|---|---|---|---|",
        *(f"| {one.items:,} | {one.rate:,.0f} | {one.cpu:.3f} | {one.accepted:,.0f} |" for one in told.sizes),
        "",
        "| items in history | 10,000 items: items/s | CPU ms an item | accepted in jobs of 100, items/s | one idle job, p50 ms "
        "| plain loop, items/s |",
        "|---|---|---|---|---|---|",
        *(
            f"| {one.history:,} | {one.size.rate:,.0f} | {one.size.cpu:.3f} | {one.small:,.0f} | {1000 * one.idle:.1f} | {one.loop:,.0f} |"
            for one in told.ages
        ),
        "",
        f"CPU an item with {last.history:,} items in history, of that with none: {last.size.cpu / first.size.cpu:.2f}; "
        f"accepted {last.small / first.small:.2f}; idle {last.idle / first.idle:.2f}.",
        *(
            [f"The database holds {told.database_mb:,.0f} MB then, {1e6 * told.database_mb / last.history:,.0f} bytes an item."]
            * bool(told.database_mb)
        ),
        "",
        "Peak resident memory in MB, shared pages counted in each process that has them:",
        "",
        f"| process | {_FEW:,} real files | {_MANY:,} real files | ratio | {last.history:,} empty items |",
        "|---|---|---|---|---|",
        *(f"| {name} | {few} | {told.many[name]} | {told.many[name] / few:.2f} | {last.peaks[name]} |" for name, few in told.few.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
