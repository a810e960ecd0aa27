"""Why a job waits, on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from foundation.errors import Failure
from ledger import jobs, queues, rows, waiting
from ledger.chunking import ChunkSize
from tests.ledger.conftest import Desk


@pytest.fixture
def single(desk: Desk) -> Desk:
    """Jobs whose items are chunks of their own, and a worker with two slots that is alive."""
    desk.size = ChunkSize(1, 10**9, 1)
    alive(desk)
    return desk


def alive(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        queues.beat(tx, "worker", ["probe", "similarity"], 2)


def told(desk: Desk, job_id: str) -> dict[str, Any]:
    with desk.ledger.read() as tx:
        answer = waiting.why(tx, job_id)
    assert answer is not None
    return answer


def reasons(desk: Desk, job_id: str) -> list[str]:
    return [block["what"] for block in told(desk, job_id)["blocked_by"]]


def test_a_job_knows_its_place_in_line_and_when_it_should_start(single: Desk) -> None:
    single.add(20)
    done = single.ring()[:5]
    for chunk in done:
        claimed = single.must_claim(chunk)
        single.hand.time += 3.0  # each chunk takes three seconds
        single.finish(claimed)
    alive(single)
    last = single.add(1)
    answer = told(single, last)
    assert (answer["place"], answer["ahead"], answer["chunks"]["queued"]) == (16, 15, 1)
    assert answer["estimate_seconds"] == 15 * 3.0 / 2
    assert answer["sentence"] == "behind 15 chunk(s); starts in about 22 s"
    urgent = single.add(1, step=0)
    assert (told(single, urgent)["place"], told(single, urgent)["blocked_by"]) == (1, [])
    assert told(single, last)["ahead"] == 16


def test_nothing_is_told_of_a_job_that_runs_or_has_ended(single: Desk) -> None:
    job_id = single.add(1)
    claimed = single.must_claim(single.ring()[0])
    with single.ledger.read() as tx:
        assert waiting.why(tx, job_id) is None
        row = tx.first(select(rows.jobs).where(rows.jobs.c.id == job_id))
        assert row is not None
        assert waiting._ahead(tx, row) is None, "what PostgreSQL shows when the last chunk starts between two statements"
    single.finish(claimed)
    with single.ledger.read() as tx:
        assert waiting.why(tx, job_id) is None
        assert waiting.why(tx, "job_that_never_was") is None


def test_a_paused_queue_and_missing_workers_are_told_and_no_estimate_is_made(single: Desk) -> None:
    job_id = single.add(1)
    assert reasons(single, job_id) == []
    single.hand.time += queues.ALIVE_SECONDS + 1
    assert reasons(single, job_id) == ["no_worker"]
    with single.ledger.write() as tx:
        queues.pause(tx, single.tenant.id, "probe", "ops", "new engine at noon")
    assert reasons(single, job_id) == ["queue_paused", "no_worker"]
    answer = told(single, job_id)
    assert answer["estimate_seconds"] is None
    assert "new engine at noon" in answer["sentence"]


def test_a_job_waits_for_its_time_for_another_try_or_for_a_place(single: Desk) -> None:
    later = single.add(1, run_after=single.hand.time + 90)
    assert reasons(single, later) == ["run_after"]
    assert told(single, later)["estimate_seconds"] == 90.0
    narrow = single.add(3, max_concurrency=1)
    claimed = single.must_claim(single.ring()[0])
    assert reasons(single, narrow) == ["max_concurrency"]
    with single.ledger.write() as tx:
        jobs.fail(tx, claimed, [], Failure("PROBE_UNSTEADY").public(), tx.now + 40)
    answer = told(single, narrow)
    assert [block["what"] for block in answer["blocked_by"]] == ["retry", "max_concurrency"]
    assert answer["blocked_by"][0]["error"]["code"] == "PROBE_UNSTEADY"
    assert answer["estimate_seconds"] == 40.0


def test_queues_tell_their_depth_by_state_and_priority_and_the_oldest_wait(single: Desk) -> None:
    single.add(3)
    single.must_claim(single.ring()[0])
    single.add(2, step=9, max_concurrency=1)
    single.hand.time += 20
    with single.ledger.read() as tx:
        probe, other = queues.view(tx, ["probe", "migration"], {0: "urgent", 6: "normal", 9: "low"})
    assert probe["depth"] == {"queued": 3, "running": 1, "waiting": 1}
    assert probe["queued_by_priority"] == {"urgent": 0, "normal": 2, "low": 1}
    assert (probe["oldest_wait_seconds"], probe["workers"], probe["paused"]) == (20.0, 2, None)
    assert (other["depth"]["queued"], other["oldest_wait_seconds"], other["workers"]) == (0, 0.0, 0)


def test_workers_sign_on_and_off_and_dead_ones_are_forgotten(single: Desk) -> None:
    with single.ledger.write() as tx:
        queues.beat(tx, "second", ["probe"], 1)
        assert queues.slots(tx) == {"probe": 3, "similarity": 2}
        queues.leave(tx, "second")
        assert queues.slots(tx) == {"probe": 2, "similarity": 2}
    single.hand.time += 7200
    with single.ledger.write() as tx:
        assert queues.slots(tx) == {}
        assert queues.forget_workers(tx) == 1
