"""When a job has ended, as the database shows it to others: asked all the time, so the API has nothing to do with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.house import until

_ENDED = "SELECT 1 FROM jobs WHERE id = {} AND state IN ('succeeded', 'partial', 'failed', 'cancelled')"
_LOOK_SECONDS, _PATIENCE_SECONDS = 0.0003, 60.0


@dataclass(frozen=True, slots=True)
class Watch:
    ended: Callable[[str], bool]

    def wait_for(self, job_id: str) -> None:
        """Return as soon as a job is seen to have ended. Raises TimeoutError."""
        until(lambda: self.ended(job_id), _PATIENCE_SECONDS, _LOOK_SECONDS)


@contextmanager
def watch(database_url: str, directory: Path) -> Iterator[Watch]:
    """A connection of its own to the database of a house: by its address, or the file in its directory."""
    if database_url:
        import psycopg

        with psycopg.connect(database_url, autocommit=True) as server:
            yield Watch(lambda job_id: server.execute(_ENDED.format("%s"), (job_id,)).fetchone() is not None)
        return
    with closing(sqlite3.connect(f"file:{directory / 'cadmill.db'}?mode=ro", uri=True, isolation_level=None)) as file:
        yield Watch(lambda job_id: file.execute(_ENDED.format("?"), (job_id,)).fetchone() is not None)
