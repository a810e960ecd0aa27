"""How a worker goes home: it finishes what it has in hand within a grace time, and hands back what it cannot finish.

SIGTERM to the main process is Celery's warm shutdown, which waits for its children without end. So a thread counts the
grace time and then sends SIGTERM to the children, in whom it raises SystemExit: `workers/run.py` hands the chunk back,
so that another worker starts it at once and nobody is charged with a death. A second SIGTERM ends the wait.
Celery's own soft shutdown would wait the whole time even where nothing is left to wait for, and cannot be cut short.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from foundation.telemetry import logger


class Drain:
    """The grace time of one worker, prefork or threads. A thread cannot be interrupted: a courier finishes its deliveries."""

    def __init__(self, worker: Any, seconds: float) -> None:
        self._worker, self._seconds = worker, seconds
        self._over = threading.Event()
        self._begun = False

    def begin(self) -> None:
        """The worker was told to stop; told again, it does not wait any longer. Called by a signal handler: takes no lock for long."""
        if self._begun:
            self._over.set()
            return
        self._begun = True
        threading.Thread(target=self._wait, name="drain", daemon=True).start()

    def _wait(self) -> None:
        self._over.wait(self._seconds)
        for pid in self._worker.pool.info.get("processes", ()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        logger.info("the grace time is over: what is not finished is handed back")


@contextmanager
def held() -> Iterator[None]:
    """Keep SIGTERM waiting, from before a claim until `release` in the block that can hand the claim back."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    except BaseException:
        release()
        raise


def release() -> None:
    """Hear a SIGTERM that waits, now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
