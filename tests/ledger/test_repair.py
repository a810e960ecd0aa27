"""The verbs of upkeep."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import event, select

from ledger import changes, jobs, leases, repair, retention, settling
from ledger.chunking import ChunkSize
from ledger.rows import chunks, items
from ledger.session import Ledger
from tests.ledger.conftest import Desk


def rescue(desk: Desk) -> int:
    with desk.ledger.write() as tx:
        return repair.rescue(tx)


def test_a_chunk_whose_lease_ended_is_rescued_and_the_late_commit_refused(desk: Desk) -> None:
    job_id = desk.add(10)
    late = desk.must_claim(desk.ring()[0], lease=60)
    assert rescue(desk) == 0
    desk.hand.time += 61
    assert rescue(desk) == 1
    again = desk.must_claim(desk.ring()[0])
    assert again.attempt == 2
    assert desk.finish(late, 1, 2) is None
    assert desk.finish(again) is not None
    assert desk.counts(job_id) == (10, 0, 0, 0)


def test_a_heartbeat_keeps_a_chunk_from_being_rescued(desk: Desk) -> None:
    desk.add(10)
    claimed = desk.must_claim(desk.ring()[0], lease=60)
    desk.hand.time += 50
    with desk.ledger.write() as tx:
        assert jobs.beat(tx, claimed.chunk_id, claimed.attempt, 60)
    desk.hand.time += 50
    assert rescue(desk) == 0


def test_many_rescuers_rescue_a_chunk_once(desk: Desk) -> None:
    for _ in range(5):
        desk.add(10)
    for chunk in desk.ring():
        desk.must_claim(chunk, lease=1)
    desk.hand.time += 2
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda _: rescue(desk), range(6))) == 5


def test_a_chunk_that_keeps_dying_is_split_and_its_culprit_found(desk: Desk) -> None:
    desk.size = ChunkSize(8, 10**9, 1)
    job_id = desk.add(8)
    deaths = 0
    for _ in range(10):
        for chunk in desk.ring():
            claimed = desk.must_claim(chunk, lease=1)
            if 5 in {item.index for item in claimed.items}:
                deaths += 1  # item 5 kills its process each time
            else:
                desk.finish(claimed)
        desk.hand.time += 2
        if not rescue(desk):
            break
    assert desk.job(job_id)["state"] == "partial"
    assert desk.counts(job_id) == (7, 1, 0, 0)
    assert deaths == repair.SPLIT_AFTER + repair.GIVE_UP_AFTER
    with desk.ledger.read() as tx:
        (error,) = tx.execute(select(items.c.error).where(items.c.job_id == job_id, items.c.state == "failed")).scalars()
    assert error["code"] == "ENGINE_CRASH"


def test_a_split_chunk_still_respects_max_concurrency(desk: Desk) -> None:
    desk.add(10, max_concurrency=3)
    for _ in range(repair.SPLIT_AFTER):
        desk.must_claim(desk.ring()[0], lease=1)
        desk.hand.time += 2
        rescue(desk)
    assert len(desk.ring()) == 3


def test_lost_rings_are_named_and_rung_again_only_while_they_wait(desk: Desk) -> None:
    desk.add(30)
    first, second, third = desk.ring()
    desk.hand.time += 10
    with desk.ledger.write() as tx:
        assert {name for name, _ in repair.rung(tx, tx.now - 5)} == {first, second, third}
    desk.must_claim(second)
    with desk.ledger.write() as tx:
        assert {name for name, _, _ in repair.rering(tx, [first, second, third])} == {first, third}
        assert repair.rung(tx, tx.now - 5) == []


def test_one_owner_at_a_time_holds_a_lease(desk: Desk) -> None:
    def acquire(owner: str) -> int | None:
        with desk.ledger.write() as tx:
            return leases.acquire(tx, "upkeep", owner, 10)

    with ThreadPoolExecutor(6) as pool:
        first = list(pool.map(acquire, "abcdef"))
    assert sum(token is not None for token in first) == 1
    holder = "abcdef"[[token is not None for token in first].index(True)]
    assert acquire(holder) == 2
    assert acquire("z") is None
    desk.hand.time += 11
    assert acquire("z") == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
def test_a_chunk_that_beats_while_upkeep_looks_is_not_given_up(desk: Desk, new_ledger: Callable[..., Ledger]) -> None:
    """`beat` takes no lock on the job, so a rescue may have read what is no longer true when it writes."""
    job_id = desk.add(1)
    for _ in range(repair.GIVE_UP_AFTER - 1):
        desk.must_claim(desk.ring()[0], lease=1)
        desk.hand.time += 2
        assert rescue(desk) == 1
    late = desk.must_claim(desk.ring()[0], lease=1)
    desk.hand.time += 2
    second = new_ledger(desk.hand.clock())

    def beat_in_between(*found: Any) -> None:
        if found[2].startswith("SELECT items"):  # the last thing that a rescue reads
            with second.write() as tx:
                assert jobs.beat(tx, late.chunk_id, late.attempt, 60)

    event.listen(desk.ledger.engine, "after_cursor_execute", beat_in_between)
    assert rescue(desk) == 0
    event.remove(desk.ledger.engine, "after_cursor_execute", beat_in_between)
    assert desk.counts(job_id) == (0, 0, 0, 1)
    desk.finish(late)
    assert desk.job(job_id)["state"] == "succeeded"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_job_retried_while_it_is_pruned_stays(desk: Desk, new_ledger: Callable[..., Ledger]) -> None:
    job_id = desk.add(1)
    claimed = desk.must_claim(desk.ring()[0])
    desk.finish(claimed, 0)
    desk.hand.time += 100
    second = new_ledger(desk.hand.clock())
    old = dict.fromkeys(("succeeded", "failed", "partial", "cancelled"), desk.hand.time - 50)
    with desk.ledger.write() as tx:
        changes.retry(tx, desk.tenant.id, job_id, desk.size)
        with second.write() as other:
            assert retention.hide_jobs(other, old) is None, "a row that somebody holds is left alone"
    assert desk.job(job_id)["state"] == "queued"


def test_a_chunk_of_which_every_item_has_an_outcome_is_done_whatever_failed(desk: Desk) -> None:
    """It would wait, be claimed with nothing to do, and after two deaths bring every later rescue down."""
    job_id = desk.add(2)
    claimed = desk.must_claim(desk.ring()[0])
    outcomes = [settling.Outcome(item.index, result={}) for item in claimed.items]
    with desk.ledger.write() as tx:
        settled = jobs.fail(tx, claimed, outcomes, {"code": "STORE_UNAVAILABLE"}, tx.now + 5)
    assert settled is not None
    assert settled.job_state == "succeeded"
    with desk.ledger.read() as tx:
        assert tx.execute(select(chunks.c.state).where(chunks.c.job_id == job_id)).scalars().all() == ["done"]
