"""The doorbell on a real Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
import redis
from celery import Celery

from foundation import keyspace
from foundation.settings import RedisSettings
from tasks import ring
from tasks.ring import BackgroundDoorbell, Doorbell, Ring
from tasks.vocabulary import Priority
from tests.stack import RedisServer, wait_until

QUEUES = ["extraction", "webhooks"]


def an_app(url: str) -> Celery:
    app = Celery("test", broker=url, set_as_current=False)
    app.conf.update(
        task_ignore_result=True, task_publish_retry_policy={"max_retries": 0},
        broker_transport_options={"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
    )  # fmt: skip
    return app


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[redis.Redis]:
    opened = keyspace.client(RedisSettings(url=own_redis.url))
    yield opened
    opened.close()


def test_rings_land_in_the_step_of_their_priority_and_are_read_back_by_id(own_redis: RedisServer, client: redis.Redis) -> None:
    bell = Doorbell(an_app(own_redis.url))
    rings = [Ring("extraction", f"job_x.{step}", "extraction", step) for step in keyspace.STEPS]
    assert bell.ring(rings)
    assert bell.ring(ring.of_deliveries(["msg_1"]))
    for step in keyspace.STEPS:
        assert client.llen(keyspace.queue_key("extraction", step)) == 1
    held = ring.held(client, QUEUES)
    assert held.listed == {"job_x.0", "job_x.3", "job_x.6", "job_x.9", "msg_1"}
    assert held.fetched == set()


def test_a_message_that_a_worker_took_and_did_not_acknowledge_counts_as_fetched(own_redis: RedisServer, client: redis.Redis) -> None:
    app = an_app(own_redis.url)
    Doorbell(app).ring([Ring("extraction", "job_x.0", "extraction", 0)])
    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("extraction")
        assert message is not None
        held = ring.held(client, QUEUES)
        assert (held.listed, held.fetched) == (set(), {"job_x.0"})
        message.ack()
    assert ring.held(client, QUEUES).fetched == set()


def test_messages_that_are_not_ours_do_no_harm(client: redis.Redis) -> None:
    for body in ("", "!", "bm90IGpzb24=", "W10=", "e30="):
        client.lpush("extraction", json.dumps({"body": body}))
    client.lpush("extraction", json.dumps({"nobody": 1}))
    assert ring.held(client, QUEUES).listed == set()


def test_a_dead_redis_is_told_at_once_and_is_no_exception(own_redis: RedisServer) -> None:
    bell = Doorbell(an_app(own_redis.url))
    own_redis.kill()
    begun = time.monotonic()
    assert bell.ring([Ring("extraction", "job_x.0", "extraction", 0)]) is False
    assert time.monotonic() - begun < 1
    own_redis.start()
    assert bell.ring([Ring("extraction", "job_x.1", "extraction", 0)]) is True


def test_the_background_doorbell_never_keeps_its_caller_waiting(own_redis: RedisServer, client: redis.Redis) -> None:
    bell = BackgroundDoorbell(an_app(own_redis.url), room=2)
    own_redis.kill()
    begun = time.monotonic()
    answers = [bell.ring([Ring("extraction", f"job_x.{n}", "extraction", 0)]) for n in range(50)]
    assert time.monotonic() - begun < 0.5
    assert answers[0] is True
    own_redis.start()
    wait_until(lambda: bell.ring([Ring("extraction", "job_y.0", "extraction", 0)]) and "job_y.0" in ring.held(client, QUEUES).listed, 10)
    bell.close()


def test_priorities_are_the_four_steps_of_redis() -> None:
    assert [priority.step for priority in Priority] == list(keyspace.STEPS)
