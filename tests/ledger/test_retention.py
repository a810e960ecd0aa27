"""What is let go with time, and what must not be."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, func, select

from foundation.errors import Failure
from ledger import changes, idempotency, jobs, parts, retention
from ledger.files import FileStore
from ledger.parts import NewPart
from ledger.rows import chunks, files, items
from ledger.rows import jobs as job_rows
from ledger.rows import parts as part_rows
from ledger.session import Ledger, Tx
from ledger.settling import Outcome
from ledger.webhook_rows import deliveries
from tests.ledger.conftest import Desk

CONTENT = b"solid of a part that comes and goes"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def all_bites(desk: Desk, verb: Callable[[Tx], int | None]) -> int:
    gone = 0
    while True:
        with desk.ledger.write() as tx:
            bite = verb(tx)
        if bite is None:
            return gone
        gone += bite


def count(desk: Desk, table: Any, *where: Any) -> int:
    with desk.ledger.read() as tx:
        return tx.number(select(func.count()).select_from(table).where(*where))


def ended(desk: Desk, *failed: int, count: int = 10) -> str:
    job_id = desk.add(count, callback_url="https://example.com/hook")
    desk.finish(desk.must_claim(desk.ring()[0]), *failed)
    return job_id


def test_old_jobs_are_pruned_with_all_that_hangs_on_them(desk: Desk) -> None:
    old = ended(desk)
    desk.hand.time += 1000
    young = desk.add(10)
    with desk.ledger.write() as tx:
        idempotency.claim(tx, desk.tenant.id, "k", "h", 30)
    assert all_bites(desk, lambda tx: retention.hide_jobs(tx, {"succeeded": tx.now - 500})) == 1
    with pytest.raises(Failure, match="JOB_NOT_FOUND"):
        desk.job(old)
    assert all_bites(desk, retention.drop_items) == 10
    assert all_bites(desk, retention.drop_jobs) == 1
    with desk.ledger.read() as tx:
        assert tx.execute(select(job_rows.c.id)).scalars().all() == [young]
        for table in (chunks, items, deliveries):
            assert tx.execute(select(table.c.job_id).where(table.c.job_id == old)).all() == []


def test_each_state_has_a_time_of_its_own(desk: Desk) -> None:
    good, bad = ended(desk), ended(desk, *range(10))
    desk.hand.time += 1000
    assert all_bites(desk, lambda tx: retention.hide_jobs(tx, {"succeeded": tx.now - 500, "failed": tx.now - 5000})) == 1
    assert desk.job(bad)["state"] == "failed"
    with pytest.raises(Failure, match="JOB_NOT_FOUND"):
        desk.job(good)


def test_a_job_on_its_way_out_cannot_be_retried_half_pruned(desk: Desk) -> None:
    bad = ended(desk, 1)
    desk.hand.time += 1000
    all_bites(desk, lambda tx: retention.hide_jobs(tx, {"partial": tx.now}))
    with pytest.raises(Failure, match="JOB_NOT_FOUND"), desk.ledger.write() as tx:
        changes.retry(tx, desk.tenant.id, bad, desk.size)


def test_the_hot_table_holds_live_work_only_and_a_retry_needs_no_old_chunk(desk: Desk) -> None:
    over = ended(desk, 3, 4)
    live = desk.add(20)
    first = desk.ring()[0]
    desk.finish(desk.must_claim(first))
    desk.hand.time += 1000
    assert all_bites(desk, lambda tx: retention.drop_chunks(tx, tx.now - 500)) == 1
    assert count(desk, chunks, chunks.c.job_id == over) == 0
    assert count(desk, chunks, chunks.c.job_id == live) == 2, "a job that goes on keeps its chunks, done or not"
    with desk.ledger.write() as tx:
        changes.retry(tx, desk.tenant.id, over, desk.size)
    again = desk.must_claim(f"{over}.1")
    assert [item.index for item in again.items] == [3, 4]
    desk.finish(again)
    assert desk.counts(over) == (10, 0, 0, 0)


def test_results_may_go_before_their_job_which_says_so(desk: Desk) -> None:
    job_id = ended(desk, 3)
    desk.hand.time += 1000
    assert all_bites(desk, lambda tx: retention.empty_results(tx, tx.now - 500)) == 9
    told = desk.job(job_id)
    assert told["results_pruned_at"]
    assert desk.counts(job_id) == (9, 1, 0, 0)
    assert count(desk, items, items.c.error.is_not(None)) == 1, "what went wrong stays"


def test_a_handed_back_attempt_is_not_charged_and_what_was_done_is_kept(desk: Desk) -> None:
    job_id = desk.add(10)
    for round in range(1, 4):
        claimed = desk.must_claim(desk.ring()[0])
        assert (claimed.attempt, claimed.tries) == (round, 1), "only tries count against the policy"
        assert len(claimed.items) == 10 - (round - 1) * 2
        done = [Outcome(item.index, result={"n": item.index}) for item in claimed.items[:2]]
        with desk.ledger.write() as tx:
            assert jobs.hand_back(tx, claimed, done)
            assert not jobs.hand_back(tx, claimed, done), "a second time it is no longer its own"
    last = desk.must_claim(desk.ring()[0])
    assert last.crashes == 0
    with desk.ledger.write() as tx:  # stopped after its last item, before its commit
        assert jobs.hand_back(tx, last, [Outcome(item.index, result={}) for item in last.items])
    assert desk.counts(job_id) == (10, 0, 0, 0)
    assert desk.job(job_id)["state"] == "succeeded"


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store")


def receive(store: FileStore) -> None:
    with store.receive(1000) as incoming:
        incoming.write(CONTENT)
        incoming.keep()


def add_part(desk: Desk, store: FileStore, part_id: str) -> None:
    """The second half of an upload: the rows, as the API writes them."""
    with desk.ledger.write() as tx:
        parts.add(tx, desk.tenant.id, [NewPart(part_id, "a.stl", SHA256, len(CONTENT), "stl")], {})
        store.must_hold(SHA256)


def delete_part(desk: Desk, part_id: str) -> None:
    with desk.ledger.write() as tx:
        parts.delete(tx, desk.tenant.id, part_id)


def sweep(desk: Desk, store: FileStore) -> int:
    return retention.sweep_files(desk.ledger, store, desk.hand.time, int(SHA256[:2], 16))


def test_a_file_goes_when_its_last_part_has_been_gone_for_long_enough(desk: Desk, store: FileStore) -> None:
    receive(store)
    add_part(desk, store, "part_1")
    add_part(desk, store, "part_2")
    delete_part(desk, "part_1")
    desk.hand.time += 10
    assert sweep(desk, store) == 0, "another part names it"
    delete_part(desk, "part_2")
    assert retention.sweep_files(desk.ledger, store, desk.hand.time - 5, 0) == 0, "running work may still read it"
    desk.hand.time += 10
    assert sweep(desk, store) == 1
    assert not store.path(SHA256).exists()
    assert (count(desk, files), count(desk, part_rows)) == (0, 0)
    assert store.aside() == [SHA256]
    store.empty_aside(-1)
    assert store.aside() == []


def test_an_upload_between_its_bytes_and_its_row_survives_a_sweep(desk: Desk, store: FileStore) -> None:
    receive(store)
    add_part(desk, store, "part_1")
    delete_part(desk, "part_1")
    desk.hand.time += 10
    receive(store)  # the same bytes again: they are there, so nothing is written ...
    assert sweep(desk, store) == 1  # ... and swept before the row that needs them
    assert not store.path(SHA256).exists(), "the race did not happen"
    add_part(desk, store, "part_2")
    assert store.path(SHA256).read_bytes() == CONTENT
    assert count(desk, files) == 1


def test_bytes_that_never_got_a_row_are_swept_and_others_of_the_folder_stay(desk: Desk, store: FileStore) -> None:
    receive(store)
    os.utime(store.path(SHA256), (desk.hand.time - 100,) * 2)
    assert sweep(desk, store) == 1
    assert not store.path(SHA256).exists()
    receive(store)
    add_part(desk, store, "part_1")
    os.utime(store.path(SHA256), (desk.hand.time - 100,) * 2)
    assert sweep(desk, store) == 0
    assert store.path(SHA256).exists()


def test_a_sweep_that_died_before_its_commit_is_put_right_by_the_next(desk: Desk, store: FileStore) -> None:
    receive(store)
    add_part(desk, store, "part_1")
    store.put_aside(SHA256)
    assert not store.path(SHA256).exists()
    sweep(desk, store)
    assert store.path(SHA256).exists()


def test_an_upload_waits_for_a_sweep_that_holds_its_row(desk: Desk, store: FileStore, new_ledger: Callable[..., Ledger]) -> None:
    """The narrow moment: the sweep has put the bytes aside and not committed when the upload writes its rows."""
    receive(store)
    add_part(desk, store, "part_1")
    delete_part(desk, "part_1")
    desk.hand.time += 10
    other = Desk(new_ledger(desk.hand.clock()), desk.tenant, desk.hand)
    upload = threading.Thread(target=add_part, args=(other, store, "part_2"))

    def in_the_middle(_connection: Any) -> None:
        if not store.path(SHA256).exists() and upload.ident is None:
            upload.start()
            upload.join(0.3)
            assert upload.is_alive(), "the upload did not wait"

    event.listen(desk.ledger.engine, "commit", in_the_middle)
    assert sweep(desk, store) == 1
    event.remove(desk.ledger.engine, "commit", in_the_middle)
    assert upload.ident is not None, "the race did not happen"
    upload.join(60)
    assert store.path(SHA256).read_bytes() == CONTENT
    assert (count(desk, files), count(desk, part_rows)) == (1, 1)
