"""Search by faiss: every vector is looked at in small spaces (flat), the nearest lists only in large ones (IVF).

Flat answers are exactly those of `exact`: faiss computes in float32, so what it finds is measured again in float64, and where rounding
could have hidden a nearer one, all that lie so near are fetched. In lists, recall depends on how many are looked into; how many
are needed is measured on the vectors themselves when the lists are made.

OpenMP is never used with more than one thread: a forked child of a process that used it would wait for its threads for ever
(https://github.com/facebookresearch/faiss/issues/5206), and single queries would get slower and inexact. Batches are searched in
parallel by our own threads (`parallel.py`), with the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from foundation.telemetry import logger
from workers.index.contract import Floats32, Hit, IndexFailure, Reason, checked, newest
from workers.index.exact import distances, in_runs, nearest
from workers.index.places import Integers, Places, told

FLAT_MAX = 100_000
"""Vectors up to which all are looked at."""
GOAL = 0.995
"""Recall of the first ten that the number of lists looked into has to reach on a sample of the vectors."""
_LISTS = 4  # times the root of the number of vectors
_TRAINED = 40  # vectors a list from which the centres are learned
_SAMPLE = 256  # vectors on which recall is measured
_FIRST = 10  # of what recall is measured
_TOGETHER = 1_000  # queries given to faiss at once: with many it multiplies matrices, and an answer could depend on the others
_MARGIN = 2  # more than k, so that rounding seldom needs a second look
_GROWN = 2  # times as many vectors as the lists were made for: they are made anew
_ROUNDOFF = 2.0**-22  # of a squared distance in float32, times the slots, with room to spare
_UNDERFLOW = 1e-35  # squares below it may have lost digits
_AWAY = np.float32(1e17)  # where an empty place of a flat index stands: its squared distance is still finite


def faiss_here() -> Any:
    """faiss, held to one thread in the thread that calls. Raises `IndexFailure` "import"."""
    try:
        import faiss
    except Exception as error:
        raise IndexFailure("import", f"{type(error).__name__}: {error}") from error
    faiss.omp_set_num_threads(1)
    return faiss


@contextmanager
def _told_as(reason: Reason) -> Iterator[None]:
    """What faiss throws, as `IndexFailure`."""
    try:
        yield
    except (RuntimeError, AssertionError, MemoryError, ValueError, TypeError) as error:
        raise IndexFailure(reason, f"{type(error).__name__}: {error}"[:200]) from error


class ApproximateIndex:
    """Rows of one width. Up to `flat_max` of them the answers are exact."""

    def __init__(self, width: int, flat_max: int = FLAT_MAX, goal: float = GOAL) -> None:
        self._faiss = faiss_here()
        self._width, self._flat_max, self._goal = width, flat_max, goal
        self._places = Places()
        self._flat: Any = self._faiss.IndexFlatL2(width)
        self._lists: Any = None  # the IVF index, where there is one; the flat one is empty then
        self._made_for = 0
        self.probes = 0  # lists looked into for the first ten

    def __len__(self) -> int:
        return len(self._places)

    def add(self, keys: Sequence[str], matrix: Floats32) -> None:
        once, rows = newest(keys, checked(matrix, self._width))
        if not once:
            return
        faiss_here()
        with _told_as("load"):
            before = self._places.used
            at = self._places.take(once)
            if self._lists is not None:
                old = at[at < before]
                if len(old):
                    self._lists.remove_ids(self._faiss.IDSelectorBatch(old))
                self._lists.add_with_ids(rows, at)
            else:
                new = at >= before
                self._flat.add(rows[new])  # new places are given in the order of the rows
                self._stored()[at[~new]] = rows[~new]
            if len(self) > (self._flat_max if self._lists is None else _GROWN * self._made_for):
                self._make_lists()

    def remove(self, keys: Sequence[str]) -> None:
        faiss_here()
        with _told_as("load"):
            gone = self._places.leave(keys)
            if not len(gone):
                return
            if self._lists is not None:
                self._lists.remove_ids(self._faiss.IDSelectorBatch(gone))
            else:
                self._stored()[gone] = _AWAY
            if self._places.used > 2 * len(self) + self._flat_max // 4:
                self._close_ranks()

    def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
        asked = checked(queries, self._width)
        k = min(k, len(self))
        if k <= 0 or not len(asked):
            return [[] for _ in asked]
        faiss_here()
        answer = self._in_all if self._lists is None else self._in_lists
        with _told_as("search"):
            return [hits for start in range(0, len(asked), _TOGETHER) for hits in answer(asked[start : start + _TOGETHER], k)]

    @property
    def lists(self) -> int:
        """Into how many lists the vectors are divided; 0: into none, each is looked at."""
        return 0 if self._lists is None else int(self._lists.nlist)

    # -- flat

    def _stored(self) -> Floats32:
        """The rows of the flat index, as it holds them."""
        if not self._flat.ntotal:
            return np.empty((0, self._width), dtype=np.float32)
        rows: Floats32 = self._faiss.rev_swig_ptr(self._flat.get_xb(), self._flat.ntotal * self._width).reshape(-1, self._width)
        return rows

    def _in_all(self, asked: Floats32, k: int) -> list[list[Hit]]:
        most = min(self._places.used, k + _MARGIN)
        rounded, places = self._flat.search(asked, most)
        # The k-th, as far as rounding lets it be: nearer ones than that can have been missed only where the last one found is nearer, too.
        limit = rounded[:, k - 1].astype(np.float64) * (1.0 + 2.0 * _ROUNDOFF * (self._width + 4)) + _UNDERFLOW
        apart = distances(asked[:, None, :], self._stored()[places])
        apart[~self._places.there[places]] = np.inf
        order = np.argsort(apart, axis=1, kind="stable")
        apart, places = np.take_along_axis(apart, order, axis=1), np.take_along_axis(places, order, axis=1)
        keys = self._places.keys(places)
        for row in np.flatnonzero((apart[:, 1:] == apart[:, :-1]).any(axis=1)):
            keys[row] = keys[row][np.lexsort((keys[row], apart[row]))]
        found = in_runs(keys[:, :k], apart[:, :k])
        if most < self._places.used:
            for row in np.flatnonzero(rounded[:, -1] <= limit):
                found[row] = self._within(asked[row], limit[row], k)
        return found

    def _within(self, query: Floats32, limit: float, k: int) -> list[Hit]:
        """The k nearest of all that lie within a squared distance."""
        _, _, at = self._flat.range_search(query[None], float(np.nextafter(np.float32(limit), np.float32(np.inf))))
        at = at[self._places.there[at]]
        return nearest(query, self._stored()[at], self._places.keys(at), k)

    # -- lists

    def _in_lists(self, asked: Floats32, k: int) -> list[list[Hit]]:
        apart, places = self._lists.search(asked, k, params=self._faiss.SearchParametersIVF(nprobe=self._probes_for(k)))
        found = places >= 0
        if not found.all():  # the lists looked into held fewer than k: look into all, for those
            short = ~found.all(axis=1)
            all_lists = self._faiss.SearchParametersIVF(nprobe=self._lists.nlist)
            apart[short], places[short] = self._lists.search(asked[short], k, params=all_lists)
        keys = self._places.keys(places)
        for row in np.flatnonzero((apart[:, 1:] == apart[:, :-1]).any(axis=1)):
            keys[row] = keys[row][np.lexsort((keys[row], apart[row]))]
        return in_runs(keys, np.sqrt(apart.astype(np.float64)))

    def _probes_for(self, k: int) -> int:
        """As many lists as the first ten need, and more where k is so large that these hold too few to choose from."""
        more = math.ceil(4 * k * self._lists.nlist / len(self))
        return int(min(self._lists.nlist, max(self.probes, more)))

    def _make_lists(self) -> None:
        """Learn centres from a sample, the same each time for the same vectors, and give each vector to the list of its centre."""
        at, rows = self._all()
        count = min(round(_LISTS * math.sqrt(len(rows))), len(rows))
        dice = np.random.default_rng(len(rows))
        some = dice.choice(len(rows), min(len(rows), _TRAINED * count), replace=False)
        centres = self._faiss.IndexFlatL2(self._width)
        lists = self._faiss.IndexIVFFlat(centres, self._width, count, self._faiss.METRIC_L2)
        lists.cp.min_points_per_centroid = 1
        lists.train(rows[np.sort(some)])
        lists.add_with_ids(rows, at)
        self._centres, self._lists, self._made_for = centres, lists, len(rows)
        self._measure(rows, at, dice)
        self._flat.reset()

    def _measure(self, rows: Floats32, at: Integers, dice: np.random.Generator) -> None:
        """Look into twice as many lists until the first ten of a sample are found."""
        sample = rows[dice.choice(len(rows), min(len(rows), _SAMPLE), replace=False)]
        whole = self._faiss.IndexFlatL2(self._width)
        whole.add(rows)
        first = min(_FIRST + 1, len(rows))  # a sample finds itself, which counts for nothing
        apart, _ = whole.search(sample, first)
        reach = apart[:, -1:] * (1.0 + _ROUNDOFF * self._width)
        self.probes = 1
        while True:
            near, _ = self._lists.search(sample, first, params=self._faiss.SearchParametersIVF(nprobe=self.probes))
            recall = float((near <= reach)[:, 1:].mean())
            if recall >= self._goal or self.probes >= self._lists.nlist:
                break
            self.probes = min(2 * self.probes, self._lists.nlist)
        logger.info("an index of %s vectors has %s lists and looks into %s: recall %.4f", len(rows), self._lists.nlist, self.probes, recall)

    # -- both

    def _all(self) -> tuple[Integers, Floats32]:
        """Places that hold a key, ascending, and their rows."""
        if self._lists is None:
            at = np.flatnonzero(self._places.there)
            return at, self._stored()[at]
        at = np.empty(self._lists.ntotal, dtype=np.int64)
        rows = np.empty((self._lists.ntotal, self._width), dtype=np.float32)
        start, held = 0, self._lists.invlists
        for number in range(self._lists.nlist):
            size = held.list_size(number)
            if size:
                codes = self._faiss.rev_swig_ptr(held.get_codes(number), size * held.code_size)
                at[start : start + size] = self._faiss.rev_swig_ptr(held.get_ids(number), size)
                rows[start : start + size] = codes.view(np.float32).reshape(size, self._width)
                start += size
        order = np.argsort(at)
        return at[order], rows[order]

    def _close_ranks(self) -> None:
        """Make anew what has become half empty."""
        at, rows = self._all()
        keys = told(self._places.keys(at))
        self._places = Places()
        self._flat.reset()
        self._lists = None
        self.add(keys, rows)
