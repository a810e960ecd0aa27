"""A tenant whose jobs are done by the real worker, one chunk after the other, in this process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import select

from foundation import keyspace
from foundation.clock import SYSTEM, Clock
from foundation.sealing import Sealing
from foundation.settings import QueueSettings, RedisSettings, Settings
from ledger import job_views, jobs, parts, rows, tenants
from ledger.files import FileStore
from ledger.jobs import Claimed
from ledger.parts import NewPart
from ledger.session import Ledger
from tasks import submit
from tasks.recognition import recognise
from tasks.ring import Doorbell
from tasks.submit import JobRequest
from tests.stack import SAMPLES
from workers.cache.store import VectorCache
from workers.cad.sandbox.nursery import Nursery
from workers.run import run
from workers.worker import Worker


@dataclass
class Mill:
    worker: Worker
    tenant_id: str

    @property
    def ledger(self) -> Ledger:
        return self.worker.ledger

    def upload(self, *names: str, labels: dict[str, str] | None = None) -> list[str]:
        """Ids of parts made of sample files."""
        new = []
        for name in names:
            with self.worker.files.receive(10**8) as incoming:
                incoming.write((SAMPLES / name).read_bytes())
                sha256 = incoming.keep()
            new.append(NewPart(SYSTEM.new_id("part"), Path(name).name, sha256, incoming.bytes, recognise(incoming.head, incoming.bytes)))
        with self.ledger.write() as tx:
            parts.add(tx, self.tenant_id, new, labels or {})
        return [part.id for part in new]

    def sha256(self, part_id: str) -> str:
        with self.ledger.read() as tx:
            return str(parts.get(tx, self.tenant_id, part_id)["sha256"])

    def lose(self, part_id: str) -> None:
        """The bytes of a part's file are gone."""
        self.worker.files.path(self.sha256(part_id)).unlink()

    def submit(self, kind: str, given: dict[str, Any], **more: Any) -> str:
        request = JobRequest(kind=kind, input=given, **more)
        return str(submit.accept(self.ledger, self.worker.doorbell, self.worker.settings, self.tenant_id, request)["id"])

    def chunks(self, job_id: str) -> list[str]:
        with self.ledger.read() as tx:
            queued = select(rows.chunks.c.id).where(rows.chunks.c.job_id == job_id, rows.chunks.c.state == "queued")
            return list(tx.execute(queued.order_by(rows.chunks.c.ordinal)).scalars())

    def work(self, job_id: str, most: int = 1000) -> None:
        """Do so many chunks of a job."""
        for chunk_id in self.chunks(job_id)[:most]:
            run(chunk_id, self.worker)

    def claim(self, chunk_id: str) -> Claimed:
        with self.ledger.write() as tx:
            claimed = jobs.claim(tx, chunk_id, "another", 60.0)
        assert claimed is not None
        return claimed

    def job(self, job_id: str) -> dict[str, Any]:
        with self.ledger.read() as tx:
            return job_views.get(tx, self.tenant_id, job_id)

    def items(self, job_id: str) -> list[dict[str, Any]]:
        with self.ledger.read() as tx:
            return job_views.page_items(tx, job_id, 1000, -1, None)

    def done(self, kind: str, given: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        """The items of a job, done."""
        job_id = self.submit(kind, given, **more)
        self.work(job_id)
        return self.items(job_id)

    def migrated(self, parts_: Sequence[str], source: str, target: str, **more: Any) -> list[dict[str, Any]]:
        """What became of parts: results, or failures."""
        items = self.done("migration", {"from": source, "to": target, "selector": {"parts": list(parts_)}} | more)
        return [item["result"] or item["error"] for item in items]

    def extract(self, parts_: Sequence[str], version: str) -> list[dict[str, Any]]:
        return [item["result"] for item in self.done("extraction", {"parts": list(parts_), "feature_version": version})]

    def vectors(self) -> dict[tuple[str, str], tuple[Any, ...]]:
        """Every vector there is, whole but for how often it was asked for, by file and feature version."""
        columns = [column for column in rows.vectors.c if column.name != "hits"]
        with self.ledger.read() as tx:
            return {(row.sha256, row.feature_version): tuple(row) for row in tx.execute(select(*columns))}

    def vector(self, part_id: str, version: str) -> Any:
        here = (rows.vectors.c.sha256 == self.sha256(part_id), rows.vectors.c.feature_version == version)
        with self.ledger.read() as tx:
            return tx.execute(select(rows.vectors).where(*here)).one_or_none()


@pytest.fixture(scope="package")
def nursery() -> Iterator[Nursery]:
    """One engine for all: loading it takes longer than the tests."""
    nursery = Nursery(Settings())
    yield nursery
    nursery.close()


@pytest.fixture
def mill(ledger: Ledger, redis_url: str, tmp_path: Path, nursery: Nursery) -> Iterator[Mill]:
    address = redis_url.removesuffix("/0") + "/7"
    settings = Settings(redis=RedisSettings(url=address), queue=QueueSettings(chunk_per_job_min=4, chunk_max_items=2))
    client = keyspace.client(settings.redis)
    with Celery(broker=address) as app:
        worker = Worker(
            settings,
            ledger,
            FileStore(tmp_path),
            Doorbell(app),
            client,
            VectorCache(1000),
            nursery,
            Sealing(b"secret of tests"),
            Clock(sleep=lambda _seconds: None),
        )
        with ledger.write() as tx:
            tenant = tenants.add(tx, "acme")
        yield Mill(worker, tenant.id)
    client.close()
