"""Workers that are killed, frozen, poisoned or sent home in mid-job."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from ledger.repair import GIVE_UP_AFTER, SPLIT_AFTER
from tests.faults.conftest import NewStack
from tests.faults.evidence import Evidence, check_each_item_ended_once
from tests.stack import Stack, wait_until

DIALECTS = pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])


def start_another(stack: Stack, name: str) -> str:
    """A second process of a kind, under a node name of its own."""
    argv = [word.replace(f"{name}.", f"{name}2.") for word in stack._table[name].argv]
    stack.spawn(f"{name}2", argv)
    return f"{name}2"


def freeze(stack: Stack, evidence: Evidence, name: str, job_id: str) -> None:
    """SIGSTOP for a group. One that happens to stop inside a transaction keeps its lock: that is another fault, so try again."""

    def frozen() -> bool:
        stack.signal(name, signal.SIGSTOP)
        if evidence.no_lock_is_held(job_id):
            return True
        stack.signal(name, signal.SIGCONT)
        return False

    wait_until(frozen, 5)


def send_home(stack: Stack, evidence: Evidence, job_id: str) -> subprocess.Popen[bytes]:
    """The compute worker, which has work in hand and is the test's to end from now on."""
    assert evidence.chunks(job_id, "running"), "the fault did not bite: no chunk was running"
    return stack._running.pop("compute")


@DIALECTS
def test_a_compute_worker_killed_in_mid_job_loses_and_doubles_nothing(new_stack: NewStack, dialect: str) -> None:
    stack, evidence = new_stack("api", "compute", dialect=dialect, CADMILL_QUEUE_LEASE_SECONDS=2)
    job = stack.submit("probe", {"items": 24, "ms": 150})["id"]
    stack.wait_for_progress(job, 3)
    stack.kill("compute")
    taken_along = {chunk.id for chunk in evidence.chunks(job, "running")}
    assert taken_along, "the fault did not bite: no chunk was running"
    stack.start("compute")
    assert stack.wait(job)["state"] == "succeeded"
    check_each_item_ended_once(stack, evidence, job, succeeded=24)
    assert {row.detail["chunk"] for row in evidence.trail(job, "chunk.rescued")} >= taken_along
    assert all(chunk.attempt >= 2 for chunk in evidence.chunks(job) if chunk.id in taken_along)


@DIALECTS
def test_a_frozen_worker_that_wakes_after_its_lease_cannot_commit(new_stack: NewStack, dialect: str) -> None:
    stack, evidence = new_stack("api", "compute", dialect=dialect, CADMILL_QUEUE_LEASE_SECONDS=2)
    job = stack.submit("probe", {"items": 2, "ms": 1000})["id"]
    wait_until(lambda: len(evidence.chunks(job, "running")) == 2)
    freeze(stack, evidence, "compute", job)
    assert len(evidence.chunks(job, "running")) == 2, "the fault did not bite: the chunks were done before"
    start_another(stack, "compute")
    assert stack.wait(job)["state"] == "succeeded"
    before = stack.metric("stale_commit_total")
    stack.signal("compute", signal.SIGCONT)
    wait_until(lambda: {row.actor for row in evidence.trail(job, "chunk.stale") if row.detail["attempt"] == 1} == {f"{job}.0", f"{job}.1"})
    assert stack.metric("stale_commit_total") == before + 2
    check_each_item_ended_once(stack, evidence, job, succeeded=2)
    assert all(row.detail["attempt"] >= 2 for row in evidence.trail(job, "chunk.done"))


def test_an_item_that_kills_its_process_takes_no_neighbour_along(new_stack: NewStack) -> None:
    stack, evidence = new_stack("api", "compute", CADMILL_QUEUE_LEASE_SECONDS=2)
    job = stack.submit("probe", {"items": 17, "ms": 10, "faults": {"3": "die", "12": "die_once"}})["id"]
    assert stack.wait(job)["state"] == "partial"
    items = check_each_item_ended_once(stack, evidence, job, succeeded=16, failed=1)
    assert items[3]["error"]["code"] == "ENGINE_CRASH"
    deaths = [row.detail["chunk"] for row in evidence.trail(job, "chunk.rescued")]
    first, alone = f"{job}.1", next(chunk for chunk in evidence.chunks(job, "dead") if chunk.id != f"{job}.1")
    assert deaths.count(first) == SPLIT_AFTER, "with neighbours it may kill twice"
    assert deaths.count(alone.id) == GIVE_UP_AFTER, "alone some times more, then it is given up"
    assert items[12]["attempts"] >= 2, "the fault did not bite: the item that kills once has not"


def test_a_compute_worker_sent_home_in_mid_job_finishes_or_hands_back(new_stack: NewStack) -> None:
    stack, evidence = new_stack("api", "compute", CADMILL_QUEUE_LEASE_SECONDS=30)
    job = stack.submit("probe", {"items": 24, "ms": 250})["id"]
    stack.wait_for_progress(job, 3)
    finishing = send_home(stack, evidence, job)
    finishing.terminate()  # as a supervisor does it: the main process alone, which waits for its children
    assert finishing.wait(30) == 0
    assert not evidence.chunks(job, "running"), "what it left behind would wait for the end of its lease"
    finished = len(evidence.chunks(job, "done"))

    stack.start("compute")
    wait_until(lambda: len(evidence.chunks(job, "running")) == 2)
    handing_back = send_home(stack, evidence, job)
    os.killpg(handing_back.pid, signal.SIGTERM)  # as the end of a terminal or of a container does it: everybody at once
    assert handing_back.wait(30) == 0
    assert not evidence.chunks(job, "running"), "what it left behind would wait for the end of its lease"
    assert finished <= len(evidence.chunks(job, "done")) < 8, "the fault did not bite: the job was done before"

    stack.start("compute")
    assert stack.wait(job)["state"] == "succeeded"
    check_each_item_ended_once(stack, evidence, job, succeeded=24)
    assert not evidence.trail(job, "chunk.rescued"), "nothing had to be rescued"
    assert max(chunk.attempt for chunk in evidence.chunks(job)) == 2, "the fault did not bite: nothing was handed back"


def test_a_job_cancelled_in_mid_job_stays_as_it_was_then(new_stack: NewStack) -> None:
    stack, evidence = new_stack("api", "compute")
    job = stack.submit("probe", {"items": 16, "ms": 700})["id"]
    stack.wait_for_progress(job, 2)
    wait_until(lambda: evidence.chunks(job, "running"))
    answer = stack.http.post(f"/api/v1/jobs/{job}/cancel").json()
    assert answer["state"] == "cancelled"
    done = answer["counts"]["succeeded"]
    assert done >= 2
    wait_until(lambda: evidence.trail(job, "chunk.stale"))
    assert stack.metric("stale_commit_total") >= 1
    # Work that comes after it in the queue shows that nothing of the cancelled job is still to come.
    after = stack.submit("probe", {"items": 4, "ms": 1})["id"]
    assert stack.wait(after)["state"] == "succeeded"
    assert stack.job(job)["state"] == "cancelled"
    check_each_item_ended_once(stack, evidence, job, succeeded=done, cancelled=16 - done)
