"""How items are cut into chunks: pure arithmetic."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil

_PARTS = 3  # of what is left of a job, that one chunk takes: more for each of two workers would only cost more chunks


@dataclass(frozen=True, slots=True)
class Pace:
    """How much of a full chunk one chunk is to hold, where it is known how long such items take: `most` of it, and `least` of it where
    a job has little left; never more than `items`."""

    most: float
    least: float
    items: int


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """When a chunk is full: `items` of them, or `bytes` of input; and into how many a job is cut at least."""

    items: int
    bytes: int
    per_job_min: int
    pace: Pace | None = None

    def share(self, items: int, bytes: int) -> float:
        """What so many items of so many bytes weigh, as a share of a full chunk."""
        return max(items / self.items, bytes / self.bytes)


def cut(sizes: Sequence[int], size: ChunkSize) -> list[range]:
    """Cut items of these `sizes` (bytes) into runs, in order. Every item is in exactly one run; no run is empty.

    With a pace, runs become smaller towards the end (guided self-scheduling: Polychronopoulos and Kuck 1987), so that few chunks keep
    all workers busy until all are done."""
    before = [0, *accumulate(sizes)]
    even = max(1, min(size.items, ceil(len(sizes) / size.per_job_min)))
    runs: list[range] = []
    start = 0
    while start < len(sizes):
        if size.pace is None:
            most, limit = even, 1.0
        else:
            most, limit = size.pace.items, _limit(size.pace, size, len(sizes) - start, before[-1] - before[start])
        most = min(most, int(limit * size.items), len(sizes) - start)
        # the last place up to which all weigh little enough
        light = bisect_right(before, before[start] + limit * size.bytes, start, start + max(1, most) + 1) - 1
        end = max(start + 1, light)
        runs.append(range(start, end))
        start = end
    return runs


def _limit(pace: Pace, size: ChunkSize, items: int, bytes: int) -> float:
    """Of the next chunk, of so many items and bytes that are left."""
    return min(pace.most, max(pace.least, size.share(items, bytes) / _PARTS))
