"""shape_entropy: the edge table and what must hold for every document."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.features.entropy import shape_entropy

FREQUENCIES = st.dictionaries(st.text(max_size=5), st.integers(0, 10**9), max_size=30)


@pytest.mark.parametrize(
    ("frequencies", "count", "low", "high"),
    [
        ({}, 0, 0.0, 0.0),
        ({"LINE": 7}, 7, 0.0, 0.0),
        ({"a": 5, "b": 5, "c": 5}, 15, 1 - 1e-12, 1.0),
        ({"a": 90, "b": 10}, 100, 0.0, 0.5),
        ({"a": 900, **{str(kind): 20 for kind in range(5)}}, 1000, 0.0, 0.5),
        ({str(kind): 4 + kind % 2 for kind in range(10)}, 45, 0.9, 1.0),
    ],
    ids=["empty", "one type", "equal types", "nine tenths of one type", "nine tenths of one type among six", "ten even types"],
)
def test_the_edge_table_holds(frequencies: dict[str, int], count: int, low: float, high: float) -> None:
    assert sum(frequencies.values()) == count
    assert low <= shape_entropy(frequencies) <= high


@given(st.integers(10, 10**6), st.integers(1, 6))
def test_a_type_that_holds_nine_tenths_leaves_less_than_half(scale: int, others: int) -> None:
    rest = {str(kind): scale for kind in range(others)}
    assert shape_entropy({"most": 9 * others * scale, **rest}) < 0.5


def test_an_empty_document_has_entropy_zero() -> None:
    assert shape_entropy({}) == 0.0
    assert shape_entropy({"LINE": 0}) == 0.0


def test_one_type_has_entropy_zero() -> None:
    assert shape_entropy({"LINE": 1000}) == 0.0
    assert shape_entropy({"LINE": 1000, "ARC": 0}) == 0.0


def test_two_equal_types_have_entropy_one() -> None:
    assert shape_entropy({"a": 50, "b": 50}) == 1.0


def test_the_formula_is_add_one_smoothing_over_types_that_occur() -> None:
    p, q = 91 / 102, 11 / 102
    assert shape_entropy({"a": 90, "b": 10}) == pytest.approx(-(p * math.log(p) + q * math.log(q)) / math.log(2), abs=1e-15)


def test_a_negative_frequency_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        shape_entropy({"a": -1})


@given(FREQUENCIES)
def test_entropy_is_between_zero_and_one(frequencies: dict[str, int]) -> None:
    assert 0.0 <= shape_entropy(frequencies) <= 1.0


@given(FREQUENCIES)
def test_names_and_order_do_not_matter(frequencies: dict[str, int]) -> None:
    renamed = {f"kind {at}": count for at, count in enumerate(reversed(frequencies.values()))}
    assert shape_entropy(renamed) == shape_entropy(frequencies)


@given(st.integers(2, 40), st.integers(1, 10**6))
def test_equal_frequencies_have_entropy_one(kinds: int, count: int) -> None:
    assert shape_entropy({str(kind): count for kind in range(kinds)}) == pytest.approx(1.0, abs=1e-12)
