"""Worker processes as far as the ledger can tell: each with its own cache, health and steering, all in one process and by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from celery import Celery

from foundation import keyspace
from foundation.clock import Clock
from foundation.engine_settings import CacheSettings
from foundation.sealing import Sealing
from foundation.settings import ProcessSettings, Settings, StorageSettings
from ledger.files import FileStore
from ledger.session import Ledger
from tasks.ring import Doorbell
from workers.cache.store import VectorCache
from workers.cad.sandbox import nursery
from workers.index.health import Health
from workers.steering import Steering
from workers.worker import Worker


@dataclass
class Member:
    """One process. Longer work waits in `begun` until the test does it."""

    worker: Worker
    steering: Steering = field(init=False)
    begun: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steering = Steering(self.worker, start=self.begun.append)

    def tick(self) -> None:
        self.steering.tick()

    def work(self) -> None:
        """Do what was begun, and tell of it."""
        while self.begun:
            self.begun.pop(0)()
        self.steering.tick()


def member(name: str, ledger: Ledger, clock: Clock, folder: Path, capacity: int = 100) -> Member:
    here = Settings(
        storage=StorageSettings(directory=folder), process=ProcessSettings(name=name), cache=CacheSettings(max_vectors=capacity)
    )
    worker = Worker(
        here,
        ledger,
        FileStore(folder),
        Doorbell(Celery()),
        keyspace.client(here.redis),
        VectorCache(capacity, clock=clock),
        nursery.Nursery(here, nursery.ENGINE),
        Sealing(b"secret of tests"),
        clock,
        Health(here.recovery, clock),
    )
    return Member(worker)
