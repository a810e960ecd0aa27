"""Hulls: exact on known bodies, unharmed by degenerate ones, the same in every pose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.features.hull import _Quickhull, _simplex, hull_2d, hull_volume, polygon_area, polygon_perimeter

GRID_POINTS = st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=4, max_size=60, unique=True)


def turned(points: np.ndarray, seed: int) -> np.ndarray:
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return points @ rotation.T + 100 * np.random.default_rng(seed).normal(size=3)


def cube(steps: int) -> np.ndarray:
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, steps)] * 3), axis=-1).reshape(-1, 3)
    return np.asarray(grid)


@pytest.mark.parametrize("steps", [2, 3, 9])
def test_a_cube_full_of_coplanar_and_collinear_points_has_its_volume_in_every_pose(steps: int) -> None:
    assert hull_volume(cube(steps)) == pytest.approx(1, abs=1e-12)
    for seed in range(3):
        assert hull_volume(turned(cube(steps), seed)) == pytest.approx(1, abs=1e-6)


def test_flat_straight_and_single_points_have_no_volume() -> None:
    flat = cube(4) * [1, 1, 0]
    for points in (flat, cube(4) * [1, 0, 0], cube(4) * 0, cube(2)[:3]):
        assert hull_volume(points) == 0.0


def test_a_round_body_keeps_its_volume_when_turned() -> None:
    points = np.random.default_rng(1).normal(size=(2000, 3))
    points /= np.linalg.norm(points, axis=1)[:, None]
    assert hull_volume(turned(points, 5)) == pytest.approx(hull_volume(points), rel=1e-6)


@settings(max_examples=150, deadline=None)
@given(GRID_POINTS)
def test_every_point_is_inside_a_closed_hull(raw: list[tuple[int, int, int]]) -> None:
    points = np.array(raw, dtype=np.int64)
    start = _simplex(points)
    if start is None:
        return
    facets = _Quickhull(points, start).run()
    a, b, c = np.moveaxis(points[facets], 1, 0)
    heights = np.einsum("fi,fpi->fp", np.cross(b - a, c - a), points[None] - a[:, None])
    assert heights.max() <= 0
    edges = {(int(x), int(y)) for x, y, z in facets for x, y in ((x, y), (y, z), (z, x))}
    assert len(edges) == 3 * len(facets)
    assert all((head, tail) in edges for tail, head in edges)


def test_the_hull_of_a_filled_square_is_the_square() -> None:
    square = np.stack(np.meshgrid(np.linspace(0, 2, 50), np.linspace(0, 2, 50)), axis=-1).reshape(-1, 2)
    hull = hull_2d(square)
    assert len(hull) == 4
    assert polygon_area(hull) == pytest.approx(4)
    assert polygon_perimeter(hull) == pytest.approx(8)


def test_a_straight_line_has_no_area_and_twice_its_length_around() -> None:
    hull = hull_2d(np.array([[0.0, 0], [1, 1], [3, 3]]))
    assert polygon_area(hull) == pytest.approx(0)
    assert polygon_perimeter(hull) == pytest.approx(2 * np.hypot(3, 3))
    assert polygon_perimeter(hull_2d(np.zeros((3, 2)))) == 0.0
