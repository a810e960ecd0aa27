"""Polygons with holes, and points inside, into triangles: all of them in one constrained Delaunay triangulation by Qhull."""

from __future__ import annotations

import numpy as np
from scipy.spatial import Delaunay, QhullError

from workers.cad.analytic.instances import NotCovered
from workers.cad.shape import Flags, Floats, Integers, components, ranked, steps

# joggled by some 1e-11 of the extent, as for hulls: several times faster than merging what lies on one circle
_QHULL = "Qbb QJ Pp"
# polygons lie this far apart, in their own size
_APART = 3.0
# the most edges of the triangulation that are turned to bring one border back
_MOST_TURNS = 2000
# of all faces together: Qhull takes 5 s for 100,000
_MOST_POINTS = 200_000
# lost pieces of borders times nodes that are looked at for them
_MOST_WORK = 3_000_000


def triangulated(points: Floats, owner: Integers, following: Integers) -> Integers:
    """Triangles (m, 3), counter-clockwise, over points (n, 2) of polygons `owner` (ascending from 0, none without points).

    `following` (n,) is the next point of the border whose inside lies to the left, -1 for points inside. Raises `NotCovered`.
    """
    if len(points) > _MOST_POINTS:
        raise NotCovered("faces of too many corners")
    count = int(owner[-1]) + 1
    first = np.searchsorted(owner, np.arange(count))
    low = np.minimum.reduceat(points, first)
    size = (np.maximum.reduceat(points, first) - low).max(axis=1)
    if not (size > 0).all():
        raise NotCovered("a face without extent")
    side = int(np.ceil(np.sqrt(count)))
    cell = np.stack([np.arange(count) % side, np.arange(count) // side], axis=1) * _APART
    places = (points - low[owner]) / size[owner, None] + cell[owner]
    triangles = _delaunay(places)
    one = owner[triangles]
    triangles = triangles[(one[:, 0] == one[:, 1]) & (one[:, 1] == one[:, 2])]
    held = np.zeros(len(points), dtype=bool)
    tail, head = _halves(triangles)
    held[tail.compress(following.take(tail) == head)] = True
    lost = ((following >= 0) & ~held).nonzero()[0]
    if len(lost):
        again = np.unique(owner[lost])
        work = 0
        kept = [triangles[~np.isin(owner[triangles[:, 0]], again)]]
        for name in again.tolist():
            work += len(lost) * int(np.count_nonzero(owner == name))
            if work > _MOST_WORK:
                raise NotCovered("too many borders to bring back")
            mine = np.arange(first[name], first[name + 1] if name + 1 < count else len(points))
            kept.append(_bordered(places[mine], following[mine] - first[name]) + first[name])
        triangles = np.concatenate(kept)
    return _inside(triangles, following)


def _delaunay(places: Floats) -> Integers:
    try:
        found = Delaunay(places, qhull_options=_QHULL)
    except QhullError as error:
        raise NotCovered("a face that cannot be triangulated") from error
    return np.asarray(found.simplices, dtype=np.int64)


def _halves(triangles: Integers) -> tuple[Integers, Integers]:
    """Where each directed edge (3 m,) begins and ends, side after side."""
    return triangles.T.ravel(), triangles[:, [1, 2, 0]].T.ravel()


def _inside(triangles: Integers, following: Integers) -> Integers:
    """Those of the triangles that the border leaves to its left."""
    tail, head = _halves(triangles)
    on, off = following.take(tail) == head, following.take(head) == tail
    # both halves of an edge stand side by side
    order, keys = ranked(np.minimum(tail, head) * len(following) + np.maximum(tail, head))
    at = (keys[1:] == keys[:-1]).nonzero()[0]
    one, two = order.take(at), order.take(at + 1)
    count = len(triangles)
    label = components(count, one % count, two % count, ~(on | off).take(one))
    good: Flags = np.zeros(count, dtype=bool)
    bad: Flags = np.zeros(count, dtype=bool)
    good[label[on.nonzero()[0] % count]] = True
    bad[label[(off & ~on).nonzero()[0] % count]] = True
    if np.count_nonzero(good & bad) or np.count_nonzero(on) != np.count_nonzero(following >= 0):
        raise NotCovered("a face whose border is not one")
    return triangles[good[label]]


def _bordered(places: Floats, following: Integers) -> Integers:
    """The triangles of one polygon, alone, with all of its border: edges across a lost piece of it are turned until it is there.

    S. W. Sloan, A fast algorithm for generating constrained Delaunay triangulations (1993).
    """
    xy = [(float(x), float(y)) for x, y in places]
    apex: dict[tuple[int, int], int] = {}
    for a, b, c in _delaunay(places).tolist():
        apex[a, b], apex[b, c], apex[c, a] = c, a, b

    def side(a: int, b: int, c: int) -> float:
        return (xy[b][0] - xy[a][0]) * (xy[c][1] - xy[a][1]) - (xy[b][1] - xy[a][1]) * (xy[c][0] - xy[a][0])

    def crossing(p: int, q: int) -> list[tuple[int, int]]:
        """Edges across the way from p to q, each from its right to its left end."""
        start = [edge for edge, c in apex.items() if c == p and side(p, q, edge[0]) < 0 < side(p, q, edge[1])]
        if len(start) != 1:
            raise NotCovered("a border that cannot be brought back")
        a, b = start[0]
        found = [(a, b)]
        while (c := apex.get((b, a), q)) != q:
            beside = side(p, q, c)
            if beside == 0 or len(found) > len(apex):
                raise NotCovered("a border that cannot be brought back")
            a, b = (a, c) if beside > 0 else (c, b)
            found.append((a, b))
        return found

    for p, q in enumerate(following.tolist()):
        if q < 0 or (p, q) in apex or (q, p) in apex:
            continue
        waiting = crossing(p, q)
        for _ in range(_MOST_TURNS):
            if not waiting:
                break
            a, b = waiting.pop(0)
            c, d = apex[a, b], apex[b, a]
            if side(c, d, a) * side(c, d, b) >= 0 or side(c, d, b) == 0:
                waiting.append((a, b))
                continue
            if side(d, c, a) < 0:
                a, b, c, d = b, a, d, c
            del apex[a, b], apex[b, a]
            # triangles a d c and d b c stand for a b c and b a d
            apex[a, d], apex[d, c], apex[c, a] = c, a, d
            apex[d, b], apex[b, c], apex[c, d] = c, d, b
            if not {c, d} & {p, q} and side(p, q, c) * side(p, q, d) < 0:
                waiting.append((c, d))
        else:
            raise NotCovered("a border that cannot be brought back")
    found = {tuple(sorted((a, b, c))): (a, b, c) for (a, b), c in apex.items()}
    return np.array(list(found.values()), dtype=np.int64).reshape(-1, 3)


def fans(counts: Integers) -> tuple[Integers, Integers, Integers]:
    """Triangles of convex polygons of `counts` corners each: the polygon of each, and the places of its second and third corner
    behind the first.
    """
    owner, place = steps(counts - 2)
    return owner, place + 1, place + 2
