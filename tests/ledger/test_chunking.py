"""How items become chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.chunking import ChunkSize, Pace, cut

sizes = st.lists(st.integers(0, 5000), max_size=300)
limits = st.builds(ChunkSize, st.integers(1, 50), st.integers(1, 10_000), st.integers(1, 20))
paces = st.builds(Pace, st.floats(0.01, 20), st.floats(0.001, 2), st.integers(1, 100))
paced = st.builds(ChunkSize, st.integers(1, 50), st.integers(1, 10_000), st.integers(1, 20), paces)


@given(sizes, limits | paced)
def test_every_item_is_in_exactly_one_chunk_in_order_and_none_is_empty(weights: list[int], size: ChunkSize) -> None:
    runs = cut(weights, size)
    assert [index for run in runs for index in run] == list(range(len(weights)))
    assert all(len(run) > 0 for run in runs)


@given(sizes, limits)
def test_a_chunk_is_never_over_its_limits_unless_it_is_one_item(weights: list[int], size: ChunkSize) -> None:
    for run in cut(weights, size):
        assert len(run) <= size.items
        assert len(run) == 1 or sum(weights[index] for index in run) <= size.bytes


def test_a_small_job_still_spreads_over_the_workers() -> None:
    assert len(cut([1] * 16, ChunkSize(100, 10**9, 8))) == 8
    assert len(cut([1] * 10_000, ChunkSize(100, 10**9, 8))) == 100
    assert cut([], ChunkSize(100, 10**9, 8)) == []


@given(sizes, paced)
def test_a_chunk_with_a_pace_takes_no_longer_than_it_shall_unless_it_is_one_item(weights: list[int], size: ChunkSize) -> None:
    assert size.pace is not None
    for run in cut(weights, size):
        assert len(run) <= size.pace.items
        assert len(run) == 1 or size.share(len(run), sum(weights[index] for index in run)) <= size.pace.most


def test_chunks_of_a_known_pace_are_large_first_and_small_at_the_end() -> None:
    size = ChunkSize(100, 10**9, 8, Pace(most=10, least=1, items=2000))  # ten full chunks are a second: items of a millisecond
    lengths = [len(run) for run in cut([1] * 100_000, size)]
    assert lengths[:90] == [1000] * 90
    assert lengths == sorted(lengths, reverse=True)
    assert all(length >= 100 for length in lengths[:-1]), "no chunk takes less than a tenth of a second, but for the rest"
    assert [len(run) for run in cut([1] * 100, size)] == [100], "what takes a tenth of a second is not cut"
