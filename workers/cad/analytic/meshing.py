"""Triangles of faces over the nodes of their edges, so that neighbours fit together node by node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.borders import continued, polygon
from workers.cad.analytic.curves import TURN
from workers.cad.analytic.instances import NotCovered
from workers.cad.analytic.surfaces import CONE, CYLINDER, PLANE, SPHERE, TORUS, Surfaces
from workers.cad.analytic.triangulation import fans, triangulated
from workers.cad.shape import Flags, Floats, Integers

# what is no longer a corner, a height or a triangle: parts of the size of a face, squared for areas
_NOTHING = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Borders:
    """Nodes of all loops of all faces, loop after loop, faces ascending; each with the piece of the border that begins there."""

    face: Integers  # (r,)
    loop: Integers  # (r,)
    names: Integers  # (r,) of the nodes among the vertices
    u: Floats  # (r,) parameters on the surface; not continued
    v: Floats
    axis: Flags  # (r,) on the axis of the surface, where u means nothing


@dataclass(frozen=True, slots=True, eq=False)
class Facets:
    triangles: Integers  # (m, 3) over the vertices and, after these, the new ones
    faces: Integers  # (m,)
    places: Floats  # (n, 3) the new vertices
    v: Floats  # (r,) of the border, continued along each loop of a torus


def facets(borders: Borders, surfaces: Surfaces, inward: Flags, vertices: int) -> Facets:
    """Triangles that face where their faces do. Raises `NotCovered`."""
    first, last, owner = _loops(borders)
    kinds = surfaces.kinds[borders.face]
    curved = kinds != PLANE
    sign = np.where(inward, -1.0, 1.0)[borders.face]
    smooth, turns, far = continued(np.where(curved, borders.u, 0.0), first, last)
    u = np.where(curved, smooth, borders.u) * sign
    height, around, leaps = continued(np.where(kinds == TORUS, borders.v, 0.0), first, last)
    v = np.where(kinds == TORUS, height, borders.v)
    if (np.rint(around) != 0).any() or leaps.any():
        raise NotCovered("a border that runs around a ring")
    single = np.bincount(owner, minlength=len(surfaces.kinds)) == 1
    # by face: one loop, that does not turn, leaps nowhere and touches no pole
    plain = single.copy()
    plain[owner[np.rint(turns) != 0]] = False
    plain[borders.face[far | borders.axis]] = False
    flat = surfaces.kinds == PLANE
    done = []
    convex = single & flat & _convex(borders, u, v, first, last)
    done.append(_fanned(borders, first, last, convex[owner]))
    strip = plain & ((surfaces.kinds == CYLINDER) | (surfaces.kinds == CONE))
    zipped, strips = _zipped(borders, u, v, first, last, owner, strip)
    done.append(strips)
    rest = np.flatnonzero(~convex & ~zipped)
    others, places = _others(borders, surfaces, inward, u, v, first, last, owner, rest, vertices)
    done.append(others)
    return Facets(np.concatenate([one for one, _ in done]), np.concatenate([two for _, two in done]), places, v)


_Some = tuple[Integers, Integers]


def _loops(borders: Borders) -> tuple[Integers, Integers, Integers]:
    """First and last node of each loop, and its face."""
    changes = np.flatnonzero(borders.loop[1:] != borders.loop[:-1]) + 1
    first = np.concatenate([[0], changes])
    last = np.concatenate([changes, [len(borders.loop)]]) - 1
    return first, last, borders.face[first]


def _convex(borders: Borders, u: Floats, v: Floats, first: Integers, last: Integers) -> Flags:
    """Which faces have true corners to the left only, at all nodes."""
    following, before = np.arange(1, len(u) + 1), np.arange(-1, len(u) - 1)
    following[last], before[first] = first, last
    a, b, c, d = u - u[before], v - v[before], u[following] - u, v[following] - v
    turn = a * d - b * c
    bad = turn <= 1e-6 * np.sqrt((a * a + b * b) * (c * c + d * d))
    # a border that winds twice turns left only as well
    angle = np.arctan2(turn, a * c + b * d)
    faces = int(borders.face[-1]) + 1
    total = np.bincount(borders.face, angle, faces)
    good = np.abs(total - 2 * np.pi) < 1e-3
    good[borders.face[bad]] = False
    return np.asarray(good)


def _fanned(borders: Borders, first: Integers, last: Integers, which: Flags) -> _Some:
    begin, counts = first[which], (last - first + 1)[which]
    if (counts < 3).any():
        raise NotCovered("a face with less than three corners")
    polygon, second, third = fans(counts)
    base = begin[polygon]
    return borders.names[np.stack([base, base + second, base + third], axis=1)], borders.face[base]


def _zipped(
    borders: Borders, u: Floats, v: Floats, first: Integers, last: Integers, owner: Integers, which: Flags
) -> tuple[Flags, _Some]:
    """Faces whose border runs once forth and once back around the axis: both sides are sewn together in the order of u."""
    none = np.zeros(len(which), dtype=bool)
    nothing = np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.int64)
    loops = np.flatnonzero(which[owner])
    if not len(loops):
        return none, nothing
    picked = np.flatnonzero(which[borders.face])
    face = borders.face[picked]
    a = np.round(u[picked] / _NOTHING) * _NOTHING
    counts = (last - first + 1)[loops]
    end = np.cumsum(counts) - 1
    begin = end - counts + 1
    following, before = np.arange(1, len(a) + 1), np.arange(-1, len(a) - 1)
    following[end], before[begin] = begin, end
    step = a[following] - a
    way = np.where(step > _NOTHING / 2, 1, np.where(step < -_NOTHING / 2, -1, 0))
    # a level step goes the way of the last one that is not, around the loop
    order = np.arange(len(a))
    for _ in range(2):
        known = np.maximum.accumulate(np.where(way != 0, order, -1))
        usable = (way == 0) & (known >= np.repeat(begin, counts))
        way = np.where(usable, way[np.maximum(known, 0)], way)
        loose = (way[begin] == 0) & (way[end] != 0)
        way[begin[loose]] = way[end[loose]]
    starts = np.flatnonzero((way > 0) & (way[before] < 0))
    per = np.bincount(face[starts], minlength=len(which))
    good = which & (per == 1) & (np.bincount(face[way == 0], minlength=len(which)) == 0)
    keep = good[face]
    starts = starts[good[face[starts]]]
    # where each loop begins, by face
    origin = np.zeros(len(which), dtype=np.int64)
    origin[face[starts]] = starts
    length = np.zeros(len(which), dtype=np.int64)
    length[borders.face[first[loops]]] = counts
    head = np.zeros(len(which), dtype=np.int64)
    head[borders.face[first[loops]]] = begin
    rank = (order - origin[face]) % length[face]
    # forth: nodes whose incoming step goes forth, and the first; the others run back
    forth = (way[before] > 0) | (order == origin[face])
    place = np.where(forth, rank, length[face] - rank)
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort((place[rows], order[rows] != origin[face[rows]], a[rows], face[rows]))]
    lower = forth[rows]
    at = np.arange(len(rows))
    root = order[rows] == origin[face[rows]]
    low = np.maximum.accumulate(np.where(lower, at, 0))
    high = np.maximum.accumulate(np.where(~lower | root, at, 0))
    third = at[~root]
    one, two = low[third - 1], high[third - 1]
    sound = one != two
    one, two, third = one[sound], two[sound], third[sound]
    triangles = rows[np.stack([one, third, two], axis=1)]
    x, y = u[picked][triangles], v[picked][triangles]
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    tall = np.zeros(len(which))
    np.maximum.at(tall, face, np.abs(v[picked]))
    folded = area <= _NOTHING * np.maximum(tall[face[triangles[:, 0]]], 1e-300)
    good[face[triangles[folded, 0]]] = False
    triangles = triangles[good[face[triangles[:, 0]]]]
    return good, (borders.names[picked[triangles]], face[triangles[:, 0]])


def _others(
    borders: Borders, surfaces: Surfaces, inward: Flags, u: Floats, v: Floats,
    first: Integers, last: Integers, owner: Integers, rest: Integers, vertices: int,
) -> tuple[_Some, Floats]:  # fmt: skip
    """All other faces: constrained Delaunay triangulations in parameters that are stretched so that triangles become sensible."""
    if not len(rest):
        return (np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.int64)), np.zeros((0, 3))
    by_face: dict[int, list[int]] = {int(face): [] for face in rest}
    for loop, face in enumerate(owner.tolist()):
        if face in by_face:
            by_face[face].append(loop)
    names, points, followings, owners, base, fresh = [], [], [], [], 0, vertices
    new_face, new_u, new_v = [], [], []
    for number, (face, loops) in enumerate(by_face.items()):
        kind = int(surfaces.kinds[face])
        spans = [np.arange(first[loop], last[loop] + 1) for loop in loops]
        if kind == PLANE:
            some = np.concatenate(spans)
            ids, x, y = borders.names[some], u[some], v[some]
            ends = np.cumsum([len(span) for span in spans])
            following = np.arange(1, len(some) + 1)
            following[ends - 1] = ends - [len(span) for span in spans]
        else:
            a, b = surfaces.sizes[face].tolist()
            sign = -1.0 if inward[face] else 1.0
            found = polygon(
                kind, (a, b), sign,
                [(borders.names[span], borders.u[span], borders.v[span]) for span in spans],
                [np.flatnonzero(borders.axis[span]).tolist() for span in spans],
            )  # fmt: skip
            ids, x, y, following = found.names.copy(), found.u, found.v, found.following
            for code in (-2, -1):
                inner = np.flatnonzero(ids == code)
                if code == -2:
                    ids[inner], inner = fresh, inner[:1]
                else:
                    ids[inner] = fresh + np.arange(len(inner))
                fresh += len(inner)
                new_face.append(np.full(len(inner), face))
                new_u.append(x[inner] * sign)
                new_v.append(y[inner])
            x, y = _stretched(kind, a, b, x, y)
        names.append(ids)
        points.append(np.stack([x, y], axis=1))
        followings.append(np.where(following >= 0, following + base, -1))
        owners.append(np.full(len(ids), number))
        base += len(ids)
    every = np.concatenate(owners)
    found_triangles = triangulated(np.concatenate(points), every, np.concatenate(followings))
    triangles = np.concatenate(names)[found_triangles]
    faces = np.array(list(by_face), dtype=np.int64)[every[found_triangles[:, 0]]]
    # at a pole triangles shrink to nothing
    real = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2]) & (triangles[:, 2] != triangles[:, 0])
    places = np.zeros((0, 3))
    if fresh > vertices:
        places = surfaces.places(np.concatenate(new_face), np.concatenate(new_u), np.concatenate(new_v))
    return (triangles[real], faces[real]), places


def _stretched(kind: int, a: float, b: float, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Parameters in which an even triangulation fits the surface: along straight lines it may be long, around the axis not."""
    if kind == TORUS or kind == SPHERE:
        return x, y
    tall = float(np.ptp(y))
    return x, y * (TURN / tall if tall > 0 else 1.0)
