"""Redis behind the table: what is dead is not asked, what reads is asked again, and callers see what they know to handle."""

from __future__ import annotations

import time

import pytest
import redis

from foundation import keyspace, telemetry
from foundation.resilience import protection
from foundation.resilience.breaker import State
from foundation.resilience.protection import Refused
from foundation.settings import RedisSettings
from tests.stack import RedisServer


def test_a_dead_redis_looks_as_one_that_does_not_answer_and_is_soon_not_asked(own_redis: RedisServer) -> None:
    client = keyspace.client(RedisSettings(url=own_redis.url), 0.5)
    assert client.set("a", 1)
    own_redis.kill()
    causes = []
    for _ in range(8):
        with pytest.raises(redis.ConnectionError) as error:
            client.set("a", 1)
        causes.append(isinstance(error.value.__cause__, Refused))
    assert causes[0] is False
    assert causes[-1] is True
    breaker = protection.HERE.of("redis").breaker
    assert breaker is not None
    assert breaker.state is State.OPEN
    own_redis.start()
    end = time.monotonic() + 30
    while breaker.state is not State.CLOSED and time.monotonic() < end:
        try:
            client.set("a", 2)
        except redis.ConnectionError:
            time.sleep(0.05)
    assert client.get("a") == b"2"


def test_a_command_that_reads_is_sent_again_and_one_that_writes_is_not(own_redis: RedisServer) -> None:
    client, heard = keyspace.client(RedisSettings(url=own_redis.url), 0.5), list[telemetry.Event]()
    own_redis.kill()
    telemetry.attach(heard.append)
    try:
        for command in (lambda: client.get("a"), lambda: client.incr("a")):
            with pytest.raises(redis.ConnectionError):
                command()
    finally:
        telemetry._sinks.remove(heard.append)
    assert [(event.call, event.made) for event in heard if isinstance(event, telemetry.CallRetried)] == [("redis", 1)]
    assert protection.HERE.of("redis").statistics()["breaker"]["failures"] == 3


def test_a_pipeline_is_one_call(own_redis: RedisServer) -> None:
    client = keyspace.client(RedisSettings(url=own_redis.url), 2.0)
    with client.pipeline(transaction=False) as pipe:
        for number in range(5):
            pipe.set("a", number)
        assert pipe.execute() == [True] * 5
    breaker = protection.HERE.of("redis").breaker
    assert breaker is not None
    assert breaker.statistics().calls == 1


def test_a_key_of_another_type_says_nothing_against_redis(own_redis: RedisServer) -> None:
    client = keyspace.client(RedisSettings(url=own_redis.url), 2.0)
    client.set("a", "text")
    for _ in range(10):
        with pytest.raises(redis.ResponseError):
            client.llen("a")
    breaker = protection.HERE.of("redis").breaker
    assert breaker is not None
    assert (breaker.state, breaker.statistics().failures) == (State.CLOSED, 0)
