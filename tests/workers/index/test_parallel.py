"""Batches in parallel: the saving is measured, told, and not believed where there is none."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from foundation import telemetry
from foundation.telemetry import BatchSearched, Event
from workers.index.parallel import Parallel


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[BatchSearched]:
    heard: list[BatchSearched] = []

    def hear(event: Event) -> None:
        assert isinstance(event, BatchSearched)
        heard.append(event)

    monkeypatch.setattr(telemetry, "_sinks", [hear])
    return heard


class Bench:
    """Work whose time is counted by hand: `each` seconds a query serially, and so much of that when run by threads."""

    def __init__(self, each: float, share: float) -> None:
        self.now, self.each, self.share = 0.0, each, share
        self.asked: list[int] = []

    def work(self, queries: Sequence[int]) -> list[int]:
        self.asked += queries
        threaded = len(self.asked) > 8 + 25  # what comes after the first ones and the measured slice
        self.now += len(queries) * self.each * (self.share if threaded else 1.0)
        return [query * query for query in queries]


@pytest.mark.parametrize(("share", "saved"), [(0.5, 8.35), (1.0, 0.0), (1.5, -8.35)])
def test_the_saving_is_the_serial_cost_of_the_rest_less_what_it_took(told: list[BatchSearched], share: float, saved: float) -> None:
    bench = Bench(0.1, share)
    parallel = Parallel(50, 4, tick=lambda: bench.now, processors=lambda: 1 + 1)
    assert parallel.search(range(200), bench.work) == [n * n for n in range(200)]
    assert sorted(bench.asked) == list(range(200))  # every one once, the measured ones too
    assert [(event.queries, event.way) for event in told] == [(200, "parallel")]
    assert told[0].saved == pytest.approx(saved)


def test_what_does_not_pay_is_left_for_a_while_and_then_tried_again(told: list[BatchSearched]) -> None:
    bench = Bench(0.1, 2.0)
    parallel = Parallel(50, 4, tick=lambda: bench.now, processors=lambda: 2)
    for _ in range(22):
        bench.asked.clear()
        parallel.search(range(200), bench.work, kind="small")
    assert [event.way for event in told] == ["parallel", *["does not pay"] * 20, "parallel"]
    bench.asked.clear()
    parallel.search(range(200), bench.work, kind="large")
    assert told[-1].way == "parallel"


@pytest.mark.parametrize(
    ("count", "workers", "processors", "way"),
    [(50, 4, 2, "small batch"), (200, 4, 1, "one processor"), (200, 1, 2, "one worker"), (51, 4, 2, "parallel")],
)
def test_small_batches_and_single_processors_are_served_serially_and_that_is_told(
    told: list[BatchSearched], count: int, workers: int, processors: int, way: str
) -> None:
    parallel = Parallel(50, workers, processors=lambda: processors)
    assert parallel.search(range(count), lambda queries: [-query for query in queries]) == [-n for n in range(count)]
    assert [event.way for event in told] == [way]


def test_a_failure_of_one_thread_is_the_failure_of_the_batch() -> None:
    def fails(queries: Sequence[int]) -> list[int]:
        if 150 in queries:
            raise RuntimeError("the last one")
        return list(queries)

    with pytest.raises(RuntimeError, match="the last one"):
        Parallel(50, 2, processors=lambda: 2).search(range(151), fails)
