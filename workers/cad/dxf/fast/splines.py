"""SPLINE entities with control points, all of one degree at once, at the same parameters as the reference."""

from __future__ import annotations

import math

import numpy as np

from workers.cad.dxf.curves import SPAN_PIECES, SPLINE_PIECES
from workers.cad.dxf.fast.forms import SPLINE_CODES, Forms
from workers.cad.dxf.fast.outlines import Outlines
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.shape import Floats, Integers, steps

# the highest degree the reference evaluates
_MOST_DEGREE = 10
# straight pieces of all splines together; more would only take memory, for no limit allows them
_MOST_PIECES = 4_000_000


def splines(forms: Forms, of: Integers, to: Outlines) -> None:
    """Raises `NotCovered` where a knot vector is unusual: the reference knows how to read some of them."""
    for form in forms.each(of):
        if form.subclasses[1:] != [b"AcDbEntity", b"AcDbSpline"] or form.embedded:
            raise NotCovered("an odd spline")
    tags = forms.plan.tags
    owner, at = forms.many(of, SPLINE_CODES)
    codes = tags.codes[at]
    controls, knots, weights = (np.bincount(owner[codes == code], minlength=len(of)) for code in (10, 40, 41))
    degree = forms.number(of, 71, 3.0, subclass=2).astype(np.int64)
    if ((degree < 1) | (degree > _MOST_DEGREE)).any():
        raise NotCovered("an odd degree")
    # without knots the reference makes them up
    good = (controls > degree) & ((knots == controls + degree + 1) | (knots == 0)) & ((weights == controls) | (weights == 0))
    to.invalid.append(of[~good])
    if (good & (knots == 0)).any():
        raise NotCovered("a spline without knots")
    tolerance = forms.number(of, 42, 1e-10, subclass=2)
    for p in np.unique(degree[good]).tolist():
        some = np.flatnonzero(good & (degree == p))
        number = np.full(len(of), -1, dtype=np.int64)
        number[some] = np.arange(len(some))
        mine = number[owner] >= 0
        kind, place, who = codes[mine], at[mine], number[owner[mine]]
        vector = _Knots(tags.numbers[place[kind == 40]], who[kind == 40], tolerance[some], p)
        points = _points(place[kind == 10], forms)
        share = np.ones(len(points))
        # weights are there for all points of a spline or for none
        share[(weights[some] > 0)[who[kind == 10]]] = tags.numbers[place[kind == 41]]
        curves, which, index = vector.curves(points, share)
        first, last = index == 0, index == vector.pieces[which]
        lines = np.stack([curves[~last], curves[~first]], axis=1)
        to.curves.append((lines, np.stack([~first[~last], ~last[~first]], axis=1), of[some[which[~last]]]))


def _points(at: Integers, forms: Forms) -> Floats:
    tags = forms.plan.tags
    z = np.where(tags.codes[at + 2] == 30, tags.numbers[at + 2], 0.0)
    return np.column_stack([tags.numbers[at], tags.numbers[at + 1], z])


class _Knots:
    """The knot vectors of s splines of one degree, one after the other, rounded and normalised as the reference does it."""

    def __init__(self, knots: Floats, owner: Integers, tolerance: Floats, degree: int) -> None:
        self.degree, self.owner = degree, owner
        self.counts = np.bincount(owner)
        self.starts = np.cumsum(self.counts) - self.counts
        ends = self.starts + self.counts - 1
        for value in np.unique(tolerance).tolist():
            digits = -int(math.log10(value)) if value > 0 else 0
            if digits > 0:
                some = tolerance[owner] == value
                knots[some] = _rounded(knots[some], digits)
        low, high = knots[self.starts], knots[ends]
        if not (high > low).all():
            raise NotCovered("knots out of order")
        shifted = (low != 0)[owner]
        knots[shifted] = ((knots - low[owner]) / (high - low)[owner])[shifted]
        step = np.diff(knots)
        step[ends[:-1]] = 0
        self.first, self.last, self.highest = knots[self.starts + degree], knots[ends - degree], knots[ends]
        # an empty last span, or one that runs backwards, is divided by
        if (step < 0).any() or not (self.first < self.last).all() or not (knots[ends - degree - 1] < self.last).all():
            raise NotCovered("knots out of order")
        spans = np.bincount(owner[1:], weights=step > 0, minlength=len(self.counts)).astype(np.int64)
        self.pieces: Integers = np.minimum(np.maximum(spans, 1) * SPAN_PIECES, SPLINE_PIECES)
        if self.pieces.sum() > _MOST_PIECES:
            raise NotCovered("splines without end")
        self.knots = knots

    def curves(self, points: Floats, weights: Floats) -> tuple[Floats, Integers, Integers]:
        """Points of the curves (n, 3), the spline each belongs to and its place in it, by control points and their weights.

        Basis functions: L. Piegl, W. Tiller, The NURBS Book (1997), algorithm A2.2.
        """
        which, index = steps(self.pieces + 1)
        u = self.first[which] + index * ((self.last - self.first) / self.pieces)[which]
        u = np.where(index == self.pieces[which], self.last[which], u)
        u = np.where(np.abs(u - self.highest[which]) <= np.maximum(1e-9 * self.highest[which], 1e-12), self.highest[which], u)
        # complex numbers are ordered by their real parts first: each parameter is looked up among the knots of its own spline
        span = np.searchsorted(self.owner + 1j * self.knots, which + 1j * u, side="right") - 1
        span = np.minimum(span, (self.starts + self.counts)[which] - self.degree - 2)
        basis = [np.ones(len(u))]
        left, right = [basis[0]], [basis[0]]
        for j in range(1, self.degree + 1):
            left.append(u - self.knots[span + 1 - j])
            right.append(self.knots[span + j] - u)
            saved = np.zeros(len(u))
            for r in range(j):
                share = basis[r] / (right[r + 1] + left[j - r])
                basis[r] = saved + right[r + 1] * share
                saved = left[j - r] * share
            basis.append(saved)
        # a spline has one control point for each knot but degree + 1 of them
        at = span - self.degree - which * (self.degree + 1)
        if (weights != 1).any():
            basis = [part * weights[at + r] for r, part in enumerate(basis)]
            total = sum(basis[1:], basis[0])
            if not (np.abs(total) > 1e-9).all():
                raise NotCovered("weights that cancel out")
            basis = [part / total for part in basis]
        curves = np.zeros((len(u), 3))
        for r, part in enumerate(basis):
            curves += part[:, None] * points[at + r]
        return curves, which, index


def _rounded(numbers: Floats, digits: int) -> Floats:
    """As `round` does it; numbers near the border between two, and very long ones, one by one."""
    if digits > 15:
        return np.array([round(number, digits) for number in numbers.tolist()])
    scaled = numbers * 10.0**digits
    near = np.rint(scaled)
    doubtful = (np.abs(np.abs(scaled - near) - 0.5) < 1e-3) | (np.abs(scaled) > 1e12)
    rounded = near / 10.0**digits
    rounded[doubtful] = [round(number, digits) for number in numbers[doubtful].tolist()]
    return rounded
