"""Which size is recommended, from what real caches count on traces, and whether following it does what was said."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.tuning import LOOKUPS, recommend
from tests.ledger.conftest import HandClock
from tests.workers.cache.test_curve import key, zipf
from workers.cache.store import VectorCache


def replay(trace: list[int], capacity: int, ttl: float = 0.0, seconds: float = 0.0) -> dict[str, Any]:
    """What a cache counted, asked `seconds` apart."""
    hand = HandClock()
    cache = VectorCache(capacity, ttl, hand.clock())
    for number in trace:
        hand.time += seconds
        cache.get([key(number)], lambda missing: [(one, bytes(88)) for one in missing])
    return cache.statistics()


def rate(told: dict[str, Any]) -> float:
    return float(told["hits"]) / (told["hits"] + told["misses"])


def test_a_cache_too_small_is_to_grow_and_then_serves_as_predicted() -> None:
    trace = zipf(6000, 400)
    small = replay(trace, 50)
    found = recommend([small])
    assert found.capacity is not None
    assert 50 < found.capacity <= 200
    assert "would have held" in found.why[0]
    grown = replay(trace, found.capacity)
    assert found.hit_rate == pytest.approx(rate(small), abs=1e-3)
    assert found.hit_rate_predicted == pytest.approx(rate(grown), abs=0.01)
    assert rate(grown) > rate(small) + 0.15
    assert found.bytes_predicted == pytest.approx(grown["bytes"], rel=0.1)


def test_no_more_is_recommended_than_there_are_keys() -> None:
    found = recommend([replay(list(range(60)) * 30, 50)])
    assert found.capacity == 66


def test_a_cache_too_large_is_to_shrink_and_loses_next_to_nothing() -> None:
    trace = [*range(1000), *zipf(6000, 30)]  # a thousand were asked for once, thirty all the time
    large = replay(trace, 800)
    found = recommend([large])
    assert found.capacity == 200
    assert rate(replay(trace, 200)) >= rate(large) - 0.006
    assert found.bytes_predicted < 0.3 * found.bytes


def test_a_cache_of_the_right_size_stays_and_so_does_one_with_room_to_spare() -> None:
    assert recommend([replay(list(range(40)) * 30, 60)]).capacity is None
    spare = recommend([replay(zipf(6000, 30), 800)])
    assert (spare.capacity, spare.ttl_seconds) == (None, None)
    assert "not that full" in spare.why[0]


def test_a_ttl_that_ends_what_is_still_asked_for_is_to_be_longer() -> None:
    trace = list(range(20)) * 100
    found = recommend([replay(trace, 100, ttl=30.0, seconds=1.0)])
    assert found.ttl_seconds == 60.0
    assert "past its 30 s" in found.why[-1]
    assert recommend([replay(trace, 100, ttl=6000.0, seconds=1.0)]).ttl_seconds is None


def test_too_few_lookups_recommend_nothing() -> None:
    found = recommend([replay([1] * (LOOKUPS - 1), 10)])
    assert (found.capacity, found.hit_rate, found.lookups) == (None, None, LOOKUPS - 1)
    assert recommend([]).why == [f"0 lookups were counted since the setting was taken; fewer than {LOOKUPS} say nothing."]
    assert recommend([replay([1] * LOOKUPS, 10)]).hit_rate is not None


def test_workers_count_by_their_lookups() -> None:
    busy, idle = replay(zipf(6000, 400), 50), replay([1] * 10, 50)
    together, alone = recommend([busy, idle]), recommend([busy])
    assert together.capacity == alone.capacity
    assert together.lookups == alone.lookups + 10
