"""Borders of faces in the parameters of their surfaces: continued around the axis, cut open where they must be."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.curves import TURN
from workers.cad.analytic.instances import NotCovered
from workers.cad.analytic.surfaces import CONE, SPHERE, TORUS
from workers.cad.shape import Flags, Floats, Integers

_WHOLE = 2 * math.pi
# from node to node no border of a face runs further around the axis, but through a pole
_FARTHEST = 1.0
# of balls the grid is that much finer, at their poles it is this wide; the most columns and rows inside a cone
_BALL, _POLE_STEP, _MOST_LINES = 0.7, 0.14, 200
_MOST_NODES = 100_000
# nodes inside times corners around them
_MOST_PAIRS = 4_000_000
# two corners are on one line along the axis
_ABREAST = 1e-6
# how far from the border these stay, in steps
_NEAREST = 0.45


@dataclass(frozen=True, slots=True)
class Inner:
    """A grid of nodes inside a face, as Open CASCADE sets them: the slots of both meshes agree then."""

    columns: int
    rows: int
    staggered: bool  # every other row is moved by half a column

    @property
    def wanted(self) -> bool:
        return self.columns > 0 and self.rows > 0


def inner(kind: int, sizes: tuple[float, float], low: tuple[float, float], high: tuple[float, float], deviation: float) -> Inner:
    """The grid for a face with parameters from `low` to `high` whose mesh may leave it by `deviation`."""
    width, tall = min(high[0] - low[0], _WHOLE), high[1] - low[1]
    a, b = sizes
    if kind == CONE:
        reach = max(abs(a + b * low[1]), abs(a + b * high[1]))
        step = _turn(reach, deviation)
        ratio = tall * math.sqrt(1 + b * b) / max(step * reach, 1e-300)
        return Inner(min(int(width / step), _MOST_LINES), min(int(ratio / max(math.log(max(ratio, 1.0)) - 0.45, 1.3)), _MOST_LINES), False)
    if kind in (SPHERE, TORUS):
        step = _BALL * _turn(a, deviation) if kind == SPHERE else TURN
        return Inner(math.ceil(width / step - 1e-6) - 1, math.ceil(tall / step - 1e-6) - 1, kind == SPHERE)
    return Inner(0, 0, False)


def _turn(radius: float, deviation: float) -> float:
    return min(2 * math.acos(max(1 - deviation / max(radius, 1e-300), 0.0)), 2 * TURN)


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """The border of a face as one or more loops, and nodes inside; u runs so that the inside lies to the left."""

    names: Integers  # (n,) of vertices; -1 for those inside, which are new
    u: Floats
    v: Floats
    following: Integers  # (n,) next node of the loop, -1 inside
    jumps: tuple[float, float]  # of u along the border at the upper and at the lower pole
    seam: bool  # it was cut open where the file has no edge


def continued(u: Floats, first: Integers, last: Integers) -> tuple[Floats, Floats, Flags]:
    """Angles u (r,) of nodes, loop after loop, without jumps within each; how often each loop turns; which of its steps are too long.

    `first` (l,) and `last` (l,) node of each loop.
    """
    following = np.arange(1, len(u) + 1)
    following[last] = first
    step = (u.take(following) - u + math.pi) % _WHOLE - math.pi
    sums = step.cumsum()
    before = sums - step
    # what each loop begins with is taken away again
    start = before.take(first)
    whole = (u.take(first) - start).repeat(last - first + 1)
    return before + whole, (sums.take(last) - start) / _WHOLE, np.abs(step) > _FARTHEST


def polygon(
    kind: int, sizes: tuple[float, float], sign: float, loops: list[tuple[Integers, Floats, Floats]], poles: list[list[int]], inner: Inner
) -> Polygon:
    """The border of a curved face from its loops of names, u and v as they come; `sign`: -1 where u runs clockwise about the face's
    normal; `poles`: the nodes of each loop that lie on the axis, where u means nothing.
    """
    jumps = [0.0, 0.0]
    pieces = [_opened(kind, names, sign * u, v, at, jumps) for (names, u, v), at in zip(loops, poles, strict=True)]
    turning = [at for at, (_, _, _, turns) in enumerate(pieces) if turns]
    if kind == TORUS:
        pieces = [_second(*piece) for piece in pieces]
    if len(turning) == 2:
        one, two = turning
        if pieces[one][3] + pieces[two][3]:
            raise NotCovered("a border that turns oddly")
        joined = _joined(pieces[one], pieces[two])
        pieces = [joined, *(piece for at, piece in enumerate(pieces) if at not in turning)]
    elif turning:
        raise NotCovered("a border that turns oddly")
    return _assembled(kind, pieces, (jumps[0], jumps[1]), inner, len(turning) == 2)


_Piece = tuple[Integers, Floats, Floats, int]


def _opened(kind: int, names: Integers, u: Floats, v: Floats, poles: list[int], jumps: list[float]) -> _Piece:
    """One loop with u continued. Through a pole it jumps: backwards at the upper one, forwards at the lower one. These are added up."""
    if not poles:
        smooth, turns, far = continued(u, np.array([0]), np.array([len(u) - 1]))
        if far.any():
            raise NotCovered("a border that leaps around the axis")
        return names, smooth, v, round(float(turns[0]))
    # begin behind a pole
    names, u, v = (np.concatenate([part[poles[0] :], part[: poles[0]]]) for part in (names, u, v))
    places = [(at - poles[0]) % len(u) for at in sorted(poles, key=lambda at: (at - poles[0]) % len(u))]
    out: list[tuple[int, float, float]] = []
    angle = 0.0
    for number, pole in enumerate(places):
        end = places[number + 1] if number + 1 < len(places) else len(u)
        run = list(range(pole + 1, end))
        if not run:
            raise NotCovered("a border of poles")
        values = u[run]
        if number:
            up = bool(v[pole] > 0) if kind == SPHERE else bool(v[pole] > v[run[0]])
            gap = (float(values[0]) - angle) % _WHOLE
            if gap < 1e-6 or gap > _WHOLE - 1e-6:
                gap = 0.0
            arrive = angle + (gap - _WHOLE if up else (gap if gap else _WHOLE))
            out += _pole(int(names[pole]), angle, arrive, float(v[pole]))
            jumps[0 if kind == SPHERE and up else 1] += arrive - angle
        else:
            arrive = float(values[0])
            out.append((int(names[pole]), arrive, float(v[pole])))
        step = (np.diff(values) + math.pi) % _WHOLE - math.pi
        if (np.abs(step) > _FARTHEST).any():
            raise NotCovered("a border that leaps around the axis")
        smooth = arrive + np.concatenate([[0.0], np.cumsum(step)])
        out += zip(names[run].tolist(), smooth.tolist(), v[run].tolist(), strict=True)
        angle = float(smooth[-1])
    home = out[0][1]
    up = bool(v[0] > 0) if kind == SPHERE else bool(v[0] > v[1])
    if (home >= angle - 1e-6) if up else (home <= angle + 1e-6):
        raise NotCovered("a border that turns oddly at a pole")
    out += _pole(int(names[0]), angle, home, float(v[0]))[:-1]
    jumps[0 if kind == SPHERE and up else 1] += home - angle
    table = np.array(out)
    return table[:, 0].astype(np.int64), table[:, 1], table[:, 2], 0


def _pole(name: int, begin: float, end: float, v: float) -> list[tuple[int, float, float]]:
    """The pole, once for each step from one u to another, both included."""
    count = max(math.ceil(abs(end - begin) / _POLE_STEP), 1)
    return [(name, begin + (end - begin) * at / count, v) for at in range(count + 1)]


def _second(names: Integers, u: Floats, v: Floats, turns: int) -> _Piece:
    smooth, more, far = continued(v, np.array([0]), np.array([len(v) - 1]))
    if far.any() or np.rint(more[0]) != 0 or turns:
        raise NotCovered("a border that runs around a ring")
    return names, u, smooth, turns


def _joined(one: _Piece, two: _Piece) -> _Piece:
    """Two loops that turn against each other, cut open along a line between their first nodes."""
    if one[3] < 0:
        one, two = two, one
    names, u, v, _ = one
    others, w, x, _ = two
    # the second runs backwards: it begins at the end of the first and comes back to its begin
    end = float(u[0]) + _WHOLE
    w = w + _WHOLE * round((end - float(w[0])) / _WHOLE)
    if abs(end - float(w[0])) > _ABREAST:
        raise NotCovered("a seam that would need new corners")
    return (
        np.concatenate([names, names[:1], others, others[:1]]),
        np.concatenate([u, [end], w, [w[0] - _WHOLE]]),
        np.concatenate([v, v[:1], x, x[:1]]),
        0,
    )


def _assembled(kind: int, pieces: list[_Piece], jumps: tuple[float, float], inner: Inner, seam: bool) -> Polygon:
    """All loops as one polygon, holes moved by whole turns into the loop around them, and nodes inside where the surface bulges."""
    areas = [_area(u, v) for _, u, v, _ in pieces]
    outer = int(np.argmax(areas))
    if areas[outer] <= 0 or any(area >= 0 for at, area in enumerate(areas) if at != outer):
        raise NotCovered("a face with more than one border around it")
    low = float(pieces[outer][1].min())
    moved = []
    for at, (_, u, v, _) in enumerate(pieces):
        shift = 0.0 if at == outer else -_WHOLE * math.floor((float(u.min()) - low + 1e-9) / _WHOLE)
        height = 0.0
        if at != outer and kind == TORUS:
            height = -_WHOLE * math.floor((float(v.min()) - float(pieces[outer][2].min()) + 1e-9) / _WHOLE)
        moved.append((u + shift, v + height))
    names, following, base = [], [], 0
    for ids, *_ in pieces:
        names.append(ids)
        following.append(np.arange(base + 1, base + len(ids) + 1))
        following[-1][-1] = base
        base += len(ids)
    u, v = np.concatenate([part for part, _ in moved]), np.concatenate([part for _, part in moved])
    after = np.concatenate(following)
    if inner.wanted:
        x, y, step = _grid(u, v, inner)
        # all of them are inside a rectangle, and not too near to its sides
        if not _rectangular(u, v):
            if kind in (SPHERE, TORUS):
                # where nodes inside should be is a matter of taste there, and slots follow it
                raise NotCovered("a ball or a ring with an odd border")
            good = _within(x, y, u, v, after, step)
            x, y = x[good], y[good]
        names.append(np.full(len(x), -1))
        following.append(np.full(len(x), -1))
        u, v = np.concatenate([u, x]), np.concatenate([v, y])
    return Polygon(np.concatenate(names), u, v, np.concatenate(following), jumps, seam)


def _rectangular(u: Floats, v: Floats) -> bool:
    """Whether all nodes lie on the sides of the rectangle around them."""
    on = [np.minimum(part - part.min(), part.max() - part) < _ABREAST for part in (u, v)]
    return bool((on[0] | on[1]).all())


def _area(u: Floats, v: Floats) -> float:
    return (float(u[:-1] @ v[1:] - v[:-1] @ u[1:]) + float(u[-1] * v[0] - v[-1] * u[0])) / 2


def _grid(u: Floats, v: Floats, inner: Inner) -> tuple[Floats, Floats, tuple[float, float]]:
    """Nodes of a grid in the rectangle around the border, and how far apart they are."""
    if inner.columns * inner.rows > _MOST_NODES:
        raise NotCovered("a face of too many nodes")
    lines: list[Floats] = []
    widths: list[float] = []
    for part, count in ((u, inner.columns), (v, inner.rows)):
        low, high = float(part.min()), float(part.max())
        widths.append(max((high - low) / (count + 1), 1e-300))
        lines.append(np.asarray(low + widths[-1] * np.arange(1, count + 1), dtype=np.float64))
    x: Floats = np.tile(lines[0], (inner.rows, 1))
    y: Floats = lines[1].repeat(inner.columns)
    if inner.staggered:
        x[1::2] += widths[0] / 2
    return x.ravel(), y, (widths[0], widths[1])


def _within(x: Floats, y: Floats, u: Floats, v: Floats, following: Integers, step: tuple[float, float]) -> Flags:
    """Which nodes of a grid lie within the border, and not too near to it."""
    if len(x) * len(u) > _MOST_PAIRS:
        raise NotCovered("a border of too many corners")
    a, b = u / step[0], v / step[1]
    c, d = a[following], b[following]
    p, q = x[:, None] / step[0], y[:, None] / step[1]
    rise = np.where(b == d, 1.0, d - b)
    inside = (((b > q) != (d > q)) & (p < a + (c - a) * (q - b) / rise)).sum(axis=1) % 2 == 1
    e, f = c - a, d - b
    way = ((p - a) * e + (q - b) * f) / np.maximum(e * e + f * f, 1e-300)
    way = np.minimum(np.maximum(way, 0.0), 1.0)
    beside, above = p - a - way * e, q - b - way * f
    near = (beside * beside + above * above).min(axis=1)
    return np.asarray(inside & (near > _NEAREST * _NEAREST))
