"""How items are cut into chunks: pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """When a chunk is full: `items` of them, or `bytes` of input; and into how many a job is cut at least."""

    items: int
    bytes: int
    per_job_min: int

    def share(self, items: int, bytes: int) -> float:
        """What so many items of so many bytes weigh, as a share of a full chunk."""
        return max(items / self.items, bytes / self.bytes)


def cut(sizes: Sequence[int], size: ChunkSize) -> list[range]:
    """Cut items of these `sizes` (bytes) into runs, in order. Every item is in exactly one run; no run is empty."""
    most = max(1, min(size.items, ceil(len(sizes) / size.per_job_min)))
    runs: list[range] = []
    start, weight = 0, 0
    for index, length in enumerate(sizes):
        if index > start and (index - start >= most or weight + length > size.bytes):
            runs.append(range(start, index))
            start, weight = index, 0
        weight += length
    if sizes:
        runs.append(range(start, len(sizes)))
    return runs
