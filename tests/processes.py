"""Real processes that start in a moment: forked, because a new Python takes a second to import the ledger."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any

from ledger.session import Ledger

_FORK = multiprocessing.get_context("fork")


@contextmanager
def forked(mine: Ledger, count: int, what: Callable[..., Any], *given: Any) -> Iterator[list[BaseProcess]]:
    """So many processes that do `what`, each with connections of its own; what runs at the end of the block is killed.

    `mine` lets go of its connections first: SQLite in a child would take its parent's locks for its own."""
    mine.close()
    processes: list[BaseProcess] = [_FORK.Process(target=what, args=given) for _ in range(count)]
    try:
        for process in processes:
            process.start()
        yield processes
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join(10)


def all_ended_well(processes: list[BaseProcess], seconds: float = 90) -> bool:
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes] == [0] * len(processes)
