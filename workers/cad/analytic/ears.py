"""Plane polygons with holes into triangles by cutting off ears: for plane faces any triangulation is as good as any other."""

from __future__ import annotations

import numpy as np
from mapbox_earcut import triangulate_float64

from workers.cad.shape import Flags, Floats, Integers

# triangles below this part of the polygon's square are none; how far the areas of all may be from the polygon's
_NOTHING, _EXACT = 1e-12, 1e-9
# of one polygon: the time grows with the square of the corners
_MOST_CORNERS = 20_000


def clipped(points: Floats, following: Integers, firsts: Integers, loops: Integers) -> tuple[Integers, Integers, Flags]:
    """Triangles (m, 3), counter-clockwise, over points (n, 2), the polygon of each (m,), and which of the k polygons these fill exactly.

    `following` (n,) is the next corner of the loop, whose inside lies to the left. The loops begin with the corners `firsts` (l + 1,),
    those of polygon i with firsts[loops[i]] (k + 1,): polygons, loops and corners come one after the other, and both end with their number.
    """
    begin = firsts.take(loops)
    sizes, holes = begin[1:] - begin[:-1], loops[1:] - loops[:-1]
    # where loops end, counted from the first corner of the polygon
    ends = (firsts[1:] - begin[:-1].repeat(holes)).astype(np.uint32)
    corners, rings = begin.tolist(), loops.tolist()
    found = [
        triangulate_float64(points[a:b], ends[c:d]) if b - a <= _MOST_CORNERS else ends[:0]
        for a, b, c, d in zip(corners, corners[1:], rings, rings[1:], strict=False)
    ]
    counts = np.array([*map(len, found)]) // 3
    owner = np.arange(len(counts)).repeat(counts)
    triangles = np.concatenate(found).reshape(-1, 3) + begin.take(owner)[:, None]
    (x, y), (a, b, c) = points.T, triangles.T
    areas = (x[b] - x[a]) * (y[c] - y[a]) - (x[c] - x[a]) * (y[b] - y[a])
    # twice the area, of wedges between the sides and the first corner
    p, q = (points - points.take(begin[:-1].repeat(sizes), axis=0)).T
    whole = np.add.reduceat(p * q[following] - p[following] * q, begin[:-1])
    # corners on straight sides get lost, borders that meet are filled as it comes
    good = counts == sizes + 2 * holes - 4
    good &= np.abs(np.bincount(owner, areas, len(counts)) - whole) <= _EXACT * whole
    good[owner.compress(areas <= _NOTHING * whole.take(owner))] = False
    return triangles, owner, good
