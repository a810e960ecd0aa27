"""The doctor finds and mends what is planted, and is silent where nothing is wrong."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from foundation import keyspace
from foundation.settings import RedisSettings
from ledger import changes, rows, tenants
from ledger.files import FileStore
from ledger.inspection import verdicts, walk
from ledger.inspection.findings import Finding, Patience
from ledger.inspection.rules import RULES
from ledger.migrate import migrate
from ledger.session import Ledger
from tasks import inspection
from tasks.inspection import Store
from tasks.ring import Doorbell
from tests.ledger.conftest import Desk, HandClock
from tests.stack import RedisServer
from tests.tasks.planted import PLANTS, Ground
from tests.tasks.test_ring import an_app

PATIENCE = Patience(lease=60.0, ring=60.0)
FOR_A_PERSON = {"file_damaged", "file_missing", "items_missing", "end_told_twice", "done_twice"}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, Store]]:
    """One store for all faults, so that each is told from the work of all others."""
    folder = tmp_path_factory.mktemp("ground")
    url = f"sqlite:///{folder / 'ledger.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgresql_database")()
    from foundation.settings import DatabaseSettings

    server = RedisServer(folder / "redis").start()
    hand = HandClock()
    ledger = Ledger(url, DatabaseSettings(), hand.clock())
    migrate(ledger)
    with ledger.write() as tx:
        tenant = tenants.add(tx, "acme")
    client = keyspace.client(RedisSettings(url=server.url))
    files = FileStore(folder)
    yield Ground(Desk(ledger, tenant, hand), files, Doorbell(an_app(server.url))), Store(ledger, files, client, PATIENCE)
    client.close()
    ledger.close()
    server.kill()


def dump(ledger: Ledger) -> dict[str, list[Any]]:
    """Every row of the store but the lines that tell of inspections, and the numbers of their commits."""
    with ledger.read() as tx:
        tables = [table for table in rows.metadata.sorted_tables if table is not rows.commits]
        told = {table.name: sorted(map(repr, tx.execute(select(table)))) for table in tables}
    told["audit"] = [row for row in told["audit"] if "store.inspected" not in row]
    told["audit_heads"] = [row for row in told["audit_heads"] if "'store'" not in row]
    return told


@pytest.mark.parametrize("name", PLANTS)
def test_what_is_planted_is_found_told_and_mended(ground: tuple[Ground, Store], name: str) -> None:
    on, store = ground
    plant, kind = PLANTS[name]
    known = on.left
    assert set(known) <= FOR_A_PERSON
    subject = plant(on)

    planted = dump(store.ledger)
    report = inspection.inspect(store, deep=True)
    assert dump(store.ledger) == planted, "without --fix nothing may change"
    assert report.found - known == Counter({kind: 1}), "found, and nothing else"
    told = next(one for one in report.told()["findings"] if (one["kind"], one["subject"]) == (kind, subject))
    assert subject in told["message"]
    assert told["remedy"] == RULES[kind].remedy
    assert not report.healthy

    mended = inspection.inspect(store, deep=True, fix=True)
    if kind in FOR_A_PERSON - {"file_damaged"}:
        assert mended.left == known + Counter({kind: 1}), "what nobody can mend is not hidden"
        assert not mended.mended
        on.left = mended.left
        return
    assert mended.mended[kind] == 1
    after = inspection.inspect(store, deep=True)
    assert after.left == known + Counter({"file_missing": 1} if kind == "file_damaged" else {})
    on.left = after.left
    with store.ledger.read() as tx:
        lines = tx.execute(select(rows.audit.c.actor).where(rows.audit.c.action == f"mended.{kind}")).scalars().all()
    assert set(lines) == {"doctor"}


def test_a_damaged_file_is_healed_by_uploading_it_again(ground: tuple[Ground, Store]) -> None:
    on, store = ground
    data = b"healed by its twin"
    sha256 = on.part(data)
    on.files.path(sha256).write_bytes(b"healed by its twiN")
    assert inspection.inspect(store).left["file_damaged"] == 0, "the hash is not looked at without --deep"
    assert inspection.inspect(store, deep=True, fix=True).mended == Counter({"file_damaged": 1})
    assert on.part(data) == sha256
    left = inspection.inspect(store, deep=True)
    assert sha256 not in {one.subject for one in left.shown}
    assert on.files.path(sha256).read_bytes() == data


def test_a_file_that_is_wanted_again_while_it_is_removed_stays(ground: tuple[Ground, Store]) -> None:
    """An upload touches what is there already; it has no row yet when the doctor comes."""
    on, store = ground
    now = on.desk.hand.time
    with on.files.receive(100) as incoming:
        incoming.write(b"wanted at the last moment")
        sha256 = incoming.keep()
    os.utime(on.files.path(sha256), (now - 90_000, now - 90_000))
    assert "file_unnamed" in inspection.inspect(store).found
    os.utime(on.files.path(sha256), (now, now))
    assert walk.mend(store.ledger, store.files, Finding("file_unnamed", sha256), PATIENCE) is False
    assert on.files.path(sha256).read_bytes() == b"wanted at the last moment"
    assert "file_unnamed" not in inspection.inspect(store).found
    on.files.path(sha256).unlink()


def test_a_finding_that_was_overtaken_is_not_mended(ground: tuple[Ground, Store]) -> None:
    on, store = ground
    job = on.running()
    for kind, subject in [
        ("never_closed", job),
        ("lease_ended", f"{job}.0"),
        ("chunk_without_items", f"{job}.1"),
        ("counters_differ", job),
    ]:
        assert walk.mend(store.ledger, store.files, Finding(kind, subject, job), PATIENCE) is False
    assert on.desk.counts(job) == (0, 0, 0, 3)


def test_a_mended_job_goes_on_to_its_end(ground: tuple[Ground, Store]) -> None:
    """Items whose chunk is gone get a new one; when they are done, the job ends and owes its webhook like any other."""
    on, store = ground
    job = on.running(callback_url="https://example.com/told")
    on.sql("DELETE FROM chunks WHERE id = :chunk", chunk=f"{job}.1")
    inspection.inspect(store, fix=True)
    with store.ledger.read() as tx:
        live = tx.execute(select(rows.chunks.c.id).where(rows.chunks.c.job_id == job, rows.chunks.c.state == "queued")).scalars().all()
    (new,) = live
    assert new == f"{job}.2"
    settled = on.desk.finish(on.desk.must_claim(new))
    assert settled is not None
    assert settled.job_state == "running"
    on.sql("UPDATE chunks SET lease_until = :past WHERE id = :chunk", chunk=f"{job}.0", past=on.desk.hand.time - 3600)
    assert inspection.inspect(store, fix=True).mended == Counter({"lease_ended": 1})
    settled = on.desk.finish(on.desk.must_claim(f"{job}.0"))
    assert settled is not None
    assert settled.job_state == "succeeded"
    assert len(settled.deliveries) == 1


def test_ordinary_life_is_silent(ground: tuple[Ground, Store]) -> None:
    """Retries, cancels, splits, held chunks, a deleted part, a rescue on its way."""
    on, store = ground
    known = inspection.inspect(store, deep=True).left
    desk, tenant = on.desk, on.desk.tenant.id
    retried, cancelled, held = on.failed(), on.running(), on.running(max_concurrency=1)
    with store.ledger.write() as tx:
        changes.retry(tx, tenant, retried, desk.size)
        changes.cancel(tx, tenant, cancelled)
    assert desk.job(held)["state"] == "running"
    late = on.running()
    on.sql("UPDATE chunks SET lease_until = :just_now WHERE id = :chunk", chunk=f"{late}.0", just_now=desk.hand.time - 1)
    assert inspection.inspect(store, deep=True).left == known
    desk.finish(desk.must_claim(f"{retried}.2"))
    assert desk.job(retried)["state"] == "succeeded"
    assert inspection.inspect(store, deep=True).left == known


def test_the_numbers_of_the_last_inspection_are_kept_for_the_metrics(ground: tuple[Ground, Store]) -> None:
    on, store = ground
    inspection.inspect(store, fix=True)
    job = on.ended()
    on.sql("UPDATE jobs SET succeeded = 1 WHERE id = :job", job=job)
    assert inspection.watch(store, "one") is not None
    assert inspection.watch(store, "another") is None, "one process at a time"
    with store.ledger.read() as tx:
        found, at = verdicts.latest(tx)
    assert found["counters_differ"] == 1
    assert found["file_unnamed"] == 0, "what only a whole inspection looks at keeps its number"
    assert set(found) == set(RULES)
    assert at == on.desk.hand.time
    assert inspection.inspect(store, fix=True).mended == Counter({"counters_differ": 1})


def test_a_store_without_its_broker_is_looked_at_and_says_so(ground: tuple[Ground, Store], tmp_path: Path) -> None:
    _, store = ground
    gone = keyspace.client(RedisSettings(url="redis://127.0.0.1:1/0"))
    report = inspection.inspect(Store(store.ledger, None, gone, PATIENCE))
    assert report.not_looked == {"broker": "ConnectionError", "files": "the storage directory is not here"}
    assert "ring_lost" not in report.kinds
    assert report.looked["jobs"] > 0
    gone.close()


def test_every_kind_is_planted() -> None:
    assert {kind for _, kind in PLANTS.values()} == set(RULES)
