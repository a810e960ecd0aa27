"""One suite for every engine: whatever searches vectors answers as brute force does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foundation.errors import Failure
from foundation.settings import Settings
from ledger.session import Ledger
from workers.index.approximate import ApproximateIndex
from workers.index.contract import Floats32, Hit, Index, IndexFailure, Portion
from workers.index.exact import ExactIndex
from workers.index.pgvector import PgvectorIndex
from workers.index.table import Table

ENGINES = ("exact", "flat", "lists", "pgvector")
WIDTH = 24


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Callable[[int], Index]:
    """Makes an empty index of a width. `lists` has so many lists at once that its answers are measured, not guessed."""
    made = {
        "exact": ExactIndex,
        "flat": ApproximateIndex,
        "lists": lambda width: ApproximateIndex(width, flat_max=40, goal=1.0),
        "pgvector": lambda width: PgvectorIndex(request.getfixturevalue("pgvector_ledger"), f"{request.node.name}:{width}", width),
    }
    return made[request.param]


@pytest.fixture(scope="session")
def pgvector_ledger(postgresql_database: Callable[[], str]) -> Any:
    ledger = Ledger(postgresql_database(), Settings().database)
    yield ledger
    ledger.close()


def key(number: int) -> str:
    return f"{number * 7_919 % 1_000_003:064x}"  # not in the order of the rows


def rows(count: int, seed: int = 1, width: int = WIDTH) -> Floats32:
    """Clusters, as parts of one kind make them."""
    dice = np.random.default_rng(seed)
    middles = dice.normal(size=(max(1, count // 20), width))
    return (middles[dice.integers(len(middles), size=count)] + dice.normal(size=(count, width)) * 0.1).astype(np.float32)


def brute(keys: list[str], matrix: Floats32, queries: Floats32, k: int) -> list[list[Hit]]:
    """In float64, pair by pair, sorted whole."""
    found = []
    for query in queries.astype(np.float64):
        apart = np.sqrt(((matrix.astype(np.float64) - query) ** 2).sum(axis=1))
        found.append([Hit(name, float(distance)) for distance, name in sorted(zip(apart, keys, strict=True))[:k]])
    return found


def agree(found: list[list[Hit]], right: list[list[Hit]]) -> None:
    """Distances agree; keys do where distances tell them apart as far as float32 goes."""
    assert [len(hits) for hits in found] == [len(hits) for hits in right]
    for hits, wanted in zip(found, right, strict=True):
        assert [hit.distance for hit in hits] == pytest.approx([hit.distance for hit in wanted], rel=1e-5, abs=1e-6)
        for hit, want in zip(hits, wanted, strict=True):
            assert hit.key == want.key or any(
                other.key == hit.key and abs(other.distance - want.distance) <= 1e-5 * want.distance + 1e-6 for other in wanted
            )


def test_the_nearest_come_first_with_their_distances(engine: Callable[[int], Index]) -> None:
    index, matrix = engine(WIDTH), rows(200)
    keys = [key(n) for n in range(200)]
    index.add(keys[:50], matrix[:50])
    index.add(keys[50:], matrix[50:])
    assert len(index) == 200
    queries = np.concatenate([matrix[:5], matrix[60:65] + np.float32(0.01)])
    for k in (1, 7):
        agree(index.search(queries, k), brute(keys, matrix, queries, k))


def test_a_key_that_comes_again_is_replaced_at_once(engine: Callable[[int], Index]) -> None:
    index, matrix = engine(WIDTH), rows(100)
    keys = [key(n) for n in range(100)]
    index.add(keys, matrix)
    changed = matrix.copy()
    changed[10:20] = matrix[50:60] + np.float32(0.5)
    index.add(keys[10:20], changed[10:20])
    assert len(index) == 100
    agree(index.search(changed[5:25], 3), brute(keys, changed, changed[5:25], 3))


def test_what_is_removed_is_gone_at_once_and_can_come_back(engine: Callable[[int], Index]) -> None:
    index, matrix = engine(WIDTH), rows(100)
    keys = [key(n) for n in range(100)]
    index.add(keys, matrix)
    index.remove([*keys[:90:2], "nobody"])
    left = [at for at in range(100) if at >= 90 or at % 2]
    assert len(index) == len(left)
    agree(index.search(matrix[:10], 5), brute([keys[at] for at in left], matrix[left], matrix[:10], 5))
    index.add(keys[:1], matrix[7:8])
    agree(index.search(matrix[7:8], 2), [[Hit(key, 0.0) for key in sorted((keys[0], keys[7]))]])
    index.remove(keys)
    assert (len(index), index.search(matrix[:2], 3)) == (0, [[], []])


def test_an_empty_space_has_no_hits_and_a_small_one_has_all_of_its_own(engine: Callable[[int], Index]) -> None:
    index, matrix = engine(WIDTH), rows(3)
    assert index.search(matrix, 5) == [[], [], []]
    index.add([], matrix[:0])
    index.add(["a", "b", "c"], matrix)
    assert [len(hits) for hits in index.search(matrix, 50)] == [3, 3, 3]
    assert index.search(matrix[:0], 5) == []
    assert index.search(matrix, 0) == [[], [], []]


def test_equal_vectors_come_in_the_order_of_their_keys_however_many_there_are(engine: Callable[[int], Index]) -> None:
    index, matrix = engine(WIDTH), rows(90)
    matrix[:60] = matrix[0]
    keys = [key(n) for n in range(90)]
    index.add(keys, matrix)
    found = index.search(matrix[:2], 5)
    if getattr(index, "probes", 0):  # lists find five of the sixty
        assert all(hit.distance == 0 and hit.key in keys[:60] for hits in found for hit in hits)
    else:
        assert [[hit.key for hit in hits] for hits in found] == [sorted(keys[:60])[:5]] * 2
    twice = engine(WIDTH - 1)
    twice.add(["a", "b", "a"], rows(3, width=WIDTH - 1))
    assert len(twice) == 2
    agree(twice.search(rows(3, width=WIDTH - 1)[2:], 1), [[Hit("a", 0.0)]])


@pytest.mark.parametrize("width", [WIDTH - 1, WIDTH + 1])
def test_vectors_of_another_width_are_refused_and_change_nothing(engine: Callable[[int], Index], width: int) -> None:
    index = engine(WIDTH)
    index.add(["a"], rows(1))
    for attempt in (lambda: index.add(["b"], rows(1, width=width)), lambda: index.search(rows(1, width=width), 1)):
        with pytest.raises(IndexFailure) as told:
            attempt()  # type: ignore[no-untyped-call]
        assert told.value.reason == "dimension"
    assert [hit.key for hit in index.search(rows(1), 9)[0]] == ["a"]


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused_and_change_nothing(engine: Callable[[int], Index], number: float) -> None:
    index, bad = engine(WIDTH), rows(2)
    index.add(["a"], bad[:1])
    bad[1, 3] = number
    for attempt in (lambda: index.add(["b", "c"], bad), lambda: index.search(bad, 1)):
        with pytest.raises(IndexFailure) as told:
            attempt()  # type: ignore[no-untyped-call]
        assert told.value.reason == "corruption"
    assert len(index) == 1


# -- beyond the contract: what each engine promises of itself


def test_flat_answers_are_those_of_exact_search_bit_for_bit_also_where_rounding_hides_the_order() -> None:
    matrix = rows(3000)
    dice = np.random.default_rng(3)
    matrix[500:900] = matrix[500] + (dice.normal(size=(400, WIDTH)) * 1e-6).astype(np.float32)
    matrix[900:1000] = matrix[7]
    keys = [key(n) for n in range(3000)]
    exact, flat = ExactIndex(WIDTH), ApproximateIndex(WIDTH)
    for index in (exact, flat):
        index.add(keys, matrix)
        index.remove(keys[::5])
    queries = np.concatenate([matrix[:40], matrix[500:540], matrix[900:901], rows(30, seed=5)])
    for k in (1, 10, 120):
        right = exact.search(queries, k)
        assert flat.search(queries, k) == right
        assert [hits for query in queries for hits in flat.search(query[None], k)] == right
    left = [at for at in range(3000) if at % 5]
    assert exact.search(queries, 10) == brute([keys[at] for at in left], matrix[left], queries, 10)


def test_what_has_become_mostly_empty_is_made_anew_and_answers_as_before() -> None:
    matrix = rows(40_000, width=2)
    keys = [key(n) for n in range(40_000)]
    exact, flat, table = ExactIndex(2), ApproximateIndex(2), Table(2)
    exact.add(keys, matrix)
    flat.add(keys, matrix)
    table.put(keys, matrix)
    for each in (exact, flat, table):
        each.remove(keys[:39_000])
        assert len(each) == 1_000
    right = brute(keys[39_000:], matrix[39_000:], matrix[:20], 5)
    assert exact.search(matrix[:20], 5) == flat.search(matrix[:20], 5) == right
    assert table.keys(table.all()) == sorted(keys[39_000:])
    assert np.array_equal(table.rows(table.find(keys[39_500:])), matrix[39_500:])
    assert table.find(keys[:2]).tolist() == [-1, -1]
    exact.add(keys[:1], matrix[39_001:39_002])
    assert [hit.key for hit in exact.search(matrix[39_001:39_002], 2)[0]] == sorted((keys[0], keys[39_001]))


def test_lists_find_nearly_all_and_stay_right_while_vectors_come_and_go() -> None:
    matrix = rows(6000)
    keys = [key(n) for n in range(6000)]
    exact, lists = ExactIndex(WIDTH), ApproximateIndex(WIDTH, flat_max=1000)
    for index in (exact, lists):
        for start in range(0, 6000, 1500):
            index.add(keys[start : start + 1500], matrix[start : start + 1500])
        index.remove(keys[1000:3000])
        index.add(keys[3000:3100], matrix[:100])
        index.remove(keys[4000:5900])
    assert lists.probes > 0
    assert len(exact) == len(lists) == 2100
    queries = np.concatenate([matrix[:100], matrix[3200:3300] + rows(100, seed=9) * np.float32(0.05)])
    right, found = exact.search(queries, 10), lists.search(queries, 10)
    shares = [len({hit.key for hit in a} & {hit.key for hit in b}) / 10 for a, b in zip(right, found, strict=True)]
    assert np.mean(shares) >= 0.98
    assert not {hit.key for hits in found for hit in hits} & {*keys[1000:3000], *keys[4000:5900]}
    assert all(len(hits) == 300 for hits in lists.search(queries[:3], 300))


def test_pgvector_finds_nearly_all_with_hnsw_and_remembers_how_far_it_has_come(pgvector_ledger: Ledger) -> None:
    matrix = rows(2000)
    keys = [key(n) for n in range(2000)]
    index = PgvectorIndex(pgvector_ledger, "of a tenant's: v4/1", WIDTH, hnsw_above=1000)
    assert index.number == 0
    halves = [Portion(4, [], keys[:1000], matrix[:1000]), Portion(5, [], keys[1000:], matrix[1000:])]
    assert index.reach(0, halves, afresh=True)
    again = PgvectorIndex(pgvector_ledger, "of a tenant's: v4/1", WIDTH, hnsw_above=1000)
    assert (again.number, len(again)) == (5, 2000)
    assert not again.reach(4, [Portion(6, keys, [], matrix[:0])], afresh=False)
    assert again.reach(5, [Portion(6, keys[:101], keys[100:101], matrix[:1])], afresh=False)
    assert (index.number, len(index)) == (6, 1900)
    queries = matrix[200:240] + rows(40, seed=9) * np.float32(0.05)
    right = brute(keys[101:], matrix[101:], queries, 10)
    found = index.search(queries, 10)
    shares = [len({hit.key for hit in a} & {hit.key for hit in b}) / 10 for a, b in zip(right, found, strict=True)]
    assert np.mean(shares) >= 0.95
    assert index.search(matrix[:1], 1)[0][0] == Hit(keys[100], 0.0)
    assert index.reach(6, [Portion(9, [], keys[:1], matrix[:1])], afresh=True)
    assert (again.number, len(again)) == (9, 1)


def test_a_database_without_the_extension_says_so(tmp_path: Any) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", Settings().database)
    with pytest.raises(Failure) as told:
        PgvectorIndex(ledger, "space", WIDTH)
    assert told.value.code == "PGVECTOR_MISSING"
    ledger.close()
