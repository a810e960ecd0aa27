"""What the ledger tells live: only what was committed, after it was, in the forms of the table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from foundation import caller, progress
from foundation.errors import Failure
from foundation.progress import Event
from ledger import changes, delivery_views, jobs, outbox, queues, tenants
from ledger.chunking import ChunkSize
from ledger.jobs import NewItem, NewJob
from ledger.outbox import Try
from ledger.session import Ledger
from ledger.settling import Outcome

ERROR = {"code": "FILE_CORRUPT", "message": "The file is damaged.", "context": {"path": "secret"}}


@pytest.fixture
def told(ledger: Ledger) -> list[Event]:
    events: list[Event] = []
    ledger.publish = lambda *new: events.extend(new)
    return events


def add(ledger: Ledger, kind: str = "probe", **more: Any) -> tuple[str, str]:
    with ledger.write() as tx:
        tenant = tenants.find(tx, "one") or tenants.add(tx, "one")
        job_id = tx.clock.new_id("job")
        size = ChunkSize(2, 10**9, 1)
        jobs.add(tx, NewJob(job_id, tenant.id, kind, kind, "normal", 6, more.pop("input", {}), [NewItem()] * 4, size, **more))
    return tenant.id, job_id


def run(ledger: Ledger, chunk_id: str, *failed: int) -> None:
    with ledger.write() as tx:
        claimed = jobs.claim(tx, chunk_id, "worker", 60)
    assert claimed is not None
    with ledger.write() as tx:
        outcomes = [
            Outcome(item.index, error=ERROR) if item.index in failed else Outcome(item.index, result={"a": 1}) for item in claimed.items
        ]
        jobs.finish(tx, claimed, outcomes)


def test_the_life_of_a_job_is_told_as_it_is_committed(ledger: Ledger, told: list[Event]) -> None:
    tenant, job_id = add(ledger)
    run(ledger, f"{job_id}.0", 1)
    run(ledger, f"{job_id}.1")
    with ledger.write() as tx:
        changes.retry(tx, tenant, job_id, ChunkSize(2, 10**9, 1))
    with ledger.write() as tx:
        changes.cancel(tx, tenant, job_id)
    assert [(event.type, event.data.get("state"), event.data.get("counts", {}).get("pending")) for event in told] == [
        ("job.state", "queued", 4),
        ("job.state", "running", 4),
        ("job.progress", "running", 2),
        ("items.failed", None, None),
        ("job.progress", "running", 0),
        ("job.state", "partial", 0),
        ("job.state", "queued", 1),
        ("job.state", "cancelled", 0),
    ]
    assert {event.tenant_id for event in told} == {tenant}
    assert {event.job_id for event in told} == {job_id}
    assert told[3].data["items"] == [{"index": 1, "code": "FILE_CORRUPT", "message": "The file is damaged."}]


def test_every_event_has_the_fields_of_the_table(ledger: Ledger, told: list[Event]) -> None:
    tenant, job_id = add(ledger, "similarity", input={"distinct": True}, callback_url="https://a.example/")
    run(ledger, f"{job_id}.0", 0)
    run(ledger, f"{job_id}.1")
    with ledger.write() as tx:
        queues.pause(tx, tenant, "extraction", "me", "because")
        queues.resume(tx, tenant, "extraction", "me")
        (owed,) = [each["id"] for each in delivery_views.of_job(tx, tenant, job_id)]
        delivery = outbox.claim(tx, owed, 60, 2)
        assert delivery is not None
        outbox.settle(tx, delivery, Try(tx.now, 0.1, False, 500, "RECEIVER_REFUSED", ""), tx.now + 5)
    seen = {event.type for event in told}
    assert seen == set(progress.TYPES) - {"announcement", "engine.state", "gap"}
    for event in told:
        assert set(event.data) == set(progress.TYPES[event.type].fields), event.type


def test_what_was_rolled_back_is_not_told(ledger: Ledger, told: list[Event]) -> None:
    tenant, job_id = add(ledger)
    before = list(told)
    with pytest.raises(Failure), ledger.write() as tx:
        changes.pause(tx, tenant, job_id)
        changes.pause(tx, tenant, job_id)
    assert told == before


def test_an_event_is_told_after_its_commit(ledger: Ledger, new_ledger: Callable[..., Ledger]) -> None:
    other, seen = new_ledger(), []

    def look(*events: Event) -> None:
        with other.read() as tx:
            seen.append(tx.first(jobs.select(jobs.jobs.c.state).where(jobs.jobs.c.id == events[0].job_id)))

    ledger.publish = look
    add(ledger)
    assert [row.state for row in seen] == ["queued"]


def test_events_of_a_job_are_of_the_key_that_submitted_it_whoever_commits_them(ledger: Ledger, told: list[Event]) -> None:
    with caller.asking("127.0.0.1", "req_1") as who:
        who.actor = "key:k1"
        _, job_id = add(ledger)
    run(ledger, f"{job_id}.0")
    assert {event.user for event in told} == {"k1"}
