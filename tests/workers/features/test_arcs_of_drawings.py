"""Circular arcs in closed form: the values of known curves, and the same whatever pieces a curve is written in."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from msgspec.structs import replace

from tasks.vocabulary import FLAT_SLOTS, FeatureVersion
from workers.cad.dxf.strokes import Strokes, flattened
from workers.cad.shape import Arcs, Paths
from workers.features.arcs import complex_points
from workers.features.flat import FlatStudy
from workers.features.hull import hull_2d, polygon_area, polygon_perimeter
from workers.features.vector import features


def arcs_of(rows: list[tuple[float, float, float, float, float]], mirrored: bool = False) -> Paths:
    """Centre x, y, radius, start and sweep."""
    table = np.array(rows)
    flip = -1.0 if mirrored else 1.0
    arcs = np.zeros((len(rows), 3, 3))
    arcs[:, 0, 0], arcs[:, 0, 1], arcs[:, 1, 0], arcs[:, 2, 1] = table[:, 0], flip * table[:, 1], table[:, 2], flip * table[:, 2]
    strokes = replace(Strokes.none(), arcs=arcs, spans=table[:, 3:], arc_path=np.arange(len(rows)), paths=len(rows))
    return flattened(strokes, 1.0, {"ARC": len(rows)})


def chain_of(x: float, y: float, r: float, start: float, sweep: float) -> Paths:
    angles = np.linspace(start, start + sweep, 20_001)
    points = np.column_stack([x + r * np.cos(angles), y + r * np.sin(angles), np.zeros(len(angles))])
    lines = np.stack([points[:-1], points[1:]], axis=1)
    n = len(lines)
    inner = np.ones((n, 2), bool)
    inner[0, 0] = inner[-1, 1] = False
    straight = replace(Strokes.none(), lines=lines, curved=np.ones(n, bool), inner=inner, line_path=np.zeros(n, np.int64), paths=1)
    return flattened(straight, 1.0, {"ARC": 1})


def slots_of(paths: Paths) -> dict[str, float]:
    return dict(zip(FLAT_SLOTS, features(FlatStudy(paths, {"ARC": 1}), FeatureVersion.V4).vector, strict=True))


def test_a_circle_has_the_values_of_a_circle() -> None:
    slots = slots_of(arcs_of([(7, -3, 2.5, 0.3, 2 * math.pi)]))
    assert slots["log_length"] == pytest.approx(math.log(5 * math.pi))
    assert slots["log_rms_ratio"] == pytest.approx(-math.log(2 * math.pi))
    assert (slots["log_radius_ratio"], slots["direction_2"]) == pytest.approx((0, 0), abs=1e-6)
    assert (slots["gyr_2"], slots["fourth_moment"], slots["mean_radius_ratio"]) == pytest.approx((1, 1, 1))
    assert slots["hull_area_ratio"] == pytest.approx(math.sqrt(math.pi), rel=1e-4)
    assert slots["log_hull_perimeter_ratio"] == pytest.approx(0, abs=1e-4)
    assert all(slots[f"turning_{at}"] == 0 for at in range(1, 7))


@pytest.mark.parametrize("sweep", [1e-5, 1e-2, 0.4, 2.0, 5.0])
def test_an_arc_has_the_moments_of_the_many_pieces_it_stands_for(sweep: float) -> None:
    row = (3.0, 40.0, 10.0, 1.1, sweep)
    exact, fine = slots_of(arcs_of([row])), slots_of(chain_of(*row))
    for name in FLAT_SLOTS[:9]:
        assert exact[name] == pytest.approx(fine[name], abs=2e-4 if name.startswith(("hull", "log_hull")) else 2e-6), name


@pytest.mark.parametrize("cuts", [(1.0,), (0.1, 2.2, 4.4)])
def test_a_circle_written_as_arcs_is_the_same_circle(cuts: tuple[float, ...]) -> None:
    whole = arcs_of([(5, 6, 3, 0.0, 2 * math.pi), (9, 1, 1, 0.0, 2 * math.pi)])
    ends = [0.4, *(0.4 + cut for cut in cuts), 0.4 + 2 * math.pi]
    parts = arcs_of([(5, 6, 3, a, b - a) for a, b in itertools.pairwise(ends)] + [(9, 1, 1, 0.0, 2 * math.pi)])
    one, two = slots_of(whole), slots_of(parts)
    same = [name for name in FLAT_SLOTS if name != "path_count"]
    assert [one[name] for name in same] == pytest.approx([two[name] for name in same], abs=5e-5)


def test_a_mirrored_arc_is_the_mirror_image() -> None:
    rows = [(0, 0, 2, 0.2, 1.3), (4, 1, 1, 3.0, 2.5)]
    straight, mirrored = arcs_of(rows), arcs_of(rows, mirrored=True)
    assert mirrored.arcs.points(32).sum(axis=0) == pytest.approx(straight.arcs.points(32).sum(axis=0) * [1, -1])
    one, other = (features(FlatStudy(paths, {}), FeatureVersion.V3).vector for paths in (straight, mirrored))
    assert one == pytest.approx(other, abs=1e-6)


def test_a_corner_between_a_line_and_an_arc_turns_by_the_angle_of_their_tangents() -> None:
    arc = arcs_of([(0, 0, 5, 0.0, math.pi / 2)])
    for angle, slot in ((0.0, None), (0.5, 2), (0.8, 3), (1.5, 5)):
        # from the end of the arc at (0, 5), which runs to the left there
        ends = np.array([[[0.0, 5.0]], [[-3 * math.cos(angle), 5 - 3 * math.sin(angle)]]])
        both = replace(arc, ends=ends, lengths=np.array([3.0]), curved=np.zeros(1, bool), inner=np.zeros((1, 2), bool))
        counts = FlatStudy(both, {}).turnings.tolist()
        assert counts == [int(at == slot) for at in range(1, 7)]


def test_arcs_left_out_of_the_hull_are_not_on_it() -> None:
    random = np.random.default_rng(3)
    arcs = Arcs(random.normal(size=(300, 2)), random.random(300), 7 * random.random(300), 0.1 + 6 * random.random(300))
    points = complex_points(random.normal(size=(50, 2)))
    found, every = hull_2d(points, arcs), hull_2d(np.concatenate([points, complex_points(arcs.points(256, 64))]))
    assert polygon_area(found) == pytest.approx(polygon_area(every), rel=1e-12)
    assert polygon_perimeter(found) == pytest.approx(polygon_perimeter(every), rel=1e-12)
