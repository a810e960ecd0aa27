"""Compute workers in every pool Celery offers here, at once on one stack: what holds must hold in each."""

from __future__ import annotations

from tests.stack import Stack

POOLS = ("prefork", "threads", "solo")


def start(stack: Stack, pool: str, concurrency: int = 1, app: str = "tests.workers.cad.misbehaving_worker") -> None:
    """A compute worker with this pool, under a name of its own, whose engine does what names of files say."""
    argv = [*stack._table["compute"].argv]
    argv[argv.index("workers")] = app
    argv[argv.index("-P") + 1] = pool
    argv[argv.index("-c") + 1] = str(concurrency)
    stack.spawn(pool, [word.replace("compute.", f"{pool}.") for word in argv])
