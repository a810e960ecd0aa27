"""Exact search by brute force over one matrix, with numpy alone: always right, and needs nothing that could be missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from workers.index.contract import Floats32, Hit, checked, newest
from workers.index.places import Integers, Keys, Places, enlarged, told

Floats = npt.NDArray[np.float64]

_ROWS = 16_384  # compared at once: what fits into a processor's cache
_FIRST_ROWS = 1_024
_QUERIES = 64
# A squared distance of d slots, computed in float32 as |x|^2 + |q|^2 - 2xq, is off by less than this times (d + 4)(|x| + |q|)^2: twice
# the unit roundoff, for the standard bound of a dot product (Higham 2002, 3.1) and of what is added to it.
_ROUNDOFF = 2.0**-23


class ExactIndex:
    """Rows of one width. Distances are those of the float32 rows, computed in float64."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._clear()

    def _clear(self) -> None:
        width = self._width
        self._places = Places()
        self._rows: Floats32 = np.empty((0, width), dtype=np.float32)
        self._squares: Floats32 = np.empty(0, dtype=np.float32)  # of the lengths; infinite where a place is empty

    def __len__(self) -> int:
        return len(self._places)

    def add(self, keys: Sequence[str], matrix: Floats32) -> None:
        once, rows = newest(keys, checked(matrix, self._width))
        at = self._places.take(once)
        if self._places.used > len(self._rows):
            room = max(self._places.used, 2 * len(self._rows))
            self._rows = enlarged(self._rows, len(self._rows), room)
            self._squares = enlarged(self._squares, len(self._squares), room)
        self._rows[at] = rows
        self._squares[at] = np.square(rows).sum(axis=1)

    def remove(self, keys: Sequence[str]) -> None:
        self._squares[self._places.leave(keys)] = np.inf
        if self._places.used > 2 * len(self._places) + _ROWS:
            self._close_ranks()

    def _close_ranks(self) -> None:
        left = np.flatnonzero(self._places.there)
        keys, rows = told(self._places.keys(left)), self._rows[left]
        self._clear()
        self.add(keys, rows)

    def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
        asked = checked(queries, self._width)
        k = min(k, len(self._places))
        if k <= 0:
            return [[] for _ in asked]
        found: list[list[Hit]] = []
        for start in range(0, len(asked), _QUERIES):
            found += self._nearest(asked[start : start + _QUERIES], k)
        return found

    def _nearest(self, asked: Floats32, k: int) -> list[list[Hit]]:
        """Row by row of the matrix, whatever may be among the k nearest is kept: all within the k-th smallest rounded distance and twice
        the error that rounding can have made. Those are then measured exactly.
        """
        used = self._places.used
        lengths = np.square(asked, dtype=np.float64).sum(axis=1)
        longest = float(np.sqrt(np.max(self._squares[:used], where=self._places.there, initial=0.0)))
        slack = 2.0 * _ROUNDOFF * (self._width + 4) * np.square(longest + np.sqrt(lengths))
        limit = np.full(len(asked), np.inf)
        kept: list[list[Integers]] = [[] for _ in asked]
        near: list[list[Floats32]] = [[] for _ in asked]
        minus_twice = asked * np.float32(-2.0)
        start, end = 0, min(used, max(_FIRST_ROWS, 4 * k))  # a few first, so that of the others few come near
        while start < used:
            apart = minus_twice @ self._rows[start:end].T  # less the query's own square, which changes no order
            apart += self._squares[start:end]
            for at, row in enumerate(apart):
                places = np.flatnonzero(row <= limit[at])
                if len(places):
                    kept[at].append(places + start)
                    near[at].append(row[places])
                    self._tighten(kept[at], near[at], at, k, limit, slack)
            start, end = end, min(end + _ROWS, used)
        return [self._measured(asked[at], np.concatenate(kept[at]), k) for at in range(len(asked))]

    @staticmethod
    def _tighten(kept: list[Integers], near: list[Floats32], at: int, k: int, limit: Floats, slack: Floats) -> None:
        """Forget what a nearer k already rules out."""
        places, apart = np.concatenate(kept), np.concatenate(near)
        if len(apart) > k:
            limit[at] = float(np.partition(apart, k - 1)[k - 1]) + slack[at]
            among = apart <= limit[at]
            places, apart = places[among], apart[among]
        kept[:], near[:] = [places], [apart]

    def _measured(self, query: Floats32, places: Integers, k: int) -> list[Hit]:
        places = places[self._places.there[places]]
        return nearest(query, self._rows[places], self._places.keys(places), k)


def nearest(query: Floats32, rows: Floats32, keys: Keys, k: int) -> list[Hit]:
    """The k nearest of some rows, measured in float64: nearest first, ties by key."""
    apart = distances(query, rows)
    if len(apart) > k:
        within = apart <= np.partition(apart, k - 1)[k - 1]
        apart, keys = apart[within], keys[within]
    order = np.lexsort((keys, apart))[:k]
    return in_runs(keys[None, order], apart[None, order])[0]


_hit = partial(tuple.__new__, Hit)  # a batch has thousands; this makes them without a step through Python


def in_runs(keys: Keys, apart: Floats) -> list[list[Hit]]:
    """Hits from keys and distances, (q, k)."""
    hits = list(map(_hit, zip(told(keys.ravel()), apart.ravel().tolist(), strict=True)))
    return [hits[start : start + keys.shape[1]] for start in range(0, len(hits), max(1, keys.shape[1]))]


def distances(query: Floats32, rows: Floats32) -> Floats:
    """Euclidean distances of float32 rows (..., d) from queries (..., d), in float64."""
    return np.asarray(np.sqrt(np.square(rows.astype(np.float64) - query.astype(np.float64)).sum(axis=-1)))
