"""What a cache of another size would have served: the stack distances of a sample of its keys, in coarse steps.

Least recently used caches are nested: what a small one holds, a larger one holds too. So one list of all keys in order of use, cut at
the sizes of interest, shows for each lookup the smallest cache that would have had it (Mattson and others, 1970). Only keys whose hash
falls below a limit are followed, and sizes shrink with them. A sample has too few or too many of the few keys that are asked for all
the time; as these are near the front of the list, the difference to the expected number of lookups is put there (SHARDS-adj:
Waldspurger and others, FAST 2015).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from zlib import crc32

STEPS = (0.25, 0.5, 1.0, 2.0, 4.0)  # sizes, as shares of the capacity
_FOLLOWED = 2048  # keys of a sample at the capacity itself
_HASHES = 1 << 32


class Curve:
    """Not thread-safe: its cache has the lock."""

    def __init__(self, capacity: int) -> None:
        followed = min(capacity, _FOLLOWED)
        self.rate = followed / capacity
        self._limit = int(self.rate * _HASHES)
        ends = [max(1, round(step * followed)) for step in STEPS]
        self._sizes = [end - start for start, end in zip([0, *ends], ends, strict=False)]
        self._segments: list[OrderedDict[Hashable, None]] = [OrderedDict() for _ in STEPS]
        self.hits = [0] * len(STEPS)  # sampled lookups that a cache of this step has, and no smaller one
        self._sampled = 0
        self.lookups = 0

    def touch(self, key: Hashable, name: str) -> None:
        """A lookup. The hash is that of `name`, the same in every process."""
        self.lookups += 1
        if crc32(name.encode()) >= self._limit:
            return
        self._sampled += 1
        for at, segment in enumerate(self._segments):
            if key in segment:
                del segment[key]
                self.hits[at] += 1
                break
        self._segments[0][key] = None
        for at, segment in enumerate(self._segments):
            if len(segment) <= self._sizes[at]:
                break
            last, _ = segment.popitem(last=False)
            if at + 1 < len(self._segments):
                self._segments[at + 1][last] = None

    def served(self) -> dict[str, float]:
        """By step: the share of lookups that a cache of that size would have served. Empty before the first."""
        if not self.lookups:
            return {}
        expected = self.lookups * self.rate
        shares, total = {}, expected - self._sampled
        for step, hits in zip(STEPS, self.hits, strict=True):
            total += hits
            shares[f"{step:g}"] = min(1.0, max(0.0, total / expected))
        return shares

    def keys(self) -> int:
        """About how many different keys were asked for, of those that a cache of four times the size would still hold."""
        return round(sum(map(len, self._segments)) / self.rate)
