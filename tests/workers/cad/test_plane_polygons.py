"""Plane faces into triangles: whatever the border, all of the inside once and nothing else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from workers.cad.analytic.ears import clipped
from workers.cad.analytic.sweep import swept
from workers.cad.shape import Floats, Integers

Ring = list[tuple[float, float]]


def comb(teeth: int) -> Ring:
    """Teeth of one height, as the pins of a connector are: many corners on one line."""
    top = [(2 * at + x, y) for at in range(teeth) for x, y in ((0.5, 5.0), (0.5, 1.0), (1.5, 1.0), (1.5, 5.0))]
    return [(0.0, 0.0), (2.0 * teeth, 0.0), (2.0 * teeth, 5.0), *reversed(top), (0.0, 5.0)]


def star(points: int) -> Ring:
    angles = [math.pi * at / points for at in range(2 * points)]
    return [((3 + 4 * (at % 2)) * math.cos(angle), (3 + 4 * (at % 2)) * math.sin(angle)) for at, angle in enumerate(angles)]


def hole(x: float, y: float, radius: float, corners: int) -> Ring:
    """Clockwise: its inside is to the right."""
    return [(x + radius * math.cos(-math.tau * at / corners), y + radius * math.sin(-math.tau * at / corners)) for at in range(corners)]


def sides(*corners: tuple[float, float], pieces: int) -> Ring:
    """A polygon with more corners along its straight sides."""
    ahead = [*corners[1:], corners[0]]
    return [
        (a + (c - a) * at / pieces, b + (d - b) * at / pieces)
        for (a, b), (c, d) in zip(corners, ahead, strict=True)
        for at in range(pieces)
    ]


PLATE = sides((0, 0), (20, 0), (20, 10), (0, 10), pieces=4)


@pytest.mark.parametrize(
    "rings",
    [
        [PLATE],
        [comb(12)],
        [star(9)],
        [PLATE, *(hole(2.0 + 4 * at, 5.0, 1.5, 16) for at in range(5))],
        [PLATE, *(hole(x + 2.0, y + 2.5, 0.9, 7) for x in range(0, 18, 3) for y in (0, 5))],
        [hole(0, 0, 9.0, 40)[::-1], hole(0, 0, 4.0, 23)],
    ],
    ids=["plate", "comb", "star", "row of holes", "grid of holes", "washer"],
)
@pytest.mark.parametrize("turn", [0.0, 0.577, math.pi / 2, 2.0, math.pi])
def test_triangles_fill_the_polygon(rings: list[Ring], turn: float) -> None:
    corners = np.concatenate([np.array(ring) for ring in rings])
    way = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    x, y = (corners @ way).T
    found = swept(x, y, [len(ring) for ring in rings])
    assert found is not None
    assert_filled(rings, np.array(found), x, y)


def assert_filled(rings: list[Ring], found: Integers, x: Floats, y: Floats) -> None:
    """Triangles (m, 3) over the corners x, y (n,) of the rings."""
    assert len(found) == len(x) + 2 * (len(rings) - 1) - 2
    a, b, c = found.T
    areas = ((x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])) / 2
    assert areas.min() > 0
    whole = sum(p * s - r * q for ring in rings for (p, q), (r, s) in zip(ring, [*ring[1:], ring[0]], strict=True)) / 2
    assert areas.sum() == pytest.approx(whole, rel=1e-12)
    # each side of a triangle is one of the border, once, or has a triangle on its other side
    halves = {(one, two) for t in found.tolist() for one, two in zip(t, (*t[1:], t[0]), strict=True)}
    assert len(halves) == 3 * len(found)
    assert len({(one, two) for one, two in halves if (two, one) not in halves}) == len(x)


@pytest.mark.parametrize(
    "rings",
    [
        [[(0, 0), (4, 4), (4, 0), (0, 4)]],
        [PLATE, hole(20.0, 5.0, 2.0, 8)],
        [PLATE, hole(40.0, 5.0, 2.0, 8)],
        [PLATE, hole(5.0, 5.0, 3.0, 8), hole(7.0, 5.0, 3.0, 8)],
        [PLATE[::-1]],
    ],
    ids=["crossed", "hole across the border", "hole outside", "holes that overlap", "inside out"],
)
def test_borders_that_meet_have_no_triangles(rings: list[Ring]) -> None:
    x, y = np.concatenate([np.array(ring, dtype=np.float64) for ring in rings]).T
    assert swept(x, y, [len(ring) for ring in rings]) is None


def clip(*polygons: list[Ring]) -> tuple[Integers, Integers, list[bool], Floats, Floats]:
    """Triangles (3, m) of some polygons that are clipped together, the polygon of each, which are filled, and the corners."""
    rings = [ring for polygon in polygons for ring in polygon]
    x, y = np.concatenate([np.array(ring, dtype=np.float64) for ring in rings]).T.copy()
    firsts = np.cumsum([0, *map(len, rings)])
    following = np.arange(1, len(x) + 1)
    following[firsts[1:] - 1] = firsts[:-1]
    loops = np.cumsum([0, *map(len, polygons)])
    triangles, owner, good = clipped(x, y, following, firsts, loops, np.arange(len(polygons)))
    return triangles, owner, good.tolist(), x, y


FRAME = [sides((0, 0), (20, 0), (20, 10), (0, 10), pieces=1), *(hole(2.0 + 4 * at, 5.0, 1.5, 16) for at in range(5))]


def test_ears_fill_each_of_several_polygons() -> None:
    washer = [hole(0, 0, 9.0, 40)[::-1], hole(0, 0, 4.0, 23)]
    polygons = [[star(9)], FRAME, [PLATE], [comb(12)], washer, [[(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)]]]
    triangles, owner, good, x, y = clip(*polygons)
    assert good == [True] * len(polygons)
    begin = np.cumsum([0, *(sum(map(len, polygon)) for polygon in polygons)])
    for number, rings in enumerate(polygons):
        corners = slice(begin[number], begin[number + 1])
        assert_filled(rings, triangles.T[owner == number] - begin[number], x[corners], y[corners])


@pytest.mark.parametrize(
    "rings",
    [
        [[(0, 0), (4, 4), (4, 0), (0, 4)]],
        [FRAME[0], hole(20.0, 5.0, 2.0, 8)],
        [FRAME[0], hole(40.0, 5.0, 2.0, 8)],
        [FRAME[0], hole(5.0, 5.0, 3.0, 8), hole(7.0, 5.0, 3.0, 8)],
        [FRAME[0][::-1]],
    ],
    ids=["crossed", "hole across the border", "hole outside", "holes that overlap", "inside out"],
)
def test_what_ears_do_not_fill_is_told(rings: list[Ring]) -> None:
    _, _, good, _, _ = clip([star(9)], rings, FRAME)
    assert good == [True, False, True]


def test_ears_are_not_cut_off_for_ever() -> None:
    # clipped all the same it would take minutes
    there = [(float(at), 1e6 * (at % 2)) for at in range(10_000)]
    back = [(x, y + 1.0) for x, y in reversed(there)]
    _, _, good, _, _ = clip([there + back], FRAME)
    assert good == [False, False]
