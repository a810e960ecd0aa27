"""A tenant, and jobs to play with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from foundation.clock import SYSTEM, Clock
from ledger import jobs, tenants
from ledger.chunking import ChunkSize
from ledger.jobs import Claimed, NewItem, NewJob
from ledger.session import Ledger
from ledger.settling import Outcome, Settled
from ledger.tenants import Tenant

PRIORITIES = {0: "urgent", 3: "high", 6: "normal", 9: "low"}


@dataclass
class HandClock:
    """A clock that stands still until it is moved."""

    time: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.time

    def clock(self) -> Clock:
        return Clock(now=self, tick=self)


@dataclass
class Desk:
    """A ledger with one tenant and a clock in the test's hand."""

    ledger: Ledger
    tenant: Tenant
    hand: HandClock
    size: ChunkSize = field(default_factory=lambda: ChunkSize(10, 10**9, 1))

    def add(self, count: int = 10, step: int = 6, **more: object) -> str:
        job = NewJob(
            id=SYSTEM.new_id("job"), tenant_id=self.tenant.id, kind="probe", queue="probe", priority=PRIORITIES[step], step=step, input={},
            size=self.size, **{"items": [NewItem(payload={"n": n}) for n in range(count)]} | more,  # type: ignore[arg-type]
        )  # fmt: skip
        with self.ledger.write() as tx:
            jobs.add(tx, job)
        return job.id

    def ring(self, window: int = 64, step: int = 6) -> list[str]:
        with self.ledger.write() as tx:
            return jobs.ring(tx, "probe", step, window)

    def claim(self, chunk_id: str, lease: float = 60) -> Claimed | None:
        with self.ledger.write() as tx:
            return jobs.claim(tx, chunk_id, "worker", lease, "2")

    def must_claim(self, chunk_id: str, lease: float = 60) -> Claimed:
        claimed = self.claim(chunk_id, lease)
        assert claimed is not None
        return claimed

    def finish(self, claimed: Claimed, *failed: int) -> Settled | None:
        outcomes = [
            Outcome(item.index, error={"code": "PROBE_FAILED"}) if item.index in failed else Outcome(item.index, result={"n": item.index})
            for item in claimed.items
        ]
        with self.ledger.write() as tx:
            return jobs.finish(tx, claimed, outcomes)

    def job(self, job_id: str) -> dict[str, object]:
        from ledger import job_views

        with self.ledger.read() as tx:
            return job_views.get(tx, self.tenant.id, job_id)

    def counts(self, job_id: str) -> tuple[int, int, int, int]:
        counts = self.job(job_id)["counts"]
        assert isinstance(counts, dict)
        return counts["succeeded"], counts["failed"], counts["cancelled"], counts["pending"]


@pytest.fixture
def desk(new_ledger: Callable[..., Ledger]) -> Desk:
    hand = HandClock()
    ledger = new_ledger(hand.clock())
    with ledger.write() as tx:
        tenant = tenants.add(tx, "acme")
    return Desk(ledger, tenant, hand)
