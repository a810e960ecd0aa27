"""Vectors kept in the memory of one worker process, least recently used ones leave first.

A vector that is written anew (in other units, by force) has another time of writing, so a cached one is never stale.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import NamedTuple


class VectorKey(NamedTuple):
    tenant_id: str
    sha256: str
    feature_version: str
    engine_build: str
    written: float  # when, in seconds since the epoch


class VectorCache:
    """At most `capacity` vectors, each as its float32 bytes."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held: OrderedDict[VectorKey, bytes] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._held)

    def put(self, entries: Iterable[tuple[VectorKey, bytes]]) -> int:
        """Keep vectors; answers how many were given."""
        count = 0
        with self._lock:
            for key, vector in entries:
                self._held[key] = vector
                self._held.move_to_end(key)
                count += 1
            while len(self._held) > self._capacity:
                self._held.popitem(last=False)
        return count

    def get(
        self, keys: Sequence[VectorKey], fetch: Callable[[Sequence[VectorKey]], Iterable[tuple[VectorKey, bytes]]]
    ) -> dict[VectorKey, bytes]:
        """The vectors of these keys; those not held come from `fetch` and are kept."""
        with self._lock:
            found = {key: self._held[key] for key in keys if key in self._held}
            for key in found:
                self._held.move_to_end(key)
        missing = [key for key in keys if key not in found]
        if missing:
            fetched = list(fetch(missing))
            self.put(fetched)
            found.update(fetched)
        return found
