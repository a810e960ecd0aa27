"""Edges: lines, conics and B-splines as polylines, and what is integrated along them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.analytic.poses import Poses, cross, frames, unit
from workers.cad.analytic.splines import Spline, points, spline
from workers.cad.shape import Flags, Floats, Integers, steps

LINE, CIRCLE, ELLIPSE, HYPERBOLA, SPLINE = range(5)
CURVE_NAMES = ("line", "circle", "ellipse", "hyperbola", "bspline")
# a curve turns by this much from node to node, radians: what Open CASCADE makes of the 0.2 it is asked for
TURN = 0.1
# and leaves its chords by no more than this part of the diagonal
DEVIATION = 0.002
# the same for curves that are no circles; arcs have three pieces, and other bent curves five, however short they are
_ODD_TURN, _LEAST_ROUND, _LEAST_ODD, _STRAIGHT = 0.073, 3, 5, 1e-6
# where a curve ends this much of the diagonal beside its vertices it is moved to them, in between by a share of that: borders must close
_EXACT = 1e-10
# places and tangents of a curve whose turns are counted, and the most of all curves
_LOOKED_AT = 65
_MOST_LOOKS = 500_000
# nodes and weights of Gauss and Legendre on 0..1
_GAUSS, _WEIGHTS = (part / 2 for part in np.polynomial.legendre.leggauss(4))
_GAUSS = _GAUSS + 0.5
_CURVES = {b"LINE": LINE, b"CIRCLE": CIRCLE, b"ELLIPSE": ELLIPSE, b"HYPERBOLA": HYPERBOLA, b"B_SPLINE_CURVE_WITH_KNOTS": SPLINE}
_CARRIERS = (b"SURFACE_CURVE", b"SEAM_CURVE", b"INTERSECTION_CURVE")


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """e edges; a node is a place where the polyline bends, or its end."""

    kinds: Integers  # (e,)
    tails: Integers  # (e,) vertex it begins with
    heads: Integers  # (e,)
    counts: Integers  # (e,) nodes, both ends included
    nodes: Floats  # (sum of counts, 3)
    places: Floats  # (s, 3, 3) three places in each of the s spans between the nodes of an edge, and
    tangents: Floats  # (s, 3, 3) the derivative there times the weight in the span
    swirls: Floats  # (e, 3) half the integral of P x dP over places P along each
    bows: Floats  # (s,) at most the area between a span and its chord
    lengths: Floats  # (e,) about
    lows: Floats  # (3,) exact extent, except of B-splines and hyperbolas
    highs: Floats
    gaps: Floats  # (e,) largest distance of an end from its vertex


def edges_of(table: Instances, rows: Integers, vertices: Floats, tails: Integers, heads: Integers, poses: Poses, owner: Integers) -> Edges:
    """Edges of EDGE_CURVEs at `rows` with the vertices at both ends."""
    curves, same = table.rows(rows, 2), table.flags(rows)
    for _ in range(2):
        carried = table.are(curves, *_CARRIERS)
        if not carried.any():
            break
        curves[carried] = table.rows(curves[carried], 0)
    lookup = np.full(len(table.keywords) + 1, -1)
    for word, kind in _CURVES.items():
        lookup[table.keywords[word]] = kind
    kinds = lookup[table.kinds[curves]]
    for at in np.flatnonzero(kinds < 0).tolist():
        if b"RATIONAL_B_SPLINE_CURVE" not in table.text(curves[at]):
            raise NotCovered("an edge on an odd curve")
    rational = kinds < 0
    kinds[rational] = SPLINE
    return _Tracing(table, curves, kinds, rational, same, vertices, tails, heads, poses, owner).edges()


class _Tracing:
    """Edge k is origin + ways[0] f(t) + ways[1] g(t) for t from starts to starts + sweeps; B-splines stand apart."""

    def __init__(
        self, table: Instances, curves: Integers, kinds: Integers, rational: Flags, same: Flags,
        vertices: Floats, tails: Integers, heads: Integers, poses: Poses, owner: Integers,
    ) -> None:  # fmt: skip
        self.kinds, self.tails, self.heads, self.poses = kinds, tails, heads, poses
        count = len(kinds)
        self.begin, self.end = vertices[tails], vertices[heads]
        self.origins, self.ways = self.begin.copy(), np.zeros((count, 2, 3))
        self.starts, self.sweeps = np.zeros(count), np.ones(count)
        self.ways[:, 0] = self.end - self.begin
        self.gaps = np.zeros(count)
        line = np.flatnonzero(kinds == LINE)
        if len(line):
            self._lines(table, curves[line], line, owner[line])
        conic = np.flatnonzero((kinds != LINE) & (kinds != SPLINE))
        if len(conic):
            self._conics(table, curves[conic], conic, same[conic], owner[conic])
        self.splines: dict[int, Spline] = {}
        for at in np.flatnonzero(kinds == SPLINE).tolist():
            self._spline(spline(table, int(curves[at]), bool(rational[at])), at, bool(same[at]), int(owner[at]))

    def _lines(self, table: Instances, rows: Integers, line: Integers, owner: Integers) -> None:
        """A line needs no more than its ends, but these must be on it."""
        start, vector = table.rows(rows, 0), table.rows(rows, 1)
        if not table.are(vector, b"VECTOR").all():
            raise NotCovered("a vector is none")
        if not (table.reals(vector, 1) > 0).all():
            raise NotCovered("a vector without length")
        way = self.poses.turned(unit(table.vectors(table.rows(vector, 0))), owner)
        off = self.poses.moved(points(table, start), owner)
        beside = cross(np.stack([self.begin[line] - off, self.end[line] - off]), way)
        self.gaps[line] = np.sqrt((beside * beside).sum(axis=2)).max(axis=0)

    def _conics(self, table: Instances, rows: Integers, conic: Integers, same: Flags, owner: Integers) -> None:
        kinds = self.kinds[conic]
        placed = frames(table, table.rows(rows, 0), self.poses, owner)
        round_ = kinds == CIRCLE
        sizes = np.empty((len(conic), 2))
        sizes[round_] = table.reals(rows[round_], 1)
        sizes[~round_] = table.reals(rows[~round_], 2)
        if not (sizes > 0).all():
            raise NotCovered("a conic without size")
        if ((kinds == ELLIPSE) & (np.abs(sizes[:, 0] - sizes[:, 1]) <= 1e-6 * sizes[:, 0])).any():
            raise NotCovered("an ellipse that is a circle")
        sizes *= self.poses.factors[owner, None]
        ends = np.stack([self.begin[conic], self.end[conic]]) - placed.origins
        u, v, _ = np.moveaxis(np.einsum("nki,kji->nkj", ends, placed.axes), 2, 0)
        open_ = kinds == HYPERBOLA
        angles = np.where(open_, np.arcsinh(v / sizes[:, 1]), np.arctan2(v / sizes[:, 1], u / sizes[:, 0]))
        sweep = angles[1] - angles[0]
        turn = np.where(same, sweep, -sweep) % (2 * np.pi)
        closed = self.tails[conic] == self.heads[conic]
        turn[closed] = 2 * np.pi
        if (~open_ & ((turn < 1e-7) | (~closed & (turn > 2 * np.pi - 1e-7)))).any():
            raise NotCovered("an arc that is nothing or all")
        self.starts[conic], self.sweeps[conic] = angles[0], np.where(open_, sweep, np.where(same, turn, -turn))
        if (open_ & (np.where(same, sweep, -sweep) <= 0)).any():
            raise NotCovered("a hyperbola that runs backwards")
        self.origins[conic] = placed.origins
        self.ways[conic] = placed.axes[:, :2] * sizes[:, :, None]

    def _spline(self, curve: Spline, at: int, same: bool, owner: int) -> None:
        weights = curve.poles[:, 3:]
        places = self.poses.moved(curve.poles[:, :3] / weights, np.full(len(weights), owner))
        poles = np.concatenate([places * weights, weights], axis=1)
        self.splines[at] = curve = Spline(curve.degree, curve.knots, poles)
        first, last = (curve.first, curve.last) if same else (curve.last, curve.first)
        ends, _ = curve.at(np.array([first, last]))
        size = float(np.ptp(places, axis=0).max())
        begin = self._near(curve, self.begin[at], first, ends[0], size)
        end = self._near(curve, self.end[at], last, ends[1], size)
        if not (begin < end if same else begin > end):
            raise NotCovered("a B-spline that runs backwards")
        self.starts[at], self.sweeps[at] = begin, end - begin

    @staticmethod
    def _near(curve: Spline, place: Floats, at: float, found: Floats, size: float) -> float:
        """The parameter of a place on the curve: `at` where that is it, else by looking along and Newton's method."""
        if np.linalg.norm(found - place) <= 1e-5 * size:
            return at
        t = np.linspace(curve.first, curve.last, 4 * len(curve.poles) + 1)
        best = float(t[np.argmin(((curve.at(t)[0] - place) ** 2).sum(axis=1))])
        for _ in range(12):
            here, way = curve.at(np.array([best]))
            more = ((place - here[0]) @ way[0]) / max(way[0] @ way[0], 1e-300)
            best = float(np.clip(best + more, curve.first, curve.last))
            if abs(more) <= 1e-12 * (curve.last - curve.first):
                break
        return best

    def at(self, owner: Integers, s: Floats) -> tuple[Floats, Floats]:
        """Places and derivatives by s at s in 0..1 of the edges `owner`, ascending."""
        t = self.starts[owner] + self.sweeps[owner] * s
        kinds = self.kinds[owner]
        f, g, df, dg = t.copy(), np.zeros_like(t), np.ones_like(t), np.zeros_like(t)
        bent = np.flatnonzero((kinds == CIRCLE) | (kinds == ELLIPSE))
        f[bent], g[bent] = np.cos(t[bent]), np.sin(t[bent])
        df[bent], dg[bent] = -g[bent], f[bent]
        open_ = np.flatnonzero(kinds == HYPERBOLA)
        if len(open_):
            f[open_], g[open_] = np.cosh(t[open_]), np.sinh(t[open_])
            df[open_], dg[open_] = g[open_], f[open_]
        ways = self.ways[owner]
        places = self.origins[owner] + ways[:, 0] * f[:, None] + ways[:, 1] * g[:, None]
        tangents = (ways[:, 0] * df[:, None] + ways[:, 1] * dg[:, None]) * self.sweeps[owner, None]
        for at, curve in self.splines.items():
            low, high = np.searchsorted(owner, [at, at + 1])
            mine = slice(int(low), int(high))
            places[mine], way = curve.at(np.clip(t[mine], curve.first, curve.last))
            tangents[mine] = way * self.sweeps[at]
        return places, tangents

    def edges(self) -> Edges:
        lows, highs = self._extremes()
        extent = math.dist(lows.tolist(), highs.tolist())
        spans, where = self._spans(DEVIATION * extent)
        owner, _ = steps(spans + 1)
        nodes, _ = self.at(owner, where)
        last = np.cumsum(spans + 1) - 1
        first = last - spans
        tails, heads = self.begin - nodes.take(first, axis=0), self.end - nodes.take(last, axis=0)
        gaps = np.sqrt(np.maximum((tails * tails).sum(axis=1), (heads * heads).sum(axis=1)))
        self.gaps = np.maximum(self.gaps, gaps)
        apart = float(gaps.max()) > _EXACT * extent
        if apart:
            nodes += _between(tails.take(owner, axis=0), heads.take(owner, axis=0), where)
        nodes[first], nodes[last] = self.begin, self.end
        inner, place = steps(spans)
        tail = first.take(inner) + place
        low, high = where.take(tail), where.take(tail + 1)
        s = low[:, None] + (high - low)[:, None] * _GAUSS
        places, tangents = self.at(np.repeat(inner, len(_GAUSS)), s.ravel())
        shape = (len(inner), len(_GAUSS), 3)
        places, tangents = places.reshape(shape), tangents.reshape(shape)
        if apart:
            places = places + _between(tails.take(inner, axis=0)[:, None], heads.take(inner, axis=0)[:, None], s)
            tangents = tangents + (heads - tails).take(inner, axis=0)[:, None]
        tangents = tangents * ((high - low)[:, None] * _WEIGHTS)[..., None]
        chords = tangents.sum(axis=1)
        swirls = np.add.reduceat(cross(places, tangents).sum(axis=1), np.cumsum(spans) - spans) / 2
        # between an arc of length l that turns by a and its chord lies l l a / 12
        bows = np.where(self.kinds[inner] == LINE, 0.0, (chords * chords).sum(axis=1) * (TURN / 12))
        lengths = np.bincount(inner, np.sqrt((chords * chords).sum(axis=1)), len(spans)).astype(np.float64)
        lows, highs = np.minimum(lows, nodes.min(axis=0)), np.maximum(highs, nodes.max(axis=0))
        return Edges(self.kinds, self.tails, self.heads, spans + 1, nodes, places, tangents, swirls, bows, lengths, lows, highs, self.gaps)

    def _spans(self, deviation: float) -> tuple[Integers, Floats]:
        """How many pieces each edge has, and where in 0..1 each begins and ends."""
        spans = np.ones(len(self.kinds), dtype=np.int64)
        round_ = np.flatnonzero(self.kinds == CIRCLE)
        if len(round_):
            radii = np.sqrt((self.ways[round_, 0] ** 2).sum(axis=1))
            turn = np.minimum(2 * np.arccos(np.maximum(1 - deviation / radii, 0.0)), TURN)
            spans[round_] = np.maximum(np.ceil(np.abs(self.sweeps[round_]) / turn - 1e-6), _LEAST_ROUND)
        odd = np.flatnonzero((self.kinds != CIRCLE) & (self.kinds != LINE))
        uneven = self._uneven(odd, spans, deviation) if len(odd) else {}
        owner, place = steps(spans + 1)
        where = place / spans[owner]
        first = np.cumsum(spans + 1) - spans - 1
        for at, s in uneven.items():
            where[first[at] : first[at] + len(s)] = s
        return spans, where

    def _uneven(self, odd: Integers, spans: Integers, deviation: float) -> dict[int, Floats]:
        """Where in 0..1 the pieces of edges that are no lines and no circles begin and end; their numbers go into `spans`."""
        looked = np.array(
            [max(_LOOKED_AT, 4 * len(self.splines[at].poles) + 1) if at in self.splines else _LOOKED_AT for at in odd.tolist()]
        )
        if int(looked.sum()) > _MOST_LOOKS:
            raise NotCovered("too many curves that are neither lines nor circles")
        owner, place = steps(looked)
        s = place / (looked - 1).take(owner)
        _, way = self.at(odd.take(owner), s)
        length = np.sqrt((way * way).sum(axis=1))
        way = way / np.maximum(length, 1e-300)[:, None]
        cosine = (way[1:] * way[:-1]).sum(axis=1)
        turns = np.arctan2(np.sqrt((cross(way[1:], way[:-1]) ** 2).sum(axis=1)), cosine)
        turns[(length[1:] < 1e-12) | (length[:-1] < 1e-12)] = 0.0
        uneven = {}
        end = np.cumsum(looked)
        for at, first, last in zip(odd.tolist(), (end - looked).tolist(), (end - 1).tolist(), strict=True):
            bends = turns[first:last]
            total = float(bends.sum())
            turn, least = (TURN, 1) if self.kinds[at] == HYPERBOLA else (_ODD_TURN, _LEAST_ODD)
            # a piece of length l that turns by a leaves its chord by l a / 8
            bow = total * float(length[first : last + 1].mean()) / (8 * deviation)
            spans[at] = max(math.ceil(max(total / turn, math.sqrt(bow)) - 1e-6), least) if total > _STRAIGHT else 1
            # mostly by turn, a little by way, so that straight parts advance too
            along = np.concatenate([[0.0], np.cumsum(bends + max(total, 1e-3) / len(bends) * 0.05)])
            uneven[at] = np.interp(np.linspace(0, along[-1], spans[at] + 1), along, s[first : last + 1])
        return uneven

    def _extremes(self) -> tuple[Floats, Floats]:
        """Lowest and highest places: ends, and where arcs turn around."""
        ends = np.concatenate([self.begin, self.end])
        bent = np.flatnonzero((self.kinds == CIRCLE) | (self.kinds == ELLIPSE))
        if len(bent):
            ways, starts, sweeps = self.ways[bent], self.starts[bent, None], self.sweeps[bent, None]
            at = np.arctan2(ways[:, 1], ways[:, 0])
            reach = np.sqrt((ways * ways).sum(axis=1))
            # the place at an angle, and the one across
            angles = np.concatenate([at, at + np.pi], axis=1)
            within = np.where(sweeps > 0, angles - starts, starts - angles) % (2 * np.pi) <= np.abs(sweeps)
            origins = self.origins[bent]
            places = np.where(within, np.concatenate([origins + reach, origins - reach], axis=1), ends[0, [0, 1, 2, 0, 1, 2]])
            ends = np.concatenate([ends, places.reshape(-1, 3)])
        return ends.min(axis=0), ends.max(axis=0)


def _between(begin: Floats, end: Floats, share: Floats) -> Floats:
    return begin * (1 - share)[..., None] + end * share[..., None]
