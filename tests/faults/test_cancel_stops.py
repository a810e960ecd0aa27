"""A cancelled or expired job stops being worked on, in every pool."""

from __future__ import annotations

import time
from pathlib import Path

from tests.faults import pools
from tests.faults.cancels import LIMIT_SECONDS, cancel_many
from tests.faults.conftest import NewStack
from tests.faults.receiver import Receiver
from tests.faults.test_engine_dies import children
from tests.stack import wait_until


def test_running_work_stops_in_every_pool_and_a_process_that_does_not_look_is_ended(new_stack: NewStack) -> None:
    stack, evidence = new_stack("api", CADMILL_QUEUE_LEASE_SECONDS=60)
    for pool in pools.POOLS:
        pools.start(stack, pool)
    job = stack.submit("probe", {"items": 3, "ms": 600_000})["id"]
    wait_until(lambda: len({chunk.owner for chunk in evidence.chunks(job, "running")}) == 3, 120)
    assert stack.http.post(f"/api/v1/jobs/{job}/cancel").is_success
    answered = time.time()
    wait_until(lambda: len(evidence.trail(job, "chunk.stale")) == 3)
    assert max(row.at for row in evidence.trail(job, "chunk.stale")) - answered <= LIMIT_SECONDS
    assert stack.metric("cadmill_work_abandoned_total") == 0, "each looked by itself"

    for pool in ("threads", "solo"):
        stack.kill(pool)
    job = stack.submit("probe", {"items": 1, "ms": 600_000, "act": "deaf"}, deadline=1.0)["id"]
    wait_until(lambda: evidence.chunks(job, "running"))
    (pid,) = children(stack.pid("prefork"))
    ended = stack.wait(job)
    assert (ended["state"], ended["error"]["code"], ended["counts"]["failed"]) == ("failed", "JOB_DEADLINE_PASSED", 1)
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    (row,) = wait_until(lambda: evidence.trail(job, "chunk.stale"))
    assert row.at - evidence.trail(job, "job.expired")[0].at <= LIMIT_SECONDS
    assert stack.metric("cadmill_work_abandoned_total") == 1
    after = stack.submit("probe", {"items": 1})["id"]
    assert stack.wait(after)["state"] == "succeeded", "the pool has another process"
    assert stack.items(after)[0]["result"]["pid"] != pid
    assert evidence.chunks(job)[0].crashes == 0


def test_forty_cancels_at_random_moments_are_told_alike_by_everybody(new_stack: NewStack, receiver: Receiver) -> None:
    stack, evidence = new_stack("api", "courier", CADMILL_QUEUE_LEASE_SECONDS=60)
    pools.start(stack, "prefork", 2)
    pools.start(stack, "threads", 4)
    told = cancel_many(stack, evidence, receiver, 40, seed=1)
    assert (told.disagreeing, told.committed_after) == ([], [])
    assert len(told.stopped) >= 10, f"too few were at work when they were cancelled: {told.states}"
    assert told.states.get("succeeded"), "no cancel came too late"
    assert told.p95 <= LIMIT_SECONDS, sorted(told.stopped)
