"""Convex hulls of points: in the plane by Andrew's monotone chain, in space by Qhull."""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull

from workers.cad.shape import Floats

# joggled by some 1e-11 of their extent: merging coplanar facets, of which machine parts are full, takes several times longer, and
# fails where all points lie in one plane. "Pp": no word about it on stderr
_QHULL = "QJ Pp"
# few directions leave few points, and more directions then leave hardly any
_FILTER_DIRECTIONS = (8, 64)


def hull_2d(points: Floats) -> Floats:
    """Corners (h, 2) of the hull of points (n, 2), counter-clockwise; two for points on a line, one for a single place."""
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


def _outer(points: Floats) -> Floats:
    """Without the points strictly inside the polygons of extremes in some directions: most points, cheaply."""
    for count in _FILTER_DIRECTIONS:
        if len(points) >= 1000:
            points = _outside(points, count)
    return points


def _outside(points: Floats, directions: int) -> Floats:
    angles = np.arange(directions) * (2 * np.pi / directions)
    at = [int(np.argmax(points @ direction)) for direction in np.column_stack([np.cos(angles), np.sin(angles)])]
    ring = points[at]
    outside = np.zeros(len(points), dtype=bool)
    x, y = np.ascontiguousarray(points.T)
    for tail, head in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (tail != head).any():
            outside |= (head[0] - tail[0]) * (y - tail[1]) - (head[1] - tail[1]) * (x - tail[0]) <= 0
    return points[outside] if outside.any() else ring


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
