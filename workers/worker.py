"""What a worker process owns: made once, after the fork."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache

from celery import Celery
from redis import Redis

from foundation import keyspace, sealing, telemetry
from foundation.clock import SYSTEM, Clock
from foundation.sealing import Sealing
from foundation.settings import RecoverySettings, Settings, settings
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
    return Worker(
        settings=here,
        ledger=process_ledger(here),
        files=FileStore(here.storage.directory),
        doorbell=Doorbell(app),
        redis=keyspace.client(here.redis, here.redis.worker_seconds),
        vectors=VectorCache(here.cache.max_vectors, here.cache.ttl_seconds),
        nursery=nursery.Nursery(here, nursery.ENGINE),
        sealing=sealing.of(here),
        health=Health(here.recovery),
    )


def this_worker(app: Celery) -> Worker:
    """The worker of this process."""
    return _of_process(os.getpid(), app)
