"""Triangles of faces over the nodes of their edges, so that neighbours fit together node by node."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.borders import Inner, continued, inner, polygon
from workers.cad.analytic.curves import TURN
from workers.cad.analytic.ears import clipped
from workers.cad.analytic.instances import NotCovered
from workers.cad.analytic.surfaces import CONE, CYLINDER, PLANE, SPHERE, TORUS, Surfaces
from workers.cad.analytic.sweep import swept
from workers.cad.analytic.triangulation import fans, triangulated
from workers.cad.shape import Flags, Floats, Integers, steps

# steps and triangles below this part of the whole are none
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
    forward: Flags  # (r,) the piece runs as its edge does


@dataclass(frozen=True, slots=True, eq=False)
class Facets:
    triangles: Integers  # (m, 3) over the vertices and, after these, the new ones
    faces: Integers  # (m,)
    places: Floats  # (3, n) the new vertices
    v: Floats  # (r,) of the border, continued along each loop of a torus
    jumps: Floats  # (2, f) of u along the border at the upper and at the lower pole
    seams: int  # faces that were cut open where the file has no edge


@dataclass(frozen=True, slots=True, eq=False)
class _Rings:
    """One closed polygon for each of some faces, counter-clockwise; `first` and `last` (k,) of its nodes."""

    face: Integers  # (n,)
    names: Integers  # (n,)
    along: Floats  # (n,) what they are sewn along
    x: Floats  # (n,)
    y: Floats
    first: Integers
    last: Integers


_Some = tuple[Integers, Integers]
_NONE: _Some = (np.zeros((0, 3), dtype=np.int64), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class _Loops:
    """l loops of f faces."""

    first: Integers  # (l + 1,) its first node; at the end the number of nodes
    last: Integers  # (l,) its last node
    face: Integers  # (l,)
    of_face: Integers  # (f + 1,) the first loop of each face; at the end the number of loops
    following: Integers  # (r,) the next node around the loop


def facets(borders: Borders, surfaces: Surfaces, inward: Flags, vertices: int, deviation: float) -> Facets:
    """Triangles that face where their faces do. Raises `NotCovered`."""
    count = len(surfaces.kinds)
    loops = _loops(borders, count)
    first, last, owner = loops.first[:-1], loops.last, loops.face
    kinds = surfaces.kinds.take(borders.face)
    curved = kinds != PLANE
    sign = np.where(inward, -1.0, 1.0).take(borders.face)
    smooth, turns, far = continued(np.where(curved, borders.u, 0.0), first, last)
    u = np.where(curved, smooth, borders.u) * sign
    v = borders.v
    ring = kinds == TORUS
    if np.count_nonzero(ring):
        height, around, leaps = continued(np.where(ring, v, 0.0), first, last)
        v = np.where(ring, height, v)
        if (np.rint(around) != 0).any() or leaps.any():
            raise NotCovered("a border that runs around a ring")
    grids = _grids(surfaces, loops, u, v, deviation)
    single = loops.of_face[1:] - loops.of_face[:-1] == 1
    # faces with one loop that does not turn, leaps nowhere and touches no pole
    plain = single & (surfaces.kinds != PLANE)
    plain[list(grids)] = False
    plain[owner[np.rint(turns) != 0]] = False
    plain[borders.face[far | borders.axis]] = False
    flat = surfaces.kinds == PLANE
    convex = single & flat & _convex(borders, u, v, loops.following)
    done = [_fanned(borders, first, last, convex[owner])]
    strips = plain & ((surfaces.kinds == CYLINDER) | (surfaces.kinds == CONE))
    good, sewn = _sewn(_single(borders, u, v, first, last, strips[owner]), count)
    done.append(sewn)
    rest = (~convex & ~good & ~flat).nonzero()[0]
    odd = (flat & ~convex).nonzero()[0]
    if len(odd):
        left, triangles = _plane(borders, u, v, loops, odd)
        done.append(triangles)
        if left:
            rest = np.sort(np.concatenate([rest, left]))
    others, places, jumps, seams = _others(borders, surfaces, inward, u, v, first, last, owner, rest, vertices, grids)
    done.append(others)
    return Facets(np.concatenate([one for one, _ in done]), np.concatenate([two for _, two in done]), places, v, jumps, seams)


def _loops(borders: Borders, faces: int) -> _Loops:
    count = len(borders.loop)
    changes = (borders.loop[1:] != borders.loop[:-1]).nonzero()[0] + 1
    first = np.concatenate([[0], changes, [count]])
    last = first[1:] - 1
    owner = borders.face.take(first[:-1])
    following = np.arange(1, count + 1)
    following[last] = first[:-1]
    return _Loops(first, last, owner, owner.searchsorted(np.arange(faces + 1)), following)


def _grids(surfaces: Surfaces, loops: _Loops, u: Floats, v: Floats, deviation: float) -> dict[int, Inner]:
    """The nodes inside, of faces that need some."""
    bulging = (surfaces.kinds > CYLINDER).nonzero()[0]
    if not len(bulging):
        return {}
    begin = loops.first.take(loops.of_face[:-1])
    lows, highs = (np.array([end.reduceat(part, begin) for part in (u, v)]) for end in (np.minimum, np.maximum))
    table = (
        part.take(bulging, axis=-1).T.tolist() for part in (np.arange(len(surfaces.kinds)), surfaces.kinds, surfaces.sizes, lows, highs)
    )
    found = {}
    for face, kind, (a, b), (left, lower), (right, upper) in zip(*table, strict=True):
        grid = inner(kind, (a, b), (left, lower), (right, upper), deviation)
        if grid.wanted:
            found[face] = grid
    return found


def _convex(borders: Borders, u: Floats, v: Floats, following: Integers) -> Flags:
    """Which faces have true corners to the left only, at all nodes."""
    a, b = u.take(following) - u, v.take(following) - v
    c, d = a.take(following), b.take(following)
    turn = a * d - b * c
    bad = turn <= 1e-6 * np.sqrt((a * a + b * b) * (c * c + d * d))
    # a border that winds twice turns left only as well
    total = np.bincount(borders.face, np.arctan2(turn, a * c + b * d), int(borders.face[-1]) + 1)
    good = np.abs(total - 2 * np.pi) < 1e-3
    good[borders.face.compress(bad)] = False
    return np.asarray(good)


def _fanned(borders: Borders, first: Integers, last: Integers, which: Flags) -> _Some:
    begin, counts = first.compress(which), (last - first + 1).compress(which)
    if np.count_nonzero(counts < 3):
        raise NotCovered("a face with less than three corners")
    polygon, second, third = fans(counts)
    base = begin.take(polygon)
    return borders.names.take(np.array([base, base + second, base + third]).T), borders.face.take(base)


def _single(borders: Borders, u: Floats, v: Floats, first: Integers, last: Integers, which: Flags) -> _Rings:
    """The loops `which` (l,) as they are."""
    counts = (last - first + 1).compress(which)
    end = counts.cumsum()
    owner, place = steps(counts)
    some = first.compress(which).take(owner) + place
    along = u.take(some)
    return _Rings(borders.face.take(some), borders.names.take(some), along, along, v.take(some), end - counts, end - 1)


def _sewn(rings: _Rings, count: int) -> tuple[Flags, _Some]:
    """Faces (f,) whose ring runs once forth and once back, and their triangles: both sides are sewn together node by node."""
    good = np.zeros(count, dtype=bool)
    if not len(rings.first):
        return good, _NONE
    face, begin, end = rings.face, rings.first, rings.last
    size = float(rings.along.max() - rings.along.min()) * _NOTHING
    a = np.rint(rings.along / size) if size > 0 else np.zeros(len(face))
    counts = end - begin + 1
    order = np.arange(len(a))
    following, before = order + 1, order - 1
    following[end], before[begin] = begin, end
    way = np.sign(a.take(following) - a)
    # a level step goes the way of the last one that is not, around the loop
    home = begin.repeat(counts)
    for _ in range(2):
        level = way == 0
        known = np.maximum.accumulate(np.where(level, -1, order))
        way = np.where(level & (known >= home), way.take(known, mode="clip"), way)
        loose = (way.take(begin) == 0).nonzero()[0]
        if not len(loose):
            break
        way[begin[loose]] = way[end[loose]]
    incoming = way.take(before)
    starts = ((way > 0) & (incoming < 0)).nonzero()[0]
    good[face.take(begin)] = True
    good &= np.bincount(face.take(starts), minlength=count) == 1
    good[face.compress(way == 0)] = False
    starts = starts.compress(good.take(face.take(starts)))
    origin, length = np.zeros(count, dtype=np.int64), np.ones(count, dtype=np.int64)
    origin[face.take(starts)] = starts
    length[face.take(begin)] = counts
    start, long = origin.take(face), length.take(face)
    root = order == start
    rank = (order - start) % long
    # forth: nodes whose incoming step goes forth, and the first; the others run back
    forth = (incoming > 0) | root
    place = np.where(forth, rank, long - rank)
    rows = good.take(face).nonzero()[0]
    rows = rows.take(np.lexsort((place.take(rows), ~root.take(rows), a.take(rows), face.take(rows))))
    lower, root = forth.take(rows), root.take(rows)
    at = np.arange(len(rows))
    low = np.maximum.accumulate(np.where(lower, at, 0))
    high = np.maximum.accumulate(np.where(lower & ~root, 0, at))
    third = at.compress(~root)
    one, two = low.take(third - 1), high.take(third - 1)
    sound = one != two
    # (3, m)
    triangles = rows.take(np.array([one, third, two]).compress(sound, axis=1))
    (x, p, s), (y, q, t) = rings.x.take(triangles), rings.y.take(triangles)
    area = (p - x) * (t - y) - (s - x) * (q - y)
    faces = face.take(triangles[0])
    whole = np.bincount(faces, np.abs(area), count)
    good[faces.compress(area <= _NOTHING * whole.take(faces))] = False
    kept = good.take(faces)
    return good, (rings.names.take(triangles.compress(kept, axis=1)).T, faces.compress(kept))


def _plane(borders: Borders, u: Floats, v: Floats, loops: _Loops, which: Integers) -> tuple[list[int], _Some]:
    """Triangles of the plane faces `which`, and those of these faces whose borders meet."""
    triangles, owner, good = clipped(u, v, loops.following, loops.first, loops.of_face, which)
    if np.count_nonzero(good) == len(which):
        return [], (borders.names.take(triangles.T), which.take(owner))
    kept = good.take(owner)
    found, faces, left = [triangles.compress(kept, axis=1).T], [which.take(owner.compress(kept))], []
    for face in which.compress(~good).tolist():
        first = loops.first[loops.of_face[face] : loops.of_face[face + 1] + 1]
        begin, end = int(first[0]), int(first[-1])
        more = swept(u[begin:end], v[begin:end], (first[1:] - first[:-1]).tolist())
        if more is None:
            left.append(face)
        else:
            found.append(np.array(more) + begin)
            faces.append(np.full(len(more), face))
    return left, (borders.names.take(np.concatenate(found)), np.concatenate(faces))


def _others(
    borders: Borders, surfaces: Surfaces, inward: Flags, u: Floats, v: Floats,
    first: Integers, last: Integers, owner: Integers, rest: Integers, vertices: int, grids: dict[int, Inner],
) -> tuple[_Some, Floats, Floats, int]:  # fmt: skip
    """All other faces: constrained Delaunay triangulations in parameters that are stretched so that triangles become sensible."""
    jumps = np.zeros((2, len(surfaces.kinds)))
    if not len(rest):
        return _NONE, np.zeros((3, 0)), jumps, 0
    by_face: dict[int, list[int]] = {int(face): [] for face in rest}
    for loop, face in enumerate(owner.tolist()):
        if face in by_face:
            by_face[face].append(loop)
    names, points, followings, owners, base, fresh, seams = [], [], [], [], 0, vertices, 0
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
            a, b = surfaces.sizes[:, face].tolist()
            sign = -1.0 if inward[face] else 1.0
            found = polygon(
                kind, (a, b), sign,
                [(borders.names[span], borders.u[span], borders.v[span]) for span in spans],
                [np.flatnonzero(borders.axis[span]).tolist() for span in spans],
                grids.get(face, Inner(0, 0, False)),
            )  # fmt: skip
            jumps[:, face] = found.jumps
            seams += found.seam
            ids, x, y, following = found.names.copy(), found.u, found.v, found.following
            inner = np.flatnonzero(ids < 0)
            ids[inner] = fresh + np.arange(len(inner))
            fresh += len(inner)
            new_face.append(np.full(len(inner), face))
            new_u.append(x[inner] * sign)
            new_v.append(y[inner])
            x, y = _stretched(kind, (a, b), x, y, face in grids)
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
    places = np.zeros((3, 0))
    if fresh > vertices:
        places = surfaces.places(np.concatenate(new_face), np.concatenate(new_u), np.concatenate(new_v))
    return (triangles[real], faces[real]), places, jumps, seams


def _stretched(kind: int, sizes: tuple[float, float], x: Floats, y: Floats, inner: bool) -> tuple[Floats, Floats]:
    """Parameters in which an even triangulation fits the surface: along straight lines it may be long, around the axis not."""
    if kind in (SPHERE, TORUS):
        return x, y
    if inner:
        a, b = sizes
        return x * float(np.abs(a + b * y).max()), y * math.sqrt(1 + b * b)
    tall = float(np.ptp(y))
    return x, y * (TURN / tall if tall > 0 else 1.0)
