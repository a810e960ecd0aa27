"""Measures of rankings, on rankings worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bench.quality.ranking import leave_one_out, measure, recall_at_one


def test_a_ranking_without_ties_is_measured_as_in_the_books() -> None:
    found = measure(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False]))
    assert found.nearest == 1
    assert found.first_tier == 0.5
    assert found.second_tier == 1
    assert found.precision == pytest.approx((1 + 2 / 3) / 2)
    assert found.ndcg == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))


def test_equal_distances_share() -> None:
    found = measure(np.array([1.0, 1.0, 1.0 + 1e-9]), np.array([False, True, False]))
    assert found.nearest == pytest.approx(1 / 3)
    assert found.first_tier == pytest.approx(1 / 3)
    assert found.second_tier == pytest.approx(2 / 3)
    assert found.precision == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert found.ndcg == pytest.approx((1 + 1 / np.log2(3) + 1 / 2) / 3)


def test_ties_count_as_the_mean_over_all_their_orders() -> None:
    distances, relevant = np.array([1.0, 2.0, 2.0, 2.0, 5.0]), np.array([True, True, False, True, True])
    orders = [np.array([1.0, *np.array(order) + 2.0, 9.0]) for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))]
    apart = [measure(order, relevant) for order in orders]
    tied = measure(distances, relevant)
    for name in ("nearest", "first_tier", "second_tier", "precision", "ndcg"):
        assert getattr(tied, name) == pytest.approx(np.mean([getattr(one, name) for one in apart])), name


def test_nobody_finds_itself_and_who_has_nothing_to_find_is_not_asked() -> None:
    distances = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]])
    relevant = np.array([[True, True, False], [True, True, False], [False, False, True]])
    hidden = np.zeros((3, 3), dtype=bool)
    assert leave_one_out(distances, relevant, hidden).queries == 2
    assert leave_one_out(distances, relevant, hidden).mean.nearest == 1
    hidden[0, 1] = True
    assert leave_one_out(distances, relevant, hidden).queries == 1


def test_recall_at_one_shares_the_first_place() -> None:
    distances = np.array([[0.0, 0.0, 1.0], [2.0, 1.0, 3.0]])
    assert recall_at_one(distances, np.array([[True, False, False], [False, True, False]])) == 0.75
