"""How items become chunks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ledger.chunking import ChunkSize, cut

sizes = st.lists(st.integers(0, 5000), max_size=300)
limits = st.builds(ChunkSize, st.integers(1, 50), st.integers(1, 10_000), st.integers(1, 20))


@given(sizes, limits)
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
