"""Vectors in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.ledger.conftest import HandClock
from workers.cache.store import VectorCache, VectorKey


def key(name: str, written: float = 0.0) -> VectorKey:
    return VectorKey("tenant", name, "v3", "1", written)


def test_what_is_held_is_not_fetched_again_and_the_least_used_leaves_first() -> None:
    asked: list[list[str]] = []

    def fetch(missing: Sequence[VectorKey]) -> Iterable[tuple[VectorKey, bytes]]:
        asked.append([each.sha256 for each in missing])
        return [(each, each.sha256.encode()) for each in missing if each.sha256 != "unknown"]

    cache = VectorCache(2)
    assert cache.get([key("a"), key("b")], fetch) == {key("a"): b"a", key("b"): b"b"}
    assert cache.get([key("a")], fetch) == {key("a"): b"a"}
    assert cache.get([key("c")], fetch) == {key("c"): b"c"}
    assert len(cache) == 2
    cache.get([key("a"), key("c")], fetch)
    cache.get([key("b")], fetch)
    assert asked == [["a", "b"], ["c"], ["b"]]
    assert cache.get([key("unknown")], fetch) == {}


def test_one_tenants_vector_is_never_anothers() -> None:
    cache = VectorCache(10)
    cache.put([(key("a"), b"mine")])
    assert cache.get([VectorKey("other", "a", "v3", "1", 0.0)], lambda missing: []) == {}


def test_a_vector_that_was_written_anew_is_another_one() -> None:
    cache = VectorCache(10)
    cache.put([(key("a"), b"old")])
    assert cache.get([key("a", 1.0)], lambda missing: [(each, b"new") for each in missing]) == {key("a", 1.0): b"new"}


def filled(capacity: int, names: str, ttl: float = 0.0, hand: HandClock | None = None) -> VectorCache:
    cache = VectorCache(capacity, ttl, (hand or HandClock()).clock())
    cache.put((key(name), b"1234") for name in names)
    return cache


def nothing(_missing: Sequence[VectorKey]) -> Iterable[tuple[VectorKey, bytes]]:
    return []


def test_what_has_outlived_its_ttl_is_asked_for_anew_and_its_memory_given_back() -> None:
    hand = HandClock()
    cache = filled(10, "ab", 60.0, hand)
    hand.time += 60
    assert cache.get([key("a")], nothing) == {key("a"): b"1234"}
    hand.time += 0.5
    assert cache.holds([key("a"), key("b")]) == set()
    assert cache.get([key("a")], lambda missing: [(one, b"5678") for one in missing]) == {key("a"): b"5678"}
    cache.sweep()
    told = cache.statistics()
    assert (told["held"], told["hits"], told["misses"], told["expired"], told["expired_misses"]) == (1, 1, 1, 2, 1)


def test_another_size_holds_at_once_keeps_what_was_used_last_and_counts_anew() -> None:
    cache = filled(10, "abcd")
    cache.get([key("a")], nothing)
    cache.change(2, 0.0, epoch=5)
    assert cache.holds(map(key, "abcd")) == {key("a"), key("d")}
    told = cache.statistics()
    assert (cache.epoch, told["capacity"], told["held"], told["hits"], told["evicted"]) == (5, 2, 2, 0, 2)
    cache.get([key("a")], nothing)
    cache.change(2, 0.0, epoch=6)
    assert cache.statistics()["hits"] == 1, "the same setting under another number is no new one"


def test_what_is_loaded_ahead_evicts_the_rest_first() -> None:
    cache = filled(4, "abcd")
    cache.touch([key("a"), key("unknown")])
    assert cache.put([(key("e"), b"1234"), (key("f"), b"1234")]) == (2, 2)
    assert cache.holds(map(key, "abcdef")) == set(map(key, "adef"))


def test_lookups_are_counted_with_what_a_larger_cache_would_have_had() -> None:
    cache = filled(2, "")
    for name in "abcabcabc":
        cache.get([key(name)], lambda missing: [(one, b"1234") for one in missing])
    told = cache.statistics()
    assert (told["hits"], told["misses"], told["evicted"], told["distinct_keys"], told["ghost_hits"]) == (0, 9, 7, 3, 6)
    assert told["would_serve"]["1"] == 0
    assert told["would_serve"]["2"] == round(6 / 9, 6)
