"""What a worker process owns: made once, after the fork."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache

from celery import Celery
from redis import Redis

from foundation import keyspace, sealing, telemetry
from foundation.clock import SYSTEM, Clock
from foundation.engine_settings import RecoverySettings
from foundation.progress import Event, Publisher
from foundation.sealing import Sealing
from foundation.settings import Settings, settings
from ledger.files import FileStore
from ledger.session import Ledger, process_ledger
from tasks.ring import Doorbell
from workers.cache.store import VectorCache
from workers.cad.sandbox import nursery
from workers.index.health import Health


@dataclass(frozen=True, slots=True)
class Worker:
    settings: Settings
    ledger: Ledger
    files: FileStore
    doorbell: Doorbell
    redis: Redis
    vectors: VectorCache
    nursery: nursery.Nursery
    sealing: Sealing
    clock: Clock = SYSTEM
    health: Health = field(default_factory=lambda: Health(RecoverySettings()))
    progress: Publisher | None = None

    @property
    def name(self) -> str:
        """Of this process, in the ledger."""
        return f"{self.settings.process.name}/{os.getpid()}"


@lru_cache(maxsize=1)
def _of_process(_pid: int, app: Celery) -> Worker:
    from foundation import metrics  # after the fork: it opens this process's own metrics file

    here = settings()
    telemetry.attach(telemetry.log)
    telemetry.attach(metrics.count)
    progress = Publisher(keyspace.client(here.redis), here.live.keep)
    ledger = process_ledger(here)
    ledger.publish = progress.publish
    telemetry.attach(lambda event: _tell_of_engine(event, progress))
    return Worker(
        settings=here,
        ledger=ledger,
        files=FileStore(here.storage.directory),
        doorbell=Doorbell(app),
        redis=keyspace.client(here.redis, here.redis.worker_seconds),
        vectors=VectorCache(here.cache.max_vectors, here.cache.ttl_seconds),
        nursery=nursery.Nursery(here, nursery.ENGINE),
        sealing=sealing.of(here),
        health=Health(here.recovery),
        progress=progress,
    )


def _tell_of_engine(event: telemetry.Event, progress: Publisher) -> None:
    """Searches without the fast index are slower for everybody: told to all tenants."""
    match event:
        case telemetry.EngineDegraded(reason=reason):
            progress.publish(Event("engine.state", {"degraded": True, "reason": reason}))
        case telemetry.EngineRestored():
            progress.publish(Event("engine.state", {"degraded": False, "reason": None}))
        case _:
            pass


def this_worker(app: Celery) -> Worker:
    """The worker of this process."""
    return _of_process(os.getpid(), app)
