"""What a worker process searches with: made at the first search, after the fork."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from foundation.engine_settings import IndexSettings
from ledger.session import Ledger
from workers.index.galleries import Galleries, engine
from workers.index.health import Health
from workers.index.parallel import Parallel
from workers.worker import Worker


@dataclass(frozen=True, slots=True)
class Searching:
    """The galleries of this process, and how it searches batches."""

    galleries: Galleries
    parallel: Parallel


@lru_cache(maxsize=1)
def _of_process(_pid: int, settings: IndexSettings, ledger: Ledger, directory: Path, health: Health) -> Searching:
    galleries = Galleries(settings, ledger, directory, engine(settings, ledger, health))
    return Searching(galleries, Parallel(settings.parallel_threshold, settings.parallel_workers))


def searching(worker: Worker) -> Searching:
    """What this process searches with; the pid makes a forked child have its own."""
    return _of_process(os.getpid(), worker.settings.index, worker.ledger, worker.settings.storage.directory, worker.health)
