"""A Redis that is emptied, killed, gone for a while, or hung."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
import redis

from foundation import keyspace
from tests.faults.conftest import NewStack
from tests.faults.evidence import check_each_item_ended_once
from tests.stack import RedisServer, Stack, wait_until

ITEMS = {"items": 24, "ms": 120}
WAITS_FOR_REDIS = 6
"""Seconds that who does wait for a hung Redis waits, at least. A busy machine takes a second for an answer."""


def rings_in(server: RedisServer) -> int:
    """How many doorbells for probes wait in this Redis."""
    with redis.Redis.from_url(server.url) as client:
        return sum(int(client.llen(keyspace.queue_key("probe", step))) for step in keyspace.STEPS)


def submit_quickly(stack: Stack) -> str:
    started = time.monotonic()
    job = stack.submit("probe", {"items": 8, "ms": 10})
    assert time.monotonic() - started < WAITS_FOR_REDIS
    return str(job["id"])


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_flushed_redis_in_mid_job_is_rung_again(new_stack: NewStack, own_redis: RedisServer, dialect: str) -> None:
    stack, evidence = new_stack("api", "compute", dialect=dialect)
    job = stack.submit("probe", ITEMS)["id"]
    stack.wait_for_progress(job, 3)
    assert rings_in(own_redis) >= 2, "the fault did not bite: no ring was waiting"
    with redis.Redis.from_url(own_redis.url) as client:
        client.flushall()
    assert stack.wait(job)["state"] == "succeeded"
    check_each_item_ended_once(stack, evidence, job, succeeded=24)
    assert evidence.most_rings(job) >= 2
    assert not evidence.trail(job, "chunk.rescued"), "running chunks need no Redis"


def test_a_redis_killed_and_started_empty_in_mid_job_is_rung_again(new_stack: NewStack, own_redis: RedisServer) -> None:
    stack, evidence = new_stack("api", "compute")
    job = stack.submit("probe", ITEMS)["id"]
    stack.wait_for_progress(job, 3)
    assert rings_in(own_redis) >= 2, "the fault did not bite: no ring was waiting"
    own_redis.kill()
    own_redis.start()
    assert rings_in(own_redis) == 0
    assert stack.wait(job)["state"] == "succeeded"
    check_each_item_ended_once(stack, evidence, job, succeeded=24)
    assert evidence.most_rings(job) >= 2


def test_a_worker_that_is_half_busy_outlives_the_loss_of_redis(new_stack: NewStack, own_redis: RedisServer) -> None:
    """It listens for more and has a message to acknowledge: then kombu used the lost connection once more and ended the worker."""
    stack, evidence = new_stack("api", "compute")
    job = stack.submit("probe", {"items": 1, "ms": 2500})["id"]
    wait_until(lambda: evidence.chunks(job, "running"))
    own_redis.kill()
    log = stack.directory / "compute.log"
    wait_until(lambda: "Cannot connect" in log.read_text())
    own_redis.start()
    assert stack.wait(job)["state"] == "succeeded"
    after = stack.submit("probe", {"items": 8, "ms": 10})["id"]
    assert stack.wait(after)["state"] == "succeeded"
    wait_until(lambda: "Couldn't ack" in log.read_text(), 10)  # the fault did not bite without this
    assert stack._running["compute"].poll() is None
    for each, items in ((job, 1), (after, 8)):
        check_each_item_ended_once(stack, evidence, each, succeeded=items)


def _killed(server: RedisServer) -> None:
    server.kill()


def _hung(server: RedisServer) -> None:
    server.signal(signal.SIGSTOP)


def _started(server: RedisServer) -> None:
    server.start()


def _woken(server: RedisServer) -> None:
    server.signal(signal.SIGCONT)


@pytest.mark.parametrize(("hurt", "heal"), [(_killed, _started), (_hung, _woken)], ids=["down", "hung"])
def test_submitting_waits_for_no_redis_and_the_job_runs_when_it_is_back(
    new_stack: NewStack, own_redis: RedisServer, hurt: Callable[[RedisServer], None], heal: Callable[[RedisServer], None]
) -> None:
    stack, evidence = new_stack("api", "compute", "courier", "beat", CADMILL_REDIS_PUBLISH_SECONDS=WAITS_FOR_REDIS)
    before = submit_quickly(stack)
    stack.wait(before)
    processes = dict(stack._running)
    hurt(own_redis)
    jobs = [submit_quickly(stack) for _ in range(5)]
    wait_until(lambda: stack.metric("cadmill_rings_failed_total") >= 1)
    assert {stack.job(job)["state"] for job in jobs} == {"queued"}, "the fault did not bite: a worker heard the ring"
    heal(own_redis)
    for job in jobs:
        assert stack.wait(job)["state"] == "succeeded"
        check_each_item_ended_once(stack, evidence, job, succeeded=8)
    # a hung Redis may still find in its socket what was told failed, so that nothing need be rung again
    assert hurt is _hung or max(evidence.most_rings(job) for job in jobs) >= 2
    assert all(process.poll() is None for process in processes.values()), "somebody had to be restarted"
