"""An index that always answers: by the fast one, and where that fails by the exact one, in the same call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from threading import RLock
from typing import NamedTuple

from foundation.errors import Failure
from foundation.resilience.protection import guard
from foundation.telemetry import SearchDegraded, emit, logger
from workers.index.contract import Floats32, Hit, Index, IndexFailure, Reason
from workers.index.health import Health

# What an engine throws instead of an IndexFailure, where neither loading nor searching says it all. faiss asserts dimensions in Python.
_FAULTS: tuple[tuple[type[Exception], Reason], ...] = (
    (ImportError, "import"),
    (OSError, "load"),
    (MemoryError, "load"),
    (AssertionError, "dimension"),
    (LookupError, "corruption"),  # a hit that is no row
)

_CHECKED = 8  # queries of the last failure that an index built anew is asked again
_CLOSE = 1e-3  # relative: by how much its nearest distance may differ from the exact one


class Served(NamedTuple):
    hits: list[list[Hit]]
    degraded: bool  # answered by the exact index because the fast one had failed


class Failover:
    """`primary` and `fallback` make the two indexes from the ledger's vectors when they are first needed; neither is made twice
    without need. While the engine of the process is not healthy the fallback serves. It is let go when the engine is back.

    What is added and removed goes to whatever is held. One thread searches, another may rebuild at the same time.
    """

    def __init__(self, health: Health, primary: Callable[[], Index], fallback: Callable[[], Index]) -> None:
        self._health, self._make_primary, self._make_fallback = health, primary, fallback
        self._lock = RLock()
        self._primary: Index | None = None
        self._fallback: Index | None = None
        self._changes: list[Callable[[Index], None]] | None = None  # made while a rebuild runs
        self._asked: tuple[Floats32, int] | None = None  # the last queries that failed

    def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
        """(q, d); nearest first."""
        return self.serve(queries, k).hits

    def serve(self, queries: Floats32, k: int) -> Served:
        """Search, and tell who answered."""
        if self._health.healthy:
            fast: Index | None = None
            try:
                fast = self._fast()
                with guard("search"):
                    return Served(_whole(fast.search(queries, k), queries, k), degraded=False)
            except Failure:  # the ledger is away: neither index can be made
                raise
            except Exception as error:  # noqa: BLE001 - whatever breaks in it, the exact index can still answer
                hits = self._exact().search(queries, k)  # where that fails too, the question is to blame and not the engine
                self._asked = queries[:_CHECKED].copy(), k
                self._fail(error, fast)
        else:
            hits = self._exact().search(queries, k)
        emit(SearchDegraded(len(queries)))
        return Served(hits, degraded=True)

    def add(self, keys: Sequence[str], matrix: Floats32) -> None:
        """(n, d) scaled; a key that is there is replaced."""
        self._change(lambda index: index.add(keys, matrix))

    def remove(self, keys: Sequence[str]) -> None:
        """Unknown keys are ignored."""
        self._change(lambda index: index.remove(keys))

    def __len__(self) -> int:
        with self._lock:
            held = self._primary if self._health.healthy and self._primary is not None else self._fallback
            return len(held) if held is not None else len(self._exact())

    def rebuild(self) -> Callable[[], None]:
        """Make the fast index anew and check it; calling the answer takes it into use. Raises IndexFailure."""
        with self._lock:
            self._changes = []
        try:
            made = self._made()
            with self._lock:
                self._replay(made)
                self._check(made)
        except Failure:
            raise
        except Exception as error:
            raise _as_failure(error) from error

        def adopt() -> None:
            with self._lock:
                try:
                    self._replay(made)
                except Exception as error:  # noqa: BLE001 - the next search makes it once more, and fails or not
                    logger.warning("an index built anew could not be brought up to date: %s", error)
                    self._primary = None
                else:
                    self._primary = made
                self._changes = None

        return adopt

    def give_up(self) -> None:
        """What was built is not taken into use."""
        with self._lock:
            self._changes = None

    def _change(self, do: Callable[[Index], None]) -> None:
        failed: Exception | None = None
        with self._lock:
            if self._changes is not None:
                self._changes.append(do)
            if self._fallback is not None:
                do(self._fallback)
            fast = self._primary
            if fast is not None:
                try:
                    do(fast)
                except Exception as error:  # noqa: BLE001 - whatever breaks in it, the exact index can still answer
                    failed = error
        if failed is not None:  # told without our lock: whoever ends a try holds the other one and wants ours
            self._fail(failed, fast)

    def _replay(self, made: Index) -> None:
        """What was changed since the rebuild began; adding and removing again what is known changes nothing."""
        changes, self._changes = self._changes or [], []
        for do in changes:
            do(made)

    def _fast(self) -> Index:
        with self._lock:
            self._fallback = None
            if self._primary is None:
                self._primary = self._made()
            return self._primary

    def _made(self) -> Index:
        try:
            return self._make_primary()
        except Failure:
            raise
        except Exception as error:
            raise _as_failure(error, "load") from error

    def _exact(self) -> Index:
        with self._lock:
            if self._fallback is None:
                self._fallback = self._make_fallback()
            return self._fallback

    def _fail(self, error: Exception, failed: Index | None) -> None:
        """`failed`: the index that did; None: it could not be made."""
        failure = _as_failure(error)
        with self._lock:
            if failed is not None and failed is not self._primary:
                return  # told already, by another thread that searched in it
            self._primary = None
        logger.warning("the fast index failed, exact search serves: %s", failure)
        self._health.failed(failure.reason, self)

    def _check(self, made: Index) -> None:
        """Against the exact index: as many vectors, and most of the nearest of the queries that failed as near as they are.

        Raises IndexFailure: corruption."""
        exact = self._exact()
        if len(made) != len(exact):
            raise IndexFailure("corruption", f"{len(made)} vectors where there are {len(exact)}")
        if self._asked is None or not len(exact):
            return
        queries, k = self._asked
        found, right = _whole(made.search(queries, k), queries, k), exact.search(queries, k)
        near = sum(_as_near(one, other) for one, other in zip(found, right, strict=True))
        if 2 * near <= len(found):
            raise IndexFailure("corruption", f"the nearest of {len(found) - near} of {len(found)} queries are not the nearest")


def index_for(health: Health, primary: Callable[[], Index], fallback: Callable[[], Index]) -> Failover:
    """The index of one space as the gallery should hold it: `worker.health` is that of the process."""
    return Failover(health, primary, fallback)


def _whole(hits: list[list[Hit]], queries: Floats32, k: int) -> list[list[Hit]]:
    """An answer of an engine, if it can be one: a list a query, not longer than asked, finite and in order. Raises IndexFailure."""
    if len(hits) != len(queries):
        raise IndexFailure("search", f"{len(hits)} answers to {len(queries)} queries")
    for one in hits:
        if len(one) > k:
            raise IndexFailure("search", f"{len(one)} hits where {k} were asked for")
        distances = [distance for _, distance in one]
        # a sum is finite only if all are; this way it costs some percent of the fastest search
        if distances and not (math.isfinite(sum(distances)) and distances[0] >= 0.0 and distances == sorted(distances)):
            raise IndexFailure("corruption", f"distances that cannot be: {distances[:10]}")
    return hits


def _as_near(found: list[Hit], right: list[Hit]) -> bool:
    if not found or not right:
        return not found and not right
    return math.isclose(found[0].distance, right[0].distance, rel_tol=_CLOSE, abs_tol=_CLOSE)


def _as_failure(error: Exception, otherwise: Reason = "search") -> IndexFailure:
    if isinstance(error, IndexFailure):
        return error
    reason: Reason = next((reason for kind, reason in _FAULTS if isinstance(error, kind)), otherwise)
    return IndexFailure(reason, f"{type(error).__name__}: {error}")
