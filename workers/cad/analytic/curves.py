"""Edges: lines, conics and B-splines as polylines, and what is integrated along them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.analytic.poses import Poses, frames
from workers.cad.analytic.splines import Spline, points, spline
from workers.cad.analytic.vectors import cross, dot, unit
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
# places and weights of Gauss and Legendre on 0..1. Of lines and arcs two a span are good for 2e-8, or exact, on all but balls and rings
_FEW_PLACES, _MANY_PLACES = ((places / 2 + 0.5, weights / 2) for places, weights in map(np.polynomial.legendre.leggauss, (2, 4)))
_CURVES = (b"LINE", b"CIRCLE", b"ELLIPSE", b"HYPERBOLA", b"B_SPLINE_CURVE_WITH_KNOTS")
_CARRIERS = (b"SURFACE_CURVE", b"SEAM_CURVE", b"INTERSECTION_CURVE")


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """e edges; a node is a place where the polyline bends, or its end."""

    kinds: Integers  # (e,)
    tails: Integers  # (e,) vertex it begins with
    heads: Integers  # (e,)
    counts: Integers  # (e,) nodes, both ends included
    nodes: Floats  # (3, sum of counts)
    each: int  # places in each of the s spans between the nodes of an edge:
    places: Floats  # (3, s times each) these, and
    tangents: Floats  # (3, s times each) the derivative there times the weight in the span
    swirls: Floats  # (3, e) half the integral of P x dP over places P along each
    bows: Floats  # (s,) at most the area between a span and its chord
    lengths: Floats  # (e,) about
    lows: Floats  # (3,) exact extent, except of B-splines and hyperbolas
    highs: Floats
    gaps: Floats  # (e,) largest distance of an end from its vertex


def edges_of(
    table: Instances, rows: Integers, vertices: Floats, tails: Integers, heads: Integers, poses: Poses, owner: Integers, bulging: bool
) -> Edges:
    """Edges of EDGE_CURVEs at `rows` with the vertices at both ends; `bulging`: there are balls or rings between them."""
    curves, same = table.rows(rows, 2), table.flags(rows)
    for _ in range(2):
        carried = table.are(curves, *_CARRIERS)
        if not np.count_nonzero(carried):
            break
        curves[carried] = table.rows(curves[carried], 0)
    kinds = table.among(curves, _CURVES)
    rational = kinds < 0
    if np.count_nonzero(rational):
        for at in rational.nonzero()[0].tolist():
            if b"RATIONAL_B_SPLINE_CURVE" not in table.text(curves[at]):
                raise NotCovered("an edge on an odd curve")
        kinds[rational] = SPLINE
    return _Tracing(table, curves, kinds, rational, same, vertices, tails, heads, poses, owner).edges(bulging)


class _Tracing:
    """Edge k is origin + way f(t) + other way g(t) for t from starts to starts + sweeps; B-splines stand apart."""

    def __init__(
        self, table: Instances, curves: Integers, kinds: Integers, rational: Flags, same: Flags,
        vertices: Floats, tails: Integers, heads: Integers, poses: Poses, owner: Integers,
    ) -> None:  # fmt: skip
        self.kinds, self.tails, self.heads, self.poses = kinds, tails, heads, poses
        count = len(kinds)
        self.begin, self.end = vertices.take(tails, axis=1), vertices.take(heads, axis=1)
        # (3, 3, e): origin, way and other way
        self.basis = np.zeros((3, 3, count))
        self.basis[0] = self.begin
        np.subtract(self.end, self.begin, out=self.basis[1])
        self.starts, self.sweeps = np.zeros(count), np.ones(count)
        self.gaps = np.zeros(count)
        line = (kinds == LINE).nonzero()[0]
        if len(line):
            self._lines(table, curves.take(line), line, owner.take(line))
        conic = ((kinds != LINE) & (kinds != SPLINE)).nonzero()[0]
        if len(conic):
            self._conics(table, curves.take(conic), conic, same.take(conic), owner.take(conic))
        self.splines: dict[int, Spline] = {}
        if len(line) + len(conic) < count:
            for at in (kinds == SPLINE).nonzero()[0].tolist():
                self._spline(spline(table, int(curves[at]), bool(rational[at])), at, bool(same[at]), int(owner[at]))

    def _lines(self, table: Instances, rows: Integers, line: Integers, owner: Integers) -> None:
        """A line needs no more than its ends, but these must be on it."""
        start, vector = table.rows(rows, 0), table.rows(rows, 1)
        if not table.all_are(vector, b"VECTOR"):
            raise NotCovered("a vector is none")
        if np.count_nonzero(table.reals(vector, 1) > 0) < len(line):
            raise NotCovered("a vector without length")
        way = unit(table.vectors(table.rows(vector, 0)))
        if np.count_nonzero(np.isnan(way)):
            raise NotCovered("a direction without length")
        way = self.poses.turned(way, owner)
        off = self.poses.moved(points(table, start), owner)
        ends = (cross(vertices.take(line, axis=1) - off, way) for vertices in (self.begin, self.end))
        self.gaps[line] = np.sqrt(np.maximum(*(dot(beside, beside) for beside in ends)))

    def _conics(self, table: Instances, rows: Integers, conic: Integers, same: Flags, owner: Integers) -> None:
        kinds = self.kinds.take(conic)
        placed = frames(table, table.rows(rows, 0), self.poses, owner)
        round_, odd = (kinds == CIRCLE).nonzero()[0], (kinds != CIRCLE).nonzero()[0]
        sizes = np.empty((2, len(conic)))
        sizes[:, round_] = table.reals(rows.take(round_), 1)
        if len(odd):
            sizes[:, odd] = table.reals(rows.take(odd), 2)
        if np.count_nonzero(sizes > 0) < sizes.size:
            raise NotCovered("a conic without size")
        if np.count_nonzero((kinds == ELLIPSE) & (np.abs(sizes[0] - sizes[1]) <= 1e-6 * sizes[0])):
            raise NotCovered("an ellipse that is a circle")
        sizes *= self.poses.factors.take(owner)
        # (2, k) of both ends
        u, v = np.empty((2, 2, len(conic)))
        for at, vertices in enumerate((self.begin, self.end)):
            place = vertices.take(conic, axis=1) - placed.origins
            u[at], v[at] = dot(place, placed.axes[0]), dot(place, placed.axes[1])
        angles = np.arctan2(v / sizes[1], u / sizes[0])
        open_ = kinds == HYPERBOLA
        if np.count_nonzero(open_):
            angles = np.where(open_, np.arcsinh(v / sizes[1]), angles)
        way = np.where(same, 1.0, -1.0)
        sweep = angles[1] - angles[0]
        turn = (way * sweep) % (2 * np.pi)
        closed = self.tails.take(conic) == self.heads.take(conic)
        turn[closed] = 2 * np.pi
        if np.count_nonzero(~open_ & ((turn < 1e-7) | (~closed & (turn > 2 * np.pi - 1e-7)))):
            raise NotCovered("an arc that is nothing or all")
        if np.count_nonzero(open_ & (way * sweep <= 0)):
            raise NotCovered("a hyperbola that runs backwards")
        self.starts[conic], self.sweeps[conic] = angles[0], np.where(open_, sweep, way * turn)
        self.basis[0][:, conic] = placed.origins
        self.basis[1][:, conic] = placed.axes[0] * sizes[0]
        self.basis[2][:, conic] = placed.axes[1] * sizes[1]

    def _spline(self, curve: Spline, at: int, same: bool, owner: int) -> None:
        weights = curve.poles[:, 3:]
        places = self.poses.moved((curve.poles[:, :3] / weights).T, np.full(len(weights), owner)).T
        poles = np.concatenate([places * weights, weights], axis=1)
        self.splines[at] = curve = Spline(curve.degree, curve.knots, poles)
        first, last = (curve.first, curve.last) if same else (curve.last, curve.first)
        ends, _ = curve.at(np.array([first, last]))
        size = float(np.ptp(places, axis=0).max())
        begin = self._near(curve, self.begin[:, at], first, ends[0], size)
        end = self._near(curve, self.end[:, at], last, ends[1], size)
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
        """Places and derivatives by s (3, n) at s in 0..1 of the edges `owner`."""
        sweeps = self.sweeps.take(owner)
        t = self.starts.take(owner) + sweeps * s
        kinds = self.kinds.take(owner)
        f, g, df, dg = t.copy(), np.zeros(len(t)), np.ones(len(t)), np.zeros(len(t))
        bent = ((kinds == CIRCLE) | (kinds == ELLIPSE)).nonzero()[0]
        if len(bent):
            angles = t.take(bent)
            cosine, sine = np.cos(angles), np.sin(angles)
            f[bent], g[bent], df[bent], dg[bent] = cosine, sine, -sine, cosine
        open_ = (kinds == HYPERBOLA).nonzero()[0]
        if len(open_):
            f[open_], g[open_] = np.cosh(t[open_]), np.sinh(t[open_])
            df[open_], dg[open_] = g[open_], f[open_]
        origins, way, other = self.basis.take(owner, axis=2)
        places = origins + way * f + other * g
        tangents = (way * df + other * dg) * sweeps
        order = np.argsort(owner, kind="stable") if self.splines else owner
        for at, curve in self.splines.items():
            mine = order[slice(*owner.searchsorted([at, at + 1], sorter=order).tolist())]
            place, slope = curve.at(np.clip(t[mine], curve.first, curve.last))
            places[:, mine], tangents[:, mine] = place.T, slope.T * self.sweeps[at]
        return places, tangents

    def edges(self, bulging: bool) -> Edges:
        lows, highs = self._extremes()
        extent = math.dist(lows.tolist(), highs.tolist())
        spans, where = self._spans(DEVIATION * extent)
        edge = np.arange(len(spans))
        owner, inner = edge.repeat(spans + 1), edge.repeat(spans)
        # the nodes of an edge are one more than its spans
        tail = np.arange(len(inner)) + inner
        low = where.take(tail)
        wide = where.take(tail + 1) - low
        gauss, weights = _MANY_PLACES if bulging or np.count_nonzero(self.kinds > CIRCLE) else _FEW_PLACES
        each = len(gauss)
        s = (low[:, None] + wide[:, None] * gauss).ravel()
        every = inner.repeat(each)
        # in one go: of small files the number of calls is what takes time
        found, slopes = self.at(np.concatenate([owner, every]), np.concatenate([where, s]))
        nodes, places, tangents = found[:, : len(owner)], found[:, len(owner) :], slopes[:, len(owner) :]
        last = (spans + 1).cumsum() - 1
        first = last - spans
        tails, heads = self.begin - nodes.take(first, axis=1), self.end - nodes.take(last, axis=1)
        gaps = np.sqrt(np.maximum(dot(tails, tails), dot(heads, heads)))
        self.gaps = np.maximum(self.gaps, gaps)
        apart = float(gaps.max()) > _EXACT * extent
        if apart:
            nodes += tails.take(owner, axis=1) * (1 - where) + heads.take(owner, axis=1) * where
            places += tails.take(every, axis=1) * (1 - s) + heads.take(every, axis=1) * s
            tangents += (heads - tails).take(every, axis=1)
        nodes[:, first], nodes[:, last] = self.begin, self.end
        tangents *= (wide[:, None] * weights).ravel()
        chords = nodes.take(tail + 1, axis=1) - nodes.take(tail, axis=1)
        squares = dot(chords, chords)
        swirls = np.add.reduceat(cross(places, tangents), (spans.cumsum() - spans) * each, axis=1) / 2
        # between an arc of length l that turns by a and its chord lies l l a / 12
        bows = np.where(self.kinds.take(inner) == LINE, 0.0, squares * (TURN / 12))
        lengths: Floats = np.asarray(np.bincount(inner, np.sqrt(squares), len(spans)), dtype=np.float64)
        lows, highs = np.minimum(lows, nodes.min(axis=1)), np.maximum(highs, nodes.max(axis=1))
        counts = spans + 1
        return Edges(
            self.kinds, self.tails, self.heads, counts, nodes, each, places, tangents, swirls, bows, lengths, lows, highs, self.gaps
        )

    def _spans(self, deviation: float) -> tuple[Integers, Floats]:
        """How many pieces each edge has, and where in 0..1 each begins and ends."""
        spans = np.ones(len(self.kinds), dtype=np.int64)
        round_ = (self.kinds == CIRCLE).nonzero()[0]
        if len(round_):
            way = self.basis[1].take(round_, axis=1)
            turn = np.minimum(2 * np.arccos(np.maximum(1 - deviation / np.sqrt(dot(way, way)), 0.0)), TURN)
            spans[round_] = np.maximum(np.ceil(np.abs(self.sweeps.take(round_)) / turn - 1e-6), _LEAST_ROUND)
        odd = (self.kinds > CIRCLE).nonzero()[0]
        if len(odd):
            spans[odd], advance, s, first, last = self._advance(odd, deviation)
        owner, place = steps(spans + 1)
        where = place / spans.take(owner)
        if len(odd):
            number = np.full(len(spans), -1)
            number[odd] = np.arange(len(odd))
            number = number.take(owner)
            mine = (number >= 0).nonzero()[0]
            number = number.take(mine)
            begin, end = advance.take(first).take(number), advance.take(last).take(number)
            where[mine] = np.interp(begin + (end - begin) * where.take(mine), advance, s)
        return spans, where

    def _advance(self, odd: Integers, deviation: float) -> tuple[Integers, Floats, Floats, Integers, Integers]:
        """How many pieces the edges `odd` (o,) have, that are no lines and no circles. Their pieces are alike in what the curves advance
        (n,), looked at in many places s (n,), from the `first` to the `last` (o,) of each edge.
        """
        looked = np.full(len(odd), _LOOKED_AT)
        for number, at in enumerate(odd.tolist() if self.splines else ()):
            if at in self.splines:
                looked[number] = max(_LOOKED_AT, 4 * len(self.splines[at].poles) + 1)
        if int(looked.sum()) > _MOST_LOOKS:
            raise NotCovered("too many curves that are neither lines nor circles")
        owner, place = steps(looked)
        s = place / (looked - 1).take(owner)
        _, way = self.at(odd.take(owner), s)
        length = np.sqrt(dot(way, way))
        way /= np.maximum(length, 1e-300)
        last = looked.cumsum() - 1
        first = last - looked + 1
        # turn from each place to the next
        turns = np.zeros(len(s))
        one, two = way[:, :-1], way[:, 1:]
        across = cross(one, two)
        turns[:-1] = np.arctan2(np.sqrt(dot(across, across)), dot(one, two))
        turns[:-1][(length[1:] < 1e-12) | (length[:-1] < 1e-12)] = 0.0
        turns[last] = 0.0
        totals = np.add.reduceat(turns, first)
        open_ = self.kinds.take(odd) == HYPERBOLA
        # a piece of length l that turns by a leaves its chord by l a / 8
        bows = totals * (np.add.reduceat(length, first) / looked) / (8 * deviation)
        most = np.maximum(totals / np.where(open_, TURN, _ODD_TURN), np.sqrt(bows))
        counts = np.maximum(np.ceil(most - 1e-6), np.where(open_, 1, _LEAST_ODD))
        # mostly by turn, a little by way, so that straight parts advance too; a jump from edge to edge
        turns += (np.maximum(totals, 1e-3) / (looked - 1) * 0.05).take(owner)
        turns[last] = 1.0
        advance = turns.cumsum() - turns
        return np.where(totals > _STRAIGHT, counts, 1).astype(np.int64), advance, s, first, last

    def _extremes(self) -> tuple[Floats, Floats]:
        """Lowest and highest places: ends, and where arcs turn around."""
        lows = np.minimum(self.begin.min(axis=1), self.end.min(axis=1))
        highs = np.maximum(self.begin.max(axis=1), self.end.max(axis=1))
        bent = ((self.kinds == CIRCLE) | (self.kinds == ELLIPSE)).nonzero()[0]
        if len(bent):
            origins, way, other = self.basis.take(bent, axis=2)
            begin, starts, sweeps = self.begin.take(bent, axis=1), self.starts.take(bent), self.sweeps.take(bent)
            reach = np.sqrt(way * way + other * other)
            at = np.arctan2(other, way)
            # the places at an angle, and across
            for angles, places in ((at, origins + reach), (at + np.pi, origins - reach)):
                beyond = np.where(sweeps > 0, angles - starts, starts - angles) % (2 * np.pi) > np.abs(sweeps)
                reached = np.where(beyond, begin, places)
                lows, highs = np.minimum(lows, reached.min(axis=1)), np.maximum(highs, reached.max(axis=1))
        return lows, highs
