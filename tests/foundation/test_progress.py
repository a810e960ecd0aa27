"""Both ends of the live events, over a real Redis."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from foundation import keyspace, progress
from foundation.progress import Event, Publisher, Told
from foundation.settings import RedisSettings
from tests.stack import RedisServer, wait_until

COUNTS = {"total": 10, "succeeded": 0, "failed": 0, "cancelled": 0, "pending": 10}


def state(job: str, word: str, tenant: str = "ten_a", **more: Any) -> Event:
    return Event("job.state", {"id": job, "state": word, **more}, tenant, job)


def at(job: str, done: int, tenant: str = "ten_a") -> Event:
    return Event("job.progress", {"id": job, "counts": {**COUNTS, "succeeded": done, "pending": 10 - done}}, tenant, job)


@pytest.fixture
def publisher(own_redis: RedisServer) -> Iterator[Publisher]:
    one = Publisher(keyspace.client(RedisSettings(url=own_redis.url), 0.5), 1000)
    yield one
    one.close()


def told(url: str, keep: int = 1000) -> list[Told]:
    async def look() -> list[Told]:
        async with keyspace.loop_client(RedisSettings(url=url), 5) as client:
            return (await progress.window(client, keep))[0]

    return asyncio.run(look())


def test_events_are_read_in_the_order_in_which_one_process_published_them(own_redis: RedisServer, publisher: Publisher) -> None:
    for number in range(200):
        publisher.publish(state(f"job_{number}", "queued"))
    read = wait_until(lambda: len(found := told(own_redis.url)) == 200 and found)
    assert [one.event.job_id for one in read] == [f"job_{number}" for number in range(200)]
    assert [progress.order(one.id) for one in read] == sorted(progress.order(one.id) for one in read)


def test_progress_of_a_job_is_thinned_and_its_last_is_always_told(own_redis: RedisServer, publisher: Publisher) -> None:
    begun = time.monotonic()
    for done in range(1, 1001):
        publisher.publish(at("job_a", done))
        time.sleep(0.0005)
    lasted = time.monotonic() - begun
    last = wait_until(lambda: (found := told(own_redis.url)) and found[-1].event.data["counts"]["succeeded"] == 1000 and found)
    assert len(last) <= lasted / progress.THIN_SECONDS + 2


def test_the_end_of_a_job_overtakes_the_progress_that_is_held(own_redis: RedisServer, publisher: Publisher) -> None:
    publisher.publish(at("job_a", 1))
    wait_until(lambda: told(own_redis.url))
    publisher.publish(at("job_a", 9), state("job_a", "succeeded"), at("job_b", 1))
    wait_until(lambda: len(told(own_redis.url)) == 3)
    time.sleep(progress.THIN_SECONDS * 1.5)
    assert [(one.event.type, one.event.job_id) for one in told(own_redis.url)] == [
        ("job.progress", "job_a"),
        ("job.state", "job_a"),
        ("job.progress", "job_b"),
    ]


def test_failed_items_add_up_while_they_are_held(own_redis: RedisServer, publisher: Publisher) -> None:
    for _ in range(50):
        publisher.publish(Event("items.failed", {"job_id": "job_a", "failed": 3, "items": [{"index": 1}] * 3}, "ten_a", "job_a"))
    publisher.publish(state("job_a", "failed"))
    found = wait_until(lambda: (found := told(own_redis.url)) and found[-1].event.type == "job.state" and found)
    assert sum(one.event.data["failed"] for one in found[:-1]) == 150
    assert all(len(one.event.data["items"]) <= progress.ITEMS_SHOWN for one in found[:-1])


def test_publishing_costs_nothing_while_redis_is_gone_and_a_gap_is_told_when_it_is_back(
    own_redis: RedisServer, publisher: Publisher
) -> None:
    own_redis.kill()
    begun = time.monotonic()
    for number in range(20_000):
        publisher.publish(state(f"job_{number}", "queued"))
    assert time.monotonic() - begun < 2
    own_redis.start()
    found = wait_until(lambda: (publisher.publish(state("job_last", "queued")), told(own_redis.url))[1], 20, 0.2)
    assert found[0].event.type == "gap"


def test_a_window_says_after_which_id_nothing_is_missing(own_redis: RedisServer, publisher: Publisher) -> None:
    async def floor(keep: int) -> str:
        async with keyspace.loop_client(RedisSettings(url=own_redis.url), 5) as client:
            return (await progress.window(client, keep))[1]

    assert asyncio.run(floor(100)) == "0-0"
    publisher.publish(*(state(f"job_{number}", "queued") for number in range(10)))
    read = wait_until(lambda: len(found := told(own_redis.url)) == 10 and found)
    assert asyncio.run(floor(100)) == "0-0"
    assert asyncio.run(floor(4)) == read[6].id


def test_following_gives_what_comes_and_nothing_twice(own_redis: RedisServer, publisher: Publisher) -> None:
    async def follow() -> list[str]:
        jobs: list[str] = []
        async with keyspace.loop_client(RedisSettings(url=own_redis.url), 5) as client:
            async for batch in progress.follow(client, "0-0", 0.1):
                jobs += [one.event.job_id for one in batch]
                if not jobs:
                    publisher.publish(*(state(f"job_{number}", "queued") for number in range(3)))
                elif not batch:
                    return jobs
        return jobs

    assert asyncio.run(follow()) == ["job_0", "job_1", "job_2"]


def test_what_is_not_ours_in_the_stream_is_passed_over(own_redis: RedisServer, publisher: Publisher) -> None:
    client = keyspace.client(RedisSettings(url=own_redis.url))
    for junk in (
        {"e": "{"},
        {"x": "1"},
        {"e": '{"type": "job.vanished", "at": 1, "tenant": "", "job": "", "user": "", "directed": false, "data": {}}'},
    ):
        client.xadd(keyspace.LIVE, junk)  # type: ignore[arg-type]
    publisher.publish(state("job_a", "queued"))
    found = wait_until(lambda: told(own_redis.url))
    assert [one.event.job_id for one in found] == ["job_a"]


@pytest.mark.parametrize("text", ["", "1", "-", "1-", "-1", "a-b", "1-2-3", "１-2", "9" * 50 + "-0"])
def test_an_id_that_no_stream_gave_out_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text[:64])):
        progress.order(text)


def test_events_are_heard_where_the_table_says() -> None:
    event = Event("job.state", {}, "ten_a", "job_a", user="k1")
    assert event.channels == ("tenant", "topic:jobs", "job:job_a", "user:k1")
    assert Event("announcement", {"text": "x"}, "ten_a", user="k1", directed=True).channels == ("user:k1",)
    assert Event("gap").channels == ()
