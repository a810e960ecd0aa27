"""Batches of queries by several threads, where that pays: measured on each batch, told, and not done again for a while where it does not.

The threads are ours, each with a run of the queries: faiss and numpy let go of the interpreter's lock while they compute. (faiss's own
threads hang in a forked child whose parent used them.) No query's answer depends on those it is asked with, so the answers are
those of the serial run, bit for bit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from foundation.telemetry import BatchSearched, emit

Query = TypeVar("Query")
Answer = TypeVar("Answer")
Search = Callable[[Sequence[Query]], list[Answer]]

_SLICE = 8  # an eighth of a batch is searched serially, to know what the rest would have cost so
_LEAST = 8
_REST = 20  # batches until what did not pay is tried again


def processors() -> int:
    return len(os.sched_getaffinity(0))


@dataclass
class Parallel:
    """Batches above `threshold` by as many threads as `workers` and the machine allow."""

    threshold: int
    workers: int
    tick: Callable[[], float] = time.perf_counter
    processors: Callable[[], int] = processors
    note: Callable[[BatchSearched], None] = emit
    _resting: dict[Hashable, int] = field(default_factory=dict)

    def telling(self, also: Callable[[BatchSearched], None]) -> Parallel:
        """The same, with the same experience, that tells one more how each batch was searched."""

        def both(batch: BatchSearched) -> None:
            self.note(batch)
            also(batch)

        return replace(self, note=both)

    def search(self, queries: Sequence[Query], one_by_one: Search[Query, Answer], kind: Hashable = None) -> list[Answer]:
        """The answers to all queries, in their order. `kind`: batches that cost alike, whose measurements hold for each other."""
        threads = min(self.workers, self.processors())
        way = self._way(len(queries), threads, kind)
        if way != "parallel":
            self.note(BatchSearched(len(queries), way, None))
            return one_by_one(queries)
        size = max(_LEAST, len(queries) // _SLICE)
        answers = one_by_one(queries[:_LEAST])  # not measured: the first ones also pay for what is loaded by the way
        queries = queries[_LEAST:]
        began = self.tick()
        answers += one_by_one(queries[:size])
        each = (self.tick() - began) / len(queries[:size])
        rest = queries[size:]
        began = self.tick()
        answers += _together(rest, one_by_one, threads)
        saved = each * len(rest) - (self.tick() - began)
        if saved <= 0:
            self._resting[kind] = _REST
        self.note(BatchSearched(len(answers), way, saved))
        return answers

    def _way(self, count: int, threads: int, kind: Hashable) -> str:
        if count <= max(self.threshold, 3 * _LEAST):
            return "small batch"
        if threads < 2:
            return "one processor" if self.workers > 1 else "one worker"
        if self._resting.get(kind, 0) > 0:
            self._resting[kind] -= 1
            return "does not pay"
        return "parallel"


def _together(queries: Sequence[Query], one_by_one: Search[Query, Answer], threads: int) -> list[Answer]:
    share = -(-len(queries) // threads)
    runs = [queries[start : start + share] for start in range(0, len(queries), share)]
    with ThreadPoolExecutor(threads, thread_name_prefix="search") as pool:
        return [answer for answers in pool.map(one_by_one, runs) for answer in answers]
