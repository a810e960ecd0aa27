"""Vectors kept in the memory of one worker process, least recently used ones leave first.

A vector that is written anew (in other units, by force) has another time of writing, so a cached one is never stale. A TTL gives
memory back that nobody asks for any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from threading import Lock
from typing import Any, NamedTuple

from foundation.clock import SYSTEM, Clock, iso
from workers.cache.curve import Curve

_OVERHEAD = 420  # bytes of a key, its hash and its entry, beside the vector


class VectorKey(NamedTuple):
    tenant_id: str
    sha256: str
    feature_version: str
    engine_build: str
    written: float  # when, in seconds since the epoch


class Put(NamedTuple):
    loaded: int
    evicted: int


class VectorCache:
    """At most `capacity` vectors, each as its float32 bytes, for `ttl_seconds` (0: no end). Thread-safe."""

    def __init__(self, capacity: int, ttl_seconds: float = 0.0, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._held: OrderedDict[VectorKey, tuple[bytes, float]] = OrderedDict()  # vector, and when it was put
        self._bytes = 0
        self._lock = Lock()
        self.epoch = 0  # of the fleet's setting that was taken; 0: what the environment says
        self._begin(capacity, ttl_seconds)

    def _begin(self, capacity: int, ttl_seconds: float) -> None:
        self._capacity, self._ttl = capacity, ttl_seconds
        self._curve = Curve(capacity)
        self._since = self._clock.now()
        self._hits = self._misses = self._evicted = self._expired = self._too_late = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def capacity(self) -> int:
        return self._capacity

    def change(self, capacity: int, ttl_seconds: float, epoch: int) -> None:
        """Another size and TTL, at once. What was counted under the old ones is forgotten."""
        with self._lock:
            self.epoch = epoch
            if (capacity, ttl_seconds) != (self._capacity, self._ttl):
                self._begin(capacity, ttl_seconds)
                self._trim()

    def put(self, entries: Iterable[tuple[VectorKey, bytes]]) -> Put:
        """Keep vectors; answers how many came in and how many had to leave."""
        count, now = 0, self._clock.tick()
        with self._lock:
            before = self._evicted
            for key, vector in entries:
                if (old := self._held.pop(key, None)) is not None:
                    self._bytes -= len(old[0])
                self._held[key] = vector, now
                self._bytes += len(vector)
                count += 1
            self._trim()
            return Put(count, self._evicted - before)

    def _trim(self) -> None:
        while len(self._held) > self._capacity:
            _, (vector, _) = self._held.popitem(last=False)
            self._bytes -= len(vector)
            self._evicted += 1

    def get(
        self, keys: Sequence[VectorKey], fetch: Callable[[Sequence[VectorKey]], Iterable[tuple[VectorKey, bytes]]]
    ) -> dict[VectorKey, bytes]:
        """The vectors of these keys; those not held come from `fetch` and are kept."""
        found: dict[VectorKey, bytes] = {}
        with self._lock:
            oldest, touch = self._oldest(), self._curve.touch
            for key in keys:
                touch(key, key.sha256)
                entry = self._held.get(key)
                if entry is None:
                    self._misses += 1
                elif entry[1] < oldest:
                    self._misses += 1
                    self._too_late += 1
                    self._expire(key)
                else:
                    self._hits += 1
                    self._held.move_to_end(key)
                    found[key] = entry[0]
        missing = [key for key in keys if key not in found]
        if missing:
            fetched = list(fetch(missing))
            self.put(fetched)
            found.update(fetched)
        return found

    def holds(self, keys: Iterable[VectorKey]) -> set[VectorKey]:
        """Those of these keys that it could answer now. Counts as no use of them."""
        with self._lock:
            oldest = self._oldest()
            return {key for key in keys if (entry := self._held.get(key)) is not None and entry[1] >= oldest}

    def touch(self, keys: Iterable[VectorKey]) -> None:
        """Let these leave last, the last of them at the very last. Counts as no lookup."""
        with self._lock:
            for key in keys:
                if key in self._held:
                    self._held.move_to_end(key)

    def sweep(self) -> None:
        """Let go what has outlived the TTL."""
        if self._ttl:
            with self._lock:
                oldest = self._oldest()
                for key in [key for key, (_, put_at) in self._held.items() if put_at < oldest]:
                    self._expire(key)

    def _oldest(self) -> float:
        return self._clock.tick() - self._ttl if self._ttl else float("-inf")

    def _expire(self, key: VectorKey) -> None:
        vector, _ = self._held.pop(key)
        self._bytes -= len(vector)
        self._expired += 1

    def statistics(self) -> dict[str, Any]:
        """Counts since `since`. `would_serve`: by share of the capacity, the share of lookups that a cache of that size would have
        served, without TTL; `ghost_hits`: misses among them that four times the capacity would have served."""
        with self._lock:
            curve = self._curve
            served = {step: round(share, 6) for step, share in curve.served().items()}
            return {
                "since": iso(self._since),
                "capacity": self._capacity,
                "ttl_seconds": self._ttl,
                "held": len(self._held),
                "bytes": self._bytes + _OVERHEAD * len(self._held),
                "hits": self._hits,
                "misses": self._misses,
                "evicted": self._evicted,
                "expired": self._expired,
                "expired_misses": self._too_late,
                "distinct_keys": curve.keys(),
                "ghost_hits": round(sum(curve.hits[3:]) / curve.rate),
                "would_serve": served,
            }
