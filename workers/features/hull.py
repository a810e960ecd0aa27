"""Convex hulls of points: in the plane by Andrew's monotone chain, in space by Qhull."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from workers.cad.shape import Arcs, Flags, Floats

# joggled by some 1e-11 of their extent: merging coplanar facets, of which machine parts are full, takes several times longer, and
# fails where all points lie in one plane. "Pp": no word about it on stderr
_QHULL = "QJ Pp"
# few directions leave few points, and more directions then leave hardly any
_FILTER_DIRECTIONS = (8, 64)
# corners of the polygon that stands for a full circle, and for any arc: even a slight bow has an area
_TURN_CORNERS, _LEAST_CORNERS = 256, 64


def hull_2d(points: Floats, arcs: Arcs | None = None) -> Floats:
    """Corners (h, 2) of the hull of points (n, 2) and circular arcs, counter-clockwise; two for points on a line, one for a
    single place. An arc is taken for a polygon of 256 corners a turn, which falls short of its perimeter by 3 parts in 10^5.
    """
    if arcs is not None and len(arcs.radii):
        points = np.concatenate([points, _outer_arcs(points, arcs).points(_TURN_CORNERS, _LEAST_CORNERS)])
    corners = np.unique(_outer(points), axis=0)
    if len(corners) < 3:
        return corners
    lower = _chain(corners.tolist())
    upper = _chain(corners[::-1].tolist())
    return np.array(lower[:-1] + upper[:-1])


def polygon_area(corners: Floats) -> float:
    """Enclosed area of a polygon (h, 2) in square units; 0.0 below three corners (shoelace formula)."""
    if len(corners) < 3:
        return 0.0
    x, y = (corners - corners[0]).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def polygon_perimeter(corners: Floats) -> float:
    """Length around a polygon (h, 2); twice the distance for two corners, 0.0 for one."""
    return float(np.hypot(*(np.roll(corners, -1, axis=0) - corners).T).sum()) if len(corners) > 1 else 0.0


def _outer_arcs(points: Floats, arcs: Arcs) -> Arcs:
    """Those of the arcs that can be on the hull, once each: what lies inside the polygon of the extremes of all cannot."""
    ring = _extremes(np.concatenate([points, arcs.points(4)]), 16)
    outer = arcs.some(np.flatnonzero(_beyond(arcs.centres, ring, arcs.radii)))
    every = np.column_stack([outer.centres, outer.radii, outer.starts, outer.sweeps])
    return outer.some(np.unique(every, axis=0, return_index=True)[1])


def _outer(points: Floats) -> Floats:
    """Without the points inside the polygons of extremes in some directions: most points, cheaply."""
    for count in _FILTER_DIRECTIONS:
        if len(points) >= 1000:
            ring = _extremes(points, count)
            points = np.concatenate([ring, points[_beyond(points, ring, 0.0)]])
    return points


def _extremes(points: Floats, directions: int) -> Floats:
    """The farthest of the points in evenly spaced directions, counter-clockwise."""
    angles = np.arange(directions) * (2 * np.pi / directions)
    x, y = np.ascontiguousarray(points.T)
    return points[[int(np.argmax(x * c + y * s)) for c, s in zip(np.cos(angles).tolist(), np.sin(angles).tolist(), strict=True)]]


def _beyond(centres: Floats, ring: Floats, radii: Floats | float) -> Flags:
    """Which discs reach out of the convex polygon."""
    outside = np.zeros(len(centres), dtype=bool)
    x, y = np.ascontiguousarray(centres.T)
    for (tx, ty), (hx, hy) in zip(ring.tolist(), np.roll(ring, -1, axis=0).tolist(), strict=True):
        if tx != hx or ty != hy:
            outside |= (hx - tx) * (y - ty) - (hy - ty) * (x - tx) < radii * np.hypot(hx - tx, hy - ty)
    return outside


def _chain(points: list[list[float]]) -> list[list[float]]:
    hull: list[list[float]] = []
    for point in points:
        while len(hull) > 1:
            (ax, ay), (bx, by) = hull[-2], hull[-1]
            if (bx - ax) * (point[1] - ay) - (by - ay) * (point[0] - ax) > 0:
                break
            hull.pop()
        hull.append(point)
    return hull


def hull_volume(points: Floats) -> float:
    """Volume of the hull of points (n, 3) in cubic units, within some 1e-10 of their extent cubed: that is what it is of points in a
    plane. 0.0 below four points. The same points in another order may differ by as much.

    Quickhull: C. B. Barber, D. P. Dobkin, H. Huhdanpaa, The Quickhull Algorithm for Convex Hulls (1996).
    """
    return float(ConvexHull(points, qhull_options=_QHULL).volume) if len(points) > 3 else 0.0
