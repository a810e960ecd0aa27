"""A search is answered whatever breaks: real faiss beside brute force, with a clock in the test's hand."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from foundation import telemetry
from foundation.clock import Clock
from foundation.engine_settings import RecoverySettings
from foundation.errors import Failure
from foundation.telemetry import EngineDegraded, EngineRestored, Event, RecoveryTried, SearchDegraded
from tasks.vocabulary import EngineState
from tests.workers.index.engines import WIDTH, Brute, Flat, corrupt, narrower, vectors
from workers.index.contract import Floats32, Index, IndexFailure
from workers.index.failover import JITTER
from workers.index.health import Health
from workers.index.serving import Failover, index_for


@dataclass
class Bench:
    """One space of vectors, its snapshot, and the time."""

    path: Path
    now: float = 1_800_000_000.0
    rows: dict[str, Floats32] = field(default_factory=lambda: vectors([f"file{n:03}" for n in range(120)]))

    def __post_init__(self) -> None:
        dice = np.random.default_rng(3)
        self.health = Health(RecoverySettings(), Clock(now=lambda: self.now, dice=dice.random))
        self.queries = np.stack([row + 0.01 for row in self.rows.values()][:6])
        self.save()
        self.index = self.open()

    def save(self) -> None:
        Flat.of(self.rows).save(self.path)

    def open(self) -> Failover:
        return index_for(self.health, self.primary, lambda: Brute(self.rows))

    def primary(self) -> Index:
        importlib.import_module("faiss")
        return Flat.load(self.path, list(self.rows))

    def change(self, round: int) -> None:
        """One vector comes, one goes, one is written anew: in the truth and in what is served."""
        new, old, again = f"new{round:03}", sorted(self.rows)[round], sorted(self.rows)[-1 - round]
        added = vectors([new, again], seed=round)
        del self.rows[old]
        self.rows |= added
        self.index.remove([old, "unknown"])
        self.index.add(list(added), np.stack(list(added.values())))

    def check(self, degraded: bool) -> None:
        """The answer is right and says who gave it."""
        served, right = self.index.serve(self.queries, 10), Brute(self.rows).search(self.queries, 10)
        assert served.degraded is degraded
        for found, wanted in zip(served.hits, right, strict=True):
            assert [hit.key for hit in found] == [hit.key for hit in wanted]
            assert [hit.distance for hit in found] == pytest.approx([hit.distance for hit in wanted], rel=1e-4, abs=1e-4)

    def try_now(self) -> str:
        """The automatic try, at its time and no earlier; it lies where the backoff says."""
        due = self.health.standing.next_try_at
        assert due is not None
        self.now = due - 0.5
        assert self.health.begin(by_hand=False) is None, "a try before its time"
        self.now = due
        number = self.health.begin(by_hand=False)
        assert number is not None
        assert self.health.begin(by_hand=False) is None, "a second try beside the first"
        self.check(degraded=True)
        return self.health.carry_out(number)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "snapshot")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Event]]:
    events: list[Event] = []
    monkeypatch.setattr(telemetry, "_sinks", [events.append])
    return iter([events])


def break_in_memory(bench: Bench) -> None:
    """What serves has vectors of another width."""
    bench.check(degraded=False)
    narrower(bench.path, bench.rows)
    served = bench.index._primary
    assert isinstance(served, Flat)
    served.index = Flat.load(bench.path, list(bench.rows)).index


def test_fifty_cycles_of_what_can_break_are_answered_rightly_and_end_where_the_ledger_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, told: Iterator[list[Event]]
) -> None:
    events, tries = next(told), 0

    def corrupted() -> None:
        corrupt(bench.path)
        bench.index = bench.open()

    def another_width() -> None:
        narrower(bench.path, bench.rows)
        bench.index = bench.open()

    def fewer_vectors() -> None:
        Flat.of({key: bench.rows[key] for key in sorted(bench.rows)[:-1]}).save(bench.path)
        bench.index = bench.open()

    def no_faiss() -> None:
        monkeypatch.setitem(sys.modules, "faiss", None)
        bench.index = bench.open()

    ways: list[tuple[Callable[[], None], str]] = [
        (corrupted, "load"),
        (another_width, "dimension"),
        (fewer_vectors, "corruption"),
        (no_faiss, "import"),
        (lambda: break_in_memory(bench), "dimension"),
    ]
    faiss = sys.modules["faiss"]
    for cycle in range(50):
        injure, reason = ways[cycle % len(ways)]
        injure()
        bench.check(degraded=True)
        standing = bench.health.standing
        assert (standing.state, standing.reason) == (EngineState.DEGRADED, reason)
        bench.change(cycle)
        bench.check(degraded=True)
        for level in range(cycle % 4):  # still broken: longer and longer
            assert bench.try_now() == "failed"
            waited = (bench.health.standing.next_try_at or 0.0) - bench.now
            assert 600 * 2**level * (1 - JITTER) <= waited <= 600 * 2**level
            bench.check(degraded=True)
        monkeypatch.setitem(sys.modules, "faiss", faiss)
        bench.save()
        assert bench.try_now() == "recovered"
        bench.check(degraded=False)
        assert len(bench.index) == len(bench.rows)
        tries += cycle % 4 + 1
        bench.now += 301
    assert sum(isinstance(event, EngineDegraded) for event in events) == 50
    assert sum(isinstance(event, EngineRestored) for event in events) == 50
    results = [event.result for event in events if isinstance(event, RecoveryTried)]
    assert (len(results), results.count("recovered")) == (tries, 50)
    assert len(bench.health.standing.history) == 10


def test_what_changes_while_an_index_is_built_anew_is_in_it(bench: Bench) -> None:
    narrower(bench.path, bench.rows)
    bench.check(degraded=True)
    bench.save()
    old = list(bench.rows)
    load = bench.primary

    def slow() -> Index:
        made = Flat.load(bench.path, old)
        bench.change(1)
        return made

    bench.index._make_primary = slow
    assert bench.try_now() == "recovered"
    bench.check(degraded=False)
    bench.index._make_primary = load
    bench.change(2)
    bench.check(degraded=False)


def test_a_recovery_by_hand_overtakes_the_try_that_runs_and_a_second_one_is_refused(bench: Bench) -> None:
    corrupt(bench.path)
    bench.check(degraded=True)
    bench.now += 300
    first = bench.health.begin(by_hand=False)
    assert first is not None
    by_hand = bench.health.begin(by_hand=True)
    assert by_hand is not None
    assert bench.health.standing.state is EngineState.HELD
    with pytest.raises(Failure, match="FAISS_RECOVERY_CONFLICT"):
        bench.health.begin(by_hand=True)
    bench.now += 10_000
    assert bench.health.begin(by_hand=False) is None, "a try by itself beside one by hand"
    bench.save()
    assert bench.health.carry_out(first) == "overtaken"
    bench.check(degraded=True)
    assert bench.health.carry_out(by_hand) == "recovered"
    bench.check(degraded=False)
    assert bench.health.begin(by_hand=True) is None, "nothing is broken"


def test_one_broken_space_sends_all_of_the_process_to_exact_search_until_it_is_mended(bench: Bench) -> None:
    other = bench.open()
    assert not other.serve(bench.queries, 3).degraded
    narrower(bench.path, bench.rows)
    bench.index = bench.open()
    bench.check(degraded=True)
    assert other.serve(bench.queries, 3).degraded
    bench.save()
    assert bench.try_now() == "recovered"
    assert not other.serve(bench.queries, 3).degraded


def test_an_index_that_loads_but_answers_nonsense_is_not_taken_back(bench: Bench) -> None:
    narrower(bench.path, bench.rows)
    bench.check(degraded=True)
    Flat.of({key: -row for key, row in bench.rows.items()}).save(bench.path)
    assert bench.try_now() == "failed"
    assert bench.health.standing.reason == "corruption"
    bench.save()
    assert bench.try_now() == "recovered"


@pytest.mark.parametrize("wrong", ["fewer answers", "not a number", "out of order", "too many"])
def test_an_answer_that_cannot_be_one_is_given_by_the_exact_index(bench: Bench, wrong: str) -> None:
    class Liar(Flat):
        def search(self, queries: Floats32, k: int) -> list[list]:  # type: ignore[type-arg]
            hits = super().search(queries, k)
            if wrong == "fewer answers":
                return hits[1:]
            if wrong == "not a number":
                return [[hit._replace(distance=float("nan")) for hit in one] for one in hits]
            return [one[::-1] for one in hits] if wrong == "out of order" else super().search(queries, k + 1)

    bench.index = index_for(bench.health, lambda: Liar.of(bench.rows), lambda: Brute(bench.rows))
    bench.check(degraded=True)


def test_a_question_that_no_index_can_answer_is_not_held_against_the_engine(bench: Bench) -> None:
    with pytest.raises(ValueError, match="broadcast"):
        bench.index.serve(np.zeros((1, WIDTH - 1), dtype=np.float32), 3)
    assert bench.health.healthy
    bench.check(degraded=False)


def test_a_database_that_is_away_is_not_held_against_the_engine_and_ends_a_try_in_vain(bench: Bench) -> None:
    def away() -> Index:
        raise Failure("DATABASE_UNAVAILABLE")

    bench.index._make_primary = away
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"):
        bench.index.serve(bench.queries, 3)
    assert bench.health.healthy
    bench.index = bench.open()
    narrower(bench.path, bench.rows)
    bench.check(degraded=True)
    bench.index._make_primary = away
    assert bench.try_now() == "failed"
    bench.index._make_primary = bench.primary
    bench.save()
    assert bench.try_now() == "recovered"


def test_a_change_that_the_fast_index_cannot_take_degrades_it_and_is_in_the_exact_one(bench: Bench, told: Iterator[list[Event]]) -> None:
    events = next(told)

    class Frail(Flat):
        def add(self, keys: object, matrix: object) -> None:
            raise IndexFailure("load", "no room")

    bench.index = index_for(bench.health, lambda: Frail.of(bench.rows), lambda: Brute(bench.rows))
    bench.check(degraded=False)
    bench.change(0)
    bench.check(degraded=True)
    assert [event for event in events if isinstance(event, EngineDegraded)] == [EngineDegraded("load", False)]
    assert sum(event.queries for event in events if isinstance(event, SearchDegraded)) == len(bench.queries)


def test_searches_changes_and_tries_at_once_end_with_the_truth(bench: Bench) -> None:
    """Tries in one thread, searches and changes in another, failures in between: nobody waits for the other for good."""
    stop, tried = threading.Event(), []

    def tries() -> None:
        while not stop.is_set():
            bench.now += 4000
            number = bench.health.begin(by_hand=False)
            if number is not None:
                bench.save()
                tried.append(bench.health.carry_out(number))

    thread = threading.Thread(target=tries)
    thread.start()
    try:
        round, end = 0, time.monotonic() + 30
        while round < 60 or ("recovered" not in tried and time.monotonic() < end):  # the other thread must have had its turn
            if round % 3 == 0:
                served = bench.index._primary
                if isinstance(served, Flat):
                    served.index = None
            bench.index.serve(bench.queries[:2], 3)
            round += 1
            time.sleep(0.001)  # whoever takes a lock again at once lets nobody in
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert "recovered" in tried
    while not bench.health.healthy:
        bench.now += 4000
        number = bench.health.begin(by_hand=False)
        assert number is not None
        bench.health.carry_out(number)
    bench.check(degraded=False)
