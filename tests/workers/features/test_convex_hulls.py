"""Hulls: right on known bodies, unharmed by degenerate ones, the same in every pose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.features.arcs import complex_points
from workers.features.hull import hull_2d, hull_volume, polygon_area, polygon_perimeter

GRID_POINTS = st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=4, max_size=60, unique=True)


def turned(points: np.ndarray, seed: int) -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return points @ rotation.T + 100 * np.random.default_rng(seed).normal(size=3)


def cube(steps: int) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, steps)] * 3), axis=-1).reshape(-1, 3)
    return np.asarray(grid)


@pytest.mark.parametrize("steps", [2, 3, 9])
def test_a_cube_full_of_coplanar_and_collinear_points_has_its_volume_in_every_pose(steps: int) -> None:
    assert hull_volume(cube(steps)) == pytest.approx(1, abs=1e-9)
    for seed in range(3):
        assert hull_volume(turned(cube(steps), seed)) == pytest.approx(1, abs=1e-6)


def test_flat_straight_and_single_points_have_next_to_no_volume() -> None:
    flat = cube(4) * [1, 1, 0]
    for points in (flat, turned(flat, 1) / 100, cube(4) * [1, 0, 0], cube(4) * 0, cube(2)[:3], cube(2)[:1]):
        assert 0 <= hull_volume(points) < 1e-9


def test_a_round_body_keeps_its_volume_when_turned() -> None:
    points = np.random.default_rng(1).normal(size=(2000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    assert hull_volume(turned(points, 5)) == pytest.approx(hull_volume(points), rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(GRID_POINTS, st.permutations(range(12)))
def test_points_within_a_hull_and_their_order_do_not_change_it(raw: list[tuple[int, int, int]], order: list[int]) -> None:
    points = np.array(raw, dtype=np.float64)
    more = np.concatenate([points, (points + points[::-1]) / 2, points.mean(axis=0, keepdims=True)])
    mixed = more[np.argsort(np.resize(order, len(more)), kind="stable")]
    assert hull_volume(mixed) == pytest.approx(hull_volume(points), rel=1e-9, abs=1e-7)


@settings(max_examples=100, deadline=None)
@given(GRID_POINTS)
def test_a_prism_has_the_area_of_its_base_times_its_height(raw: list[tuple[int, int, int]]) -> None:
    base = np.array(raw, dtype=np.float64) * [1, 1, 0]
    prism = np.concatenate([base, base + np.array([0, 0, 2])])
    assert hull_volume(prism) == pytest.approx(2 * polygon_area(hull_2d(complex_points(base[:, :2]))), abs=1e-7)


def test_the_hull_of_a_filled_square_is_the_square() -> None:
    square = np.stack(np.meshgrid(np.linspace(0, 2, 50), np.linspace(0, 2, 50)), axis=-1).reshape(-1, 2)
    hull = hull_2d(complex_points(square))
    assert len(hull) == 4
    assert polygon_area(hull) == pytest.approx(4)
    assert polygon_perimeter(hull) == pytest.approx(8)


def test_a_straight_line_has_no_area_and_twice_its_length_around() -> None:
    hull = hull_2d(np.array([0j, 1 + 1j, 3 + 3j]))
    assert polygon_area(hull) == pytest.approx(0)
    assert polygon_perimeter(hull) == pytest.approx(2 * np.hypot(3, 3))
    assert polygon_perimeter(hull_2d(np.zeros(3, dtype=np.complex128))) == 0.0
