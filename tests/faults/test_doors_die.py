"""An API killed between commit and ring; a courier killed in mid-delivery; and every caretaker at once."""

from __future__ import annotations

import signal
import sys
import time

import httpx2
import pytest

from tests.faults.conftest import NewStack
from tests.faults.evidence import check_each_item_ended_once
from tests.faults.receiver import Receiver
from tests.faults.test_redis_dies import rings_in
from tests.faults.test_workers_die import start_another
from tests.stack import RedisServer, wait_until


def test_an_api_killed_between_commit_and_ring_keeps_its_promise(new_stack: NewStack, own_redis: RedisServer) -> None:
    stack, evidence = new_stack("compute")
    dying = stack.spawn("api", [sys.executable, "-m", "tests.faults.api_that_dies", str(stack._listener.fileno())])
    wait_until(stack._answers, 30)
    asked = {"kind": "probe", "input": {"items": 8, "ms": 10}}
    with pytest.raises(httpx2.TransportError):
        stack.http.post("/api/v1/jobs", json=asked, headers={"Idempotency-Key": "once"})
    assert dying.wait(5) == -signal.SIGKILL
    (job,) = evidence.jobs()
    assert {(chunk.state, chunk.rings) for chunk in evidence.chunks(job)} == {("queued", 1)}
    assert rings_in(own_redis) == 0, "the fault did not bite: the ring was sent"
    stack.start("api")
    again = stack.http.post("/api/v1/jobs", json=asked, headers={"Idempotency-Key": "once"})
    assert (again.status_code, again.json()["id"]) == (202, job)
    assert stack.wait(job)["state"] == "succeeded"
    check_each_item_ended_once(stack, evidence, job, succeeded=8)
    assert evidence.most_rings(job) >= 2
    assert evidence.jobs() == [job]


def test_a_courier_killed_in_mid_delivery_delivers_again_under_the_same_id(new_stack: NewStack, receiver: Receiver) -> None:
    # a try is given up for lost after four seconds
    variables = {
        "CADMILL_WEBHOOK_TIMEOUT_SECONDS": 1,
        "CADMILL_WEBHOOK_MARGIN_SECONDS": 3,
        "CADMILL_WEBHOOK_SCHEDULE_SECONDS": "[0, 0.1, 0.1, 0.1]",
    }
    stack, _ = new_stack("api", "compute", "courier", **variables)
    receiver.answers = [0, 500, 204]
    job = stack.submit("probe", {"items": 1}, callback_url=receiver.url)["id"]
    wait_until(lambda: receiver.ids, pause=0.005)
    stack.kill("courier")
    (delivery,) = stack.http.get(f"/api/v1/jobs/{job}/deliveries").json()["deliveries"]
    assert (delivery["state"], delivery["attempts"], delivery["tries"]) == ("sending", 1, []), "the fault did not bite"
    stack.start("courier")

    def delivered() -> dict[str, object] | None:
        (now,) = stack.http.get(f"/api/v1/jobs/{job}/deliveries").json()["deliveries"]
        return now if now["state"] == "delivered" else None

    ended = wait_until(delivered)
    assert receiver.ids == [delivery["id"]] * 3
    # The first try died with its courier before it could be recorded; upkeep has logged it as lost.
    assert [(one["attempt"], one["status"]) for one in ended["tries"]] == [(1, None), (2, 500), (3, 204)]
    assert ended["tries"][0]["error_code"] == "ATTEMPT_LOST"
    assert stack.job(job)["state"] == "succeeded"


def test_all_caretakers_at_once_do_nothing_twice_and_one_takes_over_from_another(new_stack: NewStack, receiver: Receiver) -> None:
    # How long a ring may be under way as in the product: on a busy machine it may well take longer than the other tests allow.
    stack, evidence = new_stack(CADMILL_QUEUE_RING_GRACE_SECONDS=3, CADMILL_QUEUE_RING_STUCK_SECONDS=30)
    start_another(stack, "beat")
    start_another(stack, "courier")
    names = {f":{process.pid}": name for name, process in stack._running.items()}

    def mender() -> str | None:
        owner = evidence.upkeep_owner()
        return next((name for end, name in names.items() if owner.endswith(end)), None)

    def round_of_jobs() -> list[str]:
        """Some at once, some in a moment: those are rung by upkeep alone."""
        asked = [{}, {"run_after": time.time() + 1}, {"max_concurrency": 1}, {"run_after": time.time() + 1.5}]
        return [stack.submit("probe", {"items": 16, "ms": 5}, callback_url=receiver.url, **more)["id"] for more in asked]

    first = wait_until(mender)
    jobs = round_of_jobs()
    for job in jobs:
        stack.wait(job)
    stack.kill(first)
    wait_until(lambda: mender() not in (None, first))
    if first == "api":
        stack.start("api")
    jobs += round_of_jobs()
    for job in jobs:
        assert stack.wait(job)["state"] == "succeeded"
        check_each_item_ended_once(stack, evidence, job, succeeded=16)
        assert {(chunk.attempt, chunk.rings) for chunk in evidence.chunks(job)} == {(1, 1)}, "rung or done twice"
    wait_until(lambda: len(receiver.ids) >= len(jobs))
    assert sorted(receiver.ids) == sorted(set(receiver.ids)), "a webhook was sent twice"
    assert len(receiver.ids) == len(jobs)
