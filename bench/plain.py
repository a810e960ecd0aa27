"""The plain loop: the same items through the same functions, in two processes; no queue, no database, nothing kept."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from bench.machine import Cost, Meter

PROCESSES = 2
_BITE = 25  # items a process takes at a time: small, so that both end together
_START_SECONDS, _LAP_SECONDS = 60.0, 1800.0

File = tuple[Path, str]
"""Where a file is, and what its owner calls it."""


@dataclass(frozen=True, slots=True)
class Lap:
    """One run of the loop."""

    seconds: float
    cost: Cost | None


class Loop:
    """Two processes that have loaded the engine and wait for items."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def extract(self, files: Sequence[File], version: str) -> Lap:
        """Extract all files."""
        return self._lap(_extract, [(files[at : at + _BITE], version) for at in range(0, len(files), _BITE)], len(files))

    def spin(self, items: int, ms: float) -> Lap:
        """Spend so many milliseconds of Python on each item."""
        bites = [(min(_BITE, items - at), ms) for at in range(0, items, _BITE)]
        return self._lap(_spin, bites, items)

    def _lap(self, work: Callable[[Any], int], bites: Sequence[Any], items: int) -> Lap:
        meter = Meter(*(process.pid for process in multiprocessing.active_children() if process.pid))
        started = time.perf_counter()
        done = sum(self._pool.map_async(work, bites, chunksize=1).get(_LAP_SECONDS))
        seconds = time.perf_counter() - started
        if done != items:
            raise RuntimeError(f"the loop did {done} of {items} items")
        return Lap(seconds, meter.read())


@contextmanager
def loop() -> Iterator[Loop]:
    """A loop that is warm; its processes end with the block."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(PROCESSES + 1)
    with context.Pool(PROCESSES, _load, (barrier,)) as pool:
        barrier.wait(_START_SECONDS)
        yield Loop(pool)


def _load(barrier: Barrier) -> None:
    import workers.features.extraction  # noqa: F401

    barrier.wait(_START_SECONDS)


def _extract(bite: tuple[Sequence[File], str]) -> int:
    from foundation.errors import Failure
    from foundation.settings import settings
    from tasks.vocabulary import FeatureVersion
    from workers.features.extraction import extract

    files, version = bite
    for path, name in files:
        try:
            extract(path, name, FeatureVersion(version), settings().cad)
        except Failure as failure:
            raise RuntimeError(f"{name}: {failure.code} {failure.message}") from None  # a Failure does not survive the way to our parent
    return len(files)


def _spin(bite: tuple[int, float]) -> int:
    items, ms = bite
    for _ in range(items):
        spin(ms)
    return items


def spin(ms: float) -> None:
    """So many milliseconds of Python."""
    end = time.monotonic() + ms / 1000
    while time.monotonic() < end:
        pass
