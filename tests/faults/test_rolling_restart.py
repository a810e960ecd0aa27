"""Deploys: processes that are told to stop finish or hand back, and nobody is charged with it."""

from __future__ import annotations

import os
import signal
import threading
import time

import httpx2
import pytest

from tests.faults.conftest import NewStack
from tests.faults.evidence import check_each_item_ended_once
from tests.faults.test_workers_die import start_another
from tests.stack import wait_until


@pytest.mark.parametrize("dialect", ["sqlite"])  # PostgreSQL: `make faults` restarts its workers too
def test_a_rolling_restart_under_load_charges_nobody_and_needs_no_rescue(new_stack: NewStack, dialect: str) -> None:
    # A lease longer than the test: what is not handed back would hang until the end.
    stack, evidence = new_stack("api", "compute", dialect=dialect, CADMILL_QUEUE_LEASE_SECONDS=120, CADMILL_PROCESS_GRACE_SECONDS=0.5)
    start_another(stack, "compute")
    for name in ("compute", "compute2"):
        wait_until(lambda name=name: " ready." in stack.log(name), 120)  # type: ignore[misc]
    job = stack.submit("probe", {"items": 96, "ms": 250})["id"]
    for name in ("compute", "compute2"):
        leaving = stack._running.pop(name)
        argv = [str(word) for word in leaving.args]  # type: ignore[union-attr]
        wait_until(lambda pid=leaving.pid: any(chunk.owner.endswith(f":{pid}") for chunk in evidence.chunks(job, "running")))  # type: ignore[misc]
        leaving.terminate()  # the main process alone, as an orchestrator does it
        assert leaving.wait(60) == 0
        stack.spawn(name, argv)
    assert stack.wait(job, 120)["state"] == "succeeded"
    check_each_item_ended_once(stack, evidence, job, succeeded=96)
    assert evidence.trail(job, "chunk.handed_back"), "the restart did not bite: nothing was handed back"
    assert not evidence.trail(job, "chunk.rescued"), "somebody had to be rescued"
    assert all(chunk.crashes == 0 for chunk in evidence.chunks(job))
    assert all(chunk.attempt - chunk.handed_back == 1 for chunk in evidence.chunks(job)), "a try was charged"


def test_a_second_signal_ends_the_grace_time(new_stack: NewStack) -> None:
    stack, evidence = new_stack("api", "compute", CADMILL_QUEUE_LEASE_SECONDS=120, CADMILL_PROCESS_GRACE_SECONDS=300)
    job = stack.submit("probe", {"items": 2, "ms": 120_000})["id"]
    wait_until(lambda: len(evidence.chunks(job, "running")) == 2, 120)
    leaving = stack._running.pop("compute")
    leaving.terminate()
    wait_until(lambda: "Warm shutdown" in stack.log("compute"))
    assert leaving.poll() is None, "it did not wait for its work"
    leaving.terminate()
    assert leaving.wait(60) == 0
    assert [chunk.handed_back for chunk in evidence.chunks(job, "queued")] == [1, 1]


def test_an_api_that_is_told_to_stop_answers_what_it_is_being_asked_and_ends(new_stack: NewStack) -> None:
    stack, _ = new_stack("api")
    begun, go_on = threading.Event(), threading.Event()

    def slowly() -> object:
        yield b"solid half of a file\n"
        begun.set()
        assert go_on.wait(60)
        yield b"endsolid\n"

    answers: list[int] = []

    def upload() -> None:
        with httpx2.Client(base_url=stack.url, headers={"X-API-Key": stack.key}, timeout=60, trust_env=False) as http:
            answers.append(http.post("/api/v1/parts", params={"name": "a.stl"}, content=slowly()).status_code)  # type: ignore[arg-type]

    asking = threading.Thread(target=upload)
    asking.start()
    assert begun.wait(60)
    time.sleep(0.3)  # the first half is on its way
    api = stack._running.pop("api")
    os.kill(api.pid, signal.SIGTERM)
    wait_until(lambda: "Shutting down" in stack.log("api"))
    go_on.set()
    asking.join(60)
    assert answers == [201]
    api.wait(60)
    assert "Finished server process" in stack.log("api"), "it was killed, it did not end"
