"""Celery alone, as most would use it: one message an item, acknowledged late, prefetch 1, no result kept, on the Redis of the line.

What it is told to do is what the probe does. An item that has been done is marked on a board, a file in memory, so that nobody has to
ask anybody. It is a contender of `bench.line`, never a part of the product.
"""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from celery import Celery

from api.cli.guardian import die_with_parent
from bench.house import ROOT, until
from bench.plain import PROCESSES, spin

_BROKER, _BOARD = "CADMILL_BENCH_BROKER", "CADMILL_BENCH_BOARD"
_PLACES = 1_000_000
_START_SECONDS, _LAP_SECONDS, _LOOK_SECONDS = 60.0, 600.0, 0.0002

app = Celery("alone", broker=os.environ.get(_BROKER, "memory://"))
app.conf.update(
    task_acks_late=True, worker_prefetch_multiplier=1, task_ignore_result=True, task_default_queue="alone",
    broker_connection_retry_on_startup=True,
)  # fmt: skip


class Board:
    """A byte an item, in a file that worker processes see, too."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 0)

    @classmethod
    def new(cls, path: Path) -> Board:
        path.write_bytes(bytes(_PLACES))
        return cls(path)

    def mark(self, place: int) -> None:
        self._bytes[place] = 1

    def marked(self, place: int) -> bool:
        return self._bytes[place] == 1

    def count(self, items: int) -> int:
        return self._bytes[:items].count(1)

    def clear(self) -> None:
        self._bytes[:] = bytes(_PLACES)


_board: list[Board] = []


@app.task
def item(place: int, ms: float) -> None:
    """Spend so many milliseconds of Python, and mark the board."""
    if not _board:
        _board.append(Board(Path(os.environ[_BOARD])))
    spin(ms)
    _board[0].mark(place)


@dataclass(slots=True)
class Alone:
    """A running worker, and the producer beside it."""

    board: Board

    def latency(self, pauses: list[float]) -> list[float]:
        """Seconds from the call of `apply_async` to the end of the item, of one empty item after each of these pauses."""
        self.board.clear()
        found = []
        for place, pause in enumerate(pauses):
            time.sleep(pause)
            started = time.perf_counter()
            item.apply_async((place, 0.0))
            until(lambda place=place: self.board.marked(place), _LAP_SECONDS, _LOOK_SECONDS)  # type: ignore[misc]
            found.append(time.perf_counter() - started)
        return found

    def work(self, items: int, ms: float) -> float:
        """Seconds from the first publish to the end of the last item."""
        self.board.clear()
        started = time.perf_counter()
        for place in range(items):
            item.apply_async((place, ms))
        until(lambda: self.board.count(items) == items, _LAP_SECONDS, 0.005)
        return time.perf_counter() - started

    def publish(self, items: int) -> float:
        """Items published a second, one by one, into a queue that nobody serves."""
        started = time.perf_counter()
        for place in range(items):
            item.apply_async((place, 0.0), queue="nobody")
        seconds = time.perf_counter() - started
        with app.connection_for_write() as connection:
            connection.default_channel.queue_purge("nobody")
        return items / seconds


@contextmanager
def alone(directory: Path, broker: str) -> Iterator[Alone]:
    """A worker of two processes for the length of a block; it is stopped whatever happens, and ends with us."""
    app.conf.broker_url = broker
    board = directory / "board"
    environment = os.environ | {_BROKER: broker, _BOARD: str(board)}
    argv = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "bench.alone",
        "worker",
        "-P",
        "prefork",
        "-c",
        str(PROCESSES),
        "-l",
        "WARNING",
        "-O",
        "fair",
    ]
    argv += ["--without-mingle", "--without-gossip"]
    running = Alone(Board.new(board))
    with (directory / "alone.log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=log, stderr=log, preexec_fn=die_with_parent(signal.SIGTERM))
        try:
            item.apply_async((0, 0.0))
            until(lambda: running.board.marked(0), _START_SECONDS, 0.1)
            yield running
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)
