"""Vectors in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
