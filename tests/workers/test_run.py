"""The life of a chunk whose commits are told failed: what was written is found, what follows from it is rung, nothing counts as stale."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from celery import Celery
from sqlalchemy import select, update
from sqlalchemy.engine import RootTransaction

from foundation import keyspace
from foundation.clock import SYSTEM, Clock
from foundation.errors import Failure
from foundation.sealing import Sealing
from foundation.settings import RedisSettings, Settings
from ledger import commits, heat, jobs, line, rows, tenants, webhook_rows
from ledger.chunking import ChunkSize
from ledger.files import FileStore
from ledger.session import Ledger, Tx
from tasks import ring
from tasks.catalogue import catalogue
from tasks.ring import Doorbell
from tests.faults import points
from tests.faults.points import Armoury, Mode
from tests.stack import RedisServer
from workers import run as running
from workers.cache.store import VectorCache
from workers.cad.sandbox import nursery
from workers.handlers import HANDLERS
from workers.run import run
from workers.work import Work
from workers.worker import Worker


@pytest.fixture
def armoury(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Armoury:
    monkeypatch.setattr(RootTransaction, "commit", RootTransaction.commit)
    monkeypatch.setattr(commits, "name", commits.name)
    arms = Armoury(tmp_path / "points")
    points.set_commits(arms, "test")
    return arms


@pytest.fixture
def worker(ledger: Ledger, own_redis: RedisServer, tmp_path: Path) -> Iterator[Worker]:
    """A worker that does not wait between its tries."""
    here = Settings(redis=RedisSettings(url=own_redis.url))
    client = keyspace.client(here.redis)
    client.flushall()
    with Celery(broker=own_redis.url) as app:
        yield Worker(
            here, ledger, FileStore(tmp_path), Doorbell(app), client, VectorCache(10), nursery.Nursery(here, nursery.ENGINE),
            Sealing(b"secret of tests"), Clock(sleep=lambda _seconds: None),
        )  # fmt: skip
    client.close()


@pytest.fixture
def chunk_id(ledger: Ledger) -> str:
    """A queued chunk of two items, whose end owes a webhook."""
    with ledger.write() as tx:
        tenant = tenants.add(tx, "one")
        job = jobs.NewJob(
            id=SYSTEM.new_id("job"), tenant_id=tenant.id, kind="probe", queue="probe", priority="normal", step=6,
            input={"ms": 0, "act": "sleep"}, items=[jobs.NewItem(payload={"fault": None})] * 2, size=ChunkSize(10, 10**9, 1),
            callback_url="http://127.0.0.1:9/told",
        )  # fmt: skip
        jobs.add(tx, job)
    return f"{job.id}.0"


@pytest.fixture
def arm_the_last_commit(armoury: Armoury, monkeypatch: pytest.MonkeyPatch) -> Callable[[Mode], None]:
    """Arms the commit of what came of the chunk: the one after its claim."""
    work = HANDLERS["probe"]

    def arm(mode: Mode) -> None:
        def armed(chunk: Work) -> None:
            work(chunk)
            armoury.arm("database.commit", mode)

        monkeypatch.setitem(HANDLERS, "probe", armed)

    return arm


def check_done_once(worker: Worker, chunk_id: str) -> None:
    with worker.ledger.read() as tx:
        states = tx.execute(select(rows.items.c.state)).scalars().all()
        trail = tx.execute(select(rows.audit.c.action).where(rows.audit.c.actor == chunk_id)).scalars().all()
        (owed,) = tx.execute(select(webhook_rows.deliveries.c.id)).scalars()
    assert states == ["succeeded"] * 2
    assert trail == ["chunk.done"], "stale was told of a commit that was done"
    assert ring.held(worker.redis, ["webhooks"]).listed == {owed}, "the webhook was not rung"


@pytest.mark.parametrize("mode", ["done_told_failed", "undone_told_failed"])
def test_a_result_told_failed_is_written_once_and_its_webhook_rung(
    worker: Worker, chunk_id: str, armoury: Armoury, arm_the_last_commit: Callable[[Mode], None], mode: Mode
) -> None:
    arm_the_last_commit(mode)
    run(chunk_id, worker)
    assert armoury.bites() == [("database.commit", mode)], "the fault did not bite"
    check_done_once(worker, chunk_id)


def test_a_result_of_which_the_database_cannot_tell_at_first_is_read_again_by_chunk_and_attempt(
    worker: Worker, chunk_id: str, armoury: Armoury, arm_the_last_commit: Callable[[Mode], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.ledger, "_patience", 0.0)
    monkeypatch.setattr(commits, "_ask", lambda connection, named: None)
    arm_the_last_commit("done_told_failed")
    run(chunk_id, worker)
    assert armoury.bites(), "the fault did not bite"
    check_done_once(worker, chunk_id)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite lets one transaction in at a time
def test_who_finds_the_better_chunk_taken_takes_the_next_better_one_and_not_the_one_it_was_rung_for(
    worker: Worker, chunk_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with worker.ledger.write() as tx:
        assert jobs.ring(tx, "probe", 6, 8) == [chunk_id]
        better = [job.id for job in (_urgent(tx), _urgent(tx))]
    choose, faster = line.choose, list[str]()

    def choose_too_late(tx: Tx, rung: str) -> str | None:
        chosen = choose(tx, rung)
        if not faster and chosen is not None:
            faster.append(chosen)
            with worker.ledger.write() as other:
                assert jobs.claim(other, chosen, "a faster worker", 60) is not None
        return chosen

    monkeypatch.setattr(line, "choose", choose_too_late)
    run(chunk_id, worker)
    with worker.ledger.read() as tx:
        states = {row.id: (row.state, row.owner) for row in tx.execute(select(rows.chunks.c.id, rows.chunks.c.state, rows.chunks.c.owner))}
    assert states == {
        f"{better[0]}.0": ("running", "a faster worker"),
        f"{better[1]}.0": ("done", worker.settings.process.name),
        chunk_id: ("queued", None),
    }


def _urgent(tx: Tx) -> jobs.NewJob:
    """An urgent job of one item of a tenant of its own."""
    tenant = tenants.add(tx, SYSTEM.new_id("urgent"))
    job = jobs.NewJob(
        id=SYSTEM.new_id("job"), tenant_id=tenant.id, kind="probe", queue="probe", priority="urgent", step=0,
        input={"ms": 0, "act": "sleep"}, items=[jobs.NewItem(payload={"fault": None})], size=ChunkSize(10, 10**9, 1),
    )  # fmt: skip
    jobs.add(tx, job)
    return job


def test_a_claim_done_but_told_failed_is_a_claim(worker: Worker, chunk_id: str, armoury: Armoury) -> None:
    armoury.arm("database.commit", "done_told_failed")
    run(chunk_id, worker)
    assert armoury.bites(), "the fault did not bite"
    check_done_once(worker, chunk_id)


def test_a_claim_not_done_and_told_failed_leaves_the_chunk_to_the_next_ring(worker: Worker, chunk_id: str, armoury: Armoury) -> None:
    armoury.arm("database.commit", "undone_told_failed")
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"):
        run(chunk_id, worker)
    run(chunk_id, worker)
    check_done_once(worker, chunk_id)


def test_a_database_that_is_full_is_waited_for_and_nothing_is_done_twice(
    worker: Worker, chunk_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, tries = heat.count_hits, list[bool]()

    def full_at_first(tx: Tx, hits: set[tuple[str, str, str, str]]) -> None:
        tries.append(len(tries) < 2)
        if tries[-1]:
            raise Failure("STORAGE_FULL")
        count(tx, hits)

    monkeypatch.setattr(heat, "count_hits", full_at_first)
    run(chunk_id, worker)
    assert tries == [True, True, False]
    check_done_once(worker, chunk_id)


def test_a_handler_that_finds_redis_away_is_tried_again_and_one_that_is_wrong_is_not(
    worker: Worker, chunk_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_work: Work) -> None:
        raise redis.ConnectionError("Error 111 connecting to user:hunter2@127.0.0.1")

    def wrong(_work: Work) -> None:
        raise KeyError("hunter2")

    monkeypatch.setattr(running, "catalogue", lambda: {"probe": catalogue()["extraction"]})  # the probe is not in it here
    monkeypatch.setitem(HANDLERS, "probe", away)
    run(chunk_id, worker)
    with worker.ledger.write() as tx:
        chunk = tx.execute(select(rows.chunks).where(rows.chunks.c.id == chunk_id)).one()
        assert (chunk.state, chunk.error["code"], chunk.error["context"]) == (
            "waiting",
            "BROKER_UNAVAILABLE",
            {"reason": "ConnectionError"},
        )
        tx.execute(update(rows.chunks).where(rows.chunks.c.id == chunk_id).values(state="queued", run_after=None))
    monkeypatch.setitem(HANDLERS, "probe", wrong)
    run(chunk_id, worker)
    with worker.ledger.read() as tx:
        errors = tx.execute(select(rows.items.c.error).where(rows.items.c.job_id == chunk_id.partition(".")[0])).scalars().all()
    assert [(error["code"], error["context"]) for error in errors] == [("ENGINE_DEFECT", {"reason": "KeyError"})] * 2
