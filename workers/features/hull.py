"""Convex hulls of points: in the plane by Andrew's monotone chains, all points at once, in space by Qhull."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.spatial import ConvexHull

from workers.cad.shape import Arcs, Flags, Floats
from workers.features.arcs import Points, complex_points, plain_points

# joggled by some 1e-11 of their extent: merging coplanar facets, of which machine parts are full, takes several times longer, and
# fails where all points lie in one plane. "Pp": no word about it on stderr
_QHULL = "QJ Pp"
# few directions leave few points, and more directions then leave hardly any: directions, and the points that are worth it
_FILTERS = ((16, 100), (64, 300))
# points that are compared with all directions or sides in one go: few enough for the caches of a processor
_BLOCK = 1 << 14
# rounds in which many points leave the hull at once, before the rest is done point by point, as so few are from the beginning
_ROUNDS, _FEW = 2, 100
# to find out which of so few arcs are needed takes longer than to take them all
_FEW_ARCS = 4
_FIRST = np.ones(1, dtype=bool)
_NOWHERE = [math.nan, math.nan]
# corners of the polygon that stands for a full circle, and for any arc: even a slight bow has an area
_TURN_CORNERS, _LEAST_CORNERS = 256, 64


def hull_2d(points: Points, arcs: Arcs | None = None) -> Points:
    """Corners (h,) of the hull of points (n,) and circular arcs, counter-clockwise; two for points on a line, even if
    that has no length. An arc is taken for a polygon of 256 corners a turn, which falls short of its perimeter by 3 parts in 10^5.
    """
    if arcs is not None and len(arcs.radii):
        points = np.concatenate([points, complex_points(_outer_arcs(points, arcs).points(_TURN_CORNERS, _LEAST_CORNERS))])
    # complex numbers are sorted by their real parts first
    ranked = np.sort(_outer(points))
    if len(ranked) > _FEW:
        ranked = ranked[_new(ranked[1:] != ranked[:-1])]
    if len(ranked) > _FEW:
        return _around(ranked)
    if len(ranked) < 2:
        return ranked
    # what is there twice is no corner on the way either
    few = plain_points(ranked).tolist()
    return complex_points(np.array(_chain(few)[:-1] + _chain(few[::-1])[:-1]))


def polygon_area(corners: Points) -> float:
    """Enclosed area of a polygon (h,) in square units; 0.0 below three corners (shoelace formula)."""
    if len(corners) < 3:
        return 0.0
    ring = corners - corners[0]
    return float(abs((ring.conj() * _next(ring)).imag.sum()) / 2)


def polygon_perimeter(corners: Points) -> float:
    """Length around a polygon (h,); twice the distance for two corners."""
    return float(np.abs(_next(corners) - corners).sum())


def _next(ring: Points) -> Points:
    return np.concatenate([ring[1:], ring[:1]])


def _new(other: Flags) -> Flags:
    """Which of some sorted things are not as the one before, by whether each differs from it."""
    return np.concatenate([_FIRST, other])


def _outer_arcs(points: Points, arcs: Arcs) -> Arcs:
    """Those of the arcs that can be on the hull, once each: what lies inside the polygon of the extremes of all cannot."""
    if len(arcs.radii) < _FEW_ARCS:
        return arcs
    ring = _extremes(np.concatenate([points, complex_points(arcs.points(4))]), 16)
    outer = arcs.some(_beyond(complex_points(arcs.centres), ring, arcs.radii).nonzero()[0])
    every = np.concatenate([outer.centres.T, [outer.radii, outer.starts, outer.sweeps]])
    order = np.lexsort(every)
    ranked = every[:, order]
    return outer.some(order[_new((ranked[:, 1:] != ranked[:, :-1]).any(axis=0))[: len(order)]])


def _outer(points: Points) -> Points:
    """Without the points inside the polygons of extremes in some directions: most points, cheaply."""
    for count, least in _FILTERS:
        if len(points) >= least:
            ring = _extremes(points, count)
            points = np.concatenate([ring, points[_beyond(points, ring, None)]])
    return points


def _extremes(points: Points, directions: int) -> Points:
    """The farthest of the points in evenly spaced directions, counter-clockwise; each once."""
    if len(points) > _BLOCK:
        points = np.concatenate([_extremes(points[at : at + _BLOCK], directions) for at in range(0, len(points), _BLOCK)])
    farthest = (_directions(directions) @ plain_points(points).T).argmax(axis=1)
    return points[list(dict.fromkeys(farthest.tolist()))]


@cache
def _directions(count: int) -> Floats:
    return plain_points(np.exp(np.arange(count) * (2j * np.pi / count)))


def _beyond(centres: Points, ring: Points, radii: Floats | None) -> Flags:
    """Which discs, or points, reach out of the convex polygon."""
    sides = _next(ring) - ring
    # to the left of a side is inside
    across, borders = plain_points(1j * sides), (ring.imag * sides.real - ring.real * sides.imag)[:, None]
    lengths = np.abs(sides)[:, None]
    beyond = np.empty(len(centres), dtype=bool)
    for at in range(0, len(centres), _BLOCK):
        some = slice(at, at + _BLOCK)
        inwards = across @ plain_points(centres[some]).T
        inwards -= borders if radii is None else borders + radii[some] * lengths
        beyond[some] = (inwards < 0).any(axis=0)
    return beyond


def _around(corners: Points) -> Points:
    """The hull of sorted points: those below the line from the first to the last one, then those above it backwards."""
    side = ((corners - corners[0]) * (corners[-1] - corners[0]).conj()).imag
    side[0], side[-1] = -1.0, 0.0
    below = side < 0
    lower = corners[below]
    ring, split = np.concatenate([lower, corners[~below][::-1]]), len(lower)  # where the last of all points stands
    for _ in range(_ROUNDS):
        # a point on or within the line between its neighbours is no corner, whichever of these are
        ahead = _next(ring) - ring
        kept = (ahead[:-1].conj() * ahead[1:]).imag > 0  # of all but the first
        kept[split - 1] = True
        if kept.all():
            return ring
        split = int(np.count_nonzero(kept[: split - 1])) + 1
        ring = ring[_new(kept)]
    points = plain_points(ring).tolist()
    return complex_points(np.array(_chain(points[: split + 1])[:-1] + _chain([*points[split:], points[0]])[:-1]))


def _chain(points: list[list[float]]) -> list[list[float]]:
    """The lower hull of sorted points: those at which it turns to the left."""
    # below the first point there is a place from which every turn, compared with NaN, is none to the right
    hull = [_NOWHERE, points[0]]
    (x0, y0), (x1, y1) = hull
    for point in points[1:]:
        x, y = point
        while (x1 - x0) * (y - y0) <= (y1 - y0) * (x - x0):
            hull.pop()
            x1, y1 = x0, y0
            x0, y0 = hull[-2]
        hull.append(point)
        x0, y0, x1, y1 = x1, y1, x, y
    return hull[1:]


def hull_volume(points: Floats) -> float:
    """Volume of the hull of points (n, 3) in cubic units, within some 1e-10 of their extent cubed: that is what it is of points in a
    plane. 0.0 below four points. The same points in another order may differ by as much.

    Quickhull: C. B. Barber, D. P. Dobkin, H. Huhdanpaa, The Quickhull Algorithm for Convex Hulls (1996).
    """
    return float(ConvexHull(points, qhull_options=_QHULL).volume) if len(points) > 3 else 0.0
