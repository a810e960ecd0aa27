"""What a process keeps of the stream, and how a feed decides that a reader is too slow: without any socket."""

from __future__ import annotations

import asyncio

import pytest

from api.live.feed import REVOKED, SLOW, Feed, Message
from api.live.memory import Kept, Standings, Window, standing
from foundation.progress import order


def told(number: int) -> Message:
    return Message("announcement", f"{number}-0", {}, f'"{number}"')


def kept(number: int, tenant: str = "ten_a", *channels: str) -> Kept:
    return Kept((number, 0), tenant, frozenset(channels or ("tenant",)), "", None, told(number))


def feed(room: int = 3) -> Feed:
    return Feed("con_1", "ten_a", "k1", "websocket", room, 10)


def job(generation: int, done: int, state: str, total: int = 10) -> dict[str, object]:
    return {"generation": generation, "state": state, "counts": {"total": total, "pending": total - done}}


def test_news_that_was_overtaken_is_known_as_such() -> None:
    story = [
        job(1, 0, "queued"),
        job(1, 0, "running"),
        job(1, 4, "running"),
        job(1, 10, "running"),
        job(1, 10, "partial"),
        job(2, 7, "queued"),
    ]
    places = [standing(each) for each in story]
    assert places == sorted(places)
    known = Standings()
    for at, place in enumerate(places):
        known.reached("job_a", place)
        assert not known.behind("job_a", place)
        assert all(known.behind("job_a", earlier) for earlier in places[:at])
    assert not known.behind("job_b", places[0])


def test_a_window_covers_what_it_kept_and_not_what_it_dropped() -> None:
    window = Window(keep=3)
    window.restart("0-0")
    for number in range(1, 6):
        window.add(kept(number))
        window.position = f"{number}-0"
    assert [one.place[0] for one in window.since((2, 0))] == [3, 4, 5]
    assert not window.covers((1, 0))
    assert window.covers((2, 0))
    assert window.covers((5, 0))
    assert not window.covers((6, 0)), "an id of another stream"
    window.restart("9-0")
    assert not window.covers((5, 0))


def test_what_is_kept_is_for_its_tenant_and_channels_and_a_gap_is_for_all() -> None:
    assert kept(1, "ten_a", "topic:jobs").is_for("ten_a", {"topic:jobs"})
    assert not kept(1, "ten_a", "topic:jobs").is_for("ten_b", {"topic:jobs"})
    assert not kept(1, "ten_a", "topic:jobs").is_for("ten_a", {"topic:queues"})
    assert kept(1, "", "topic:queues").is_for("ten_b", {"topic:queues"})
    gap = Kept((1, 0), "", frozenset(), "", None, Message("gap", "1-0", {}, ""))
    assert gap.is_for("ten_b", set())


def test_a_feed_that_is_full_ends_and_gives_nothing_more() -> None:
    async def story() -> None:
        one = feed(room=3)
        one.offer(told(1), told(2), told(3))
        assert one.ended is None
        one.offer(told(4))
        assert one.ended is SLOW
        one.end(REVOKED)
        assert one.ended is SLOW
        assert await one.take() == []

    asyncio.run(story())


def test_what_was_asked_for_makes_no_reader_slow_but_has_its_own_bound() -> None:
    async def story() -> None:
        one = feed(room=3)
        one.push(*(told(number) for number in range(10)))
        one.offer(told(10), told(11), told(12))
        assert one.ended is None
        assert len(await one.take()) == 13
        one.offer(told(1), told(2), told(3), told(4))
        assert one.ended is SLOW, "the room for what was asked for is given back"
        greedy = feed(room=3)
        for _ in range(5):
            greedy.push(*(told(number) for number in range(5)))
        assert greedy.ended is SLOW

    asyncio.run(story())


def test_a_feed_waits_for_what_comes_and_not_longer_than_told() -> None:
    async def story() -> None:
        one = feed()
        assert await one.take(0.01) == []
        waiting = asyncio.create_task(one.take())
        await asyncio.sleep(0)
        one.offer(told(1))
        assert [each.id for each in await waiting] == ["1-0"]

    asyncio.run(story())


@pytest.mark.parametrize("text", ["1-0", "1795757965996-12"])
def test_ids_are_ordered_as_numbers(text: str) -> None:
    assert order(text) == tuple(map(int, text.split("-")))
