"""Plane polygons with holes into triangles by cutting off ears: for plane faces any triangulation is as good as any other."""

from __future__ import annotations

import numpy as np
from mapbox_earcut import triangulate_float64

from workers.cad.shape import Flags, Floats, Integers

# triangles below this part of the polygon's square are none; how far the areas of all may be from the polygon's
_NOTHING, _EXACT = 1e-12, 1e-9
# squares of the numbers of corners, of all polygons: half a second for the worst, whose time grows with the cube
_MOST_WORK = 10_000_000


def clipped(
    x: Floats, y: Floats, following: Integers, firsts: Integers, loops: Integers, which: Integers
) -> tuple[Integers, Integers, Flags]:
    """Triangles (3, m), counter-clockwise, over the corners x, y (n,) of the polygons `which` (k,), the polygon of each (m,), by its place
    in `which`, and which of the polygons (k,) these fill exactly.

    Polygons, their loops and the corners of these come one after the other: polygon i begins with loop loops[i], that with the corner
    firsts[loops[i]], and both tables end with the number of all. `following` (n,) is the next corner of the loop, whose inside lies to
    the left.
    """
    begin = firsts.take(loops)
    sizes, holes = begin[1:] - begin[:-1], loops[1:] - loops[:-1]
    # where loops end, counted from the first corner of the polygon
    ends = (firsts[1:] - begin[:-1].repeat(holes)).astype(np.uint32)
    points = np.array([x, y]).T.copy()
    start = begin.take(which)
    spans = (table.take(which + more).tolist() for table in (begin, loops) for more in (0, 1))
    within = ((sizes * sizes).take(which).cumsum() <= _MOST_WORK).tolist()
    found = [triangulate_float64(points[a:b], ends[c:d]) if ok else ends[:0] for a, b, c, d, ok in zip(*spans, within, strict=True)]
    counts = np.array([*map(len, found)]) // 3
    owner = np.arange(len(which)).repeat(counts)
    triangles = np.concatenate(found).reshape(-1, 3).T + start.take(owner)
    (ax, bx, cx), (ay, by, cy) = x.take(triangles), y.take(triangles)
    areas = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    # twice the area, of wedges between the sides and the first corner
    p, q = x - x.take(begin[:-1]).repeat(sizes), y - y.take(begin[:-1]).repeat(sizes)
    whole = np.add.reduceat(p * q.take(following) - p.take(following) * q, begin[:-1]).take(which)
    # some corners on straight sides get lost, borders that meet are filled as it comes
    good = counts == (sizes + 2 * holes).take(which) - 4
    good &= np.abs(np.bincount(owner, areas, len(which)) - whole) <= _EXACT * whole
    good[owner.compress(areas <= _NOTHING * whole.take(owner))] = False
    return triangles, owner, good
