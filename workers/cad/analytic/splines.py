"""B-spline curves, rational ones too: points and tangents by the recurrence of Cox and de Boor."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.shape import LARGEST, Floats, Integers

_MOST_DEGREE, _MOST_POLES = 25, 10_000
_LISTS = rb"\(\s*([\d\s,]*)\)\s*,\s*\(([-+\d.Ee\s,]*)\)"
_PLAIN = re.compile(rb"\(\s*'(?:[^']|'')*'\s*,\s*(\d+)\s*,\s*\(([#\d\s,]*)\)[^()]*," + rb"\s*" + _LISTS)
_DEGREE = re.compile(rb"B_SPLINE_CURVE\s*\(\s*(\d+)\s*,\s*\(([#\d\s,]*)\)")
_KNOTS = re.compile(rb"B_SPLINE_CURVE_WITH_KNOTS\s*\(\s*" + _LISTS)
_WEIGHTS = re.compile(rb"RATIONAL_B_SPLINE_CURVE\s*\(\s*\(([-+\d.Ee\s,]*)\)")


@dataclass(frozen=True, slots=True, eq=False)
class Spline:
    """A curve over parameters first..last."""

    degree: int
    knots: Floats  # (n + degree + 1,)
    poles: Floats  # (n, 4): weight times place, and weight

    @property
    def first(self) -> float:
        return float(self.knots[self.degree])

    @property
    def last(self) -> float:
        return float(self.knots[len(self.poles)])

    def at(self, t: Floats) -> tuple[Floats, Floats]:
        """Points and derivatives (k, 3) each."""
        whole = _combined(self.knots, self.degree, self.poles, t)
        steps = self.knots[self.degree + 1 : len(self.poles) + self.degree] - self.knots[1 : len(self.poles)]
        slopes = self.degree * np.diff(self.poles, axis=0) / np.where(steps > 0, steps, 1.0)[:, None]
        slopes[steps <= 0] = 0.0
        change = _combined(self.knots[1:-1], self.degree - 1, slopes, t)
        weight = whole[:, 3:]
        place = whole[:, :3] / weight
        return place, (change[:, :3] - change[:, 3:] * place) / weight


def _combined(knots: Floats, degree: int, poles: Floats, t: Floats) -> Floats:
    """The curve (k, d) of plain poles (n, d): in each span the degree + 1 poles that matter, blended step by step."""
    span = np.clip(np.searchsorted(knots, t, side="right") - 1, degree, len(poles) - 1)
    points = poles[span[:, None] + np.arange(-degree, 1)]
    for level in range(1, degree + 1):
        places = span[:, None] + np.arange(level - degree, 1)
        low, high = knots[places], knots[places + degree - level + 1]
        share = (t[:, None] - low) / np.where(high > low, high - low, 1.0)
        points = points[:, :-1] * (1 - share)[..., None] + points[:, 1:] * share[..., None]
    return np.asarray(points[:, 0])


def spline(table: Instances, row: int, rational: bool) -> Spline:
    """The curve of one entity; knots and poles must fit each other."""
    text = table.text(row)
    head = (_DEGREE if rational else _PLAIN).search(text)
    knots = _KNOTS.search(text) if rational else head
    if head is None or knots is None:
        raise NotCovered("a B-spline is not written as it should be")
    lists = (1, 2) if rational else (3, 4)
    degree = int(head[1])
    count = head[2].count(b"#")
    rows = table.references[table.firsts[row] : table.firsts[row] + count]
    if len(rows) != count or (rows < 0).any() or table.firsts[row + 1] - table.firsts[row] != count:
        raise NotCovered("a B-spline is not written as it should be")
    if not 1 <= degree <= _MOST_DEGREE or not degree < count <= _MOST_POLES:
        raise NotCovered("a B-spline of odd degree or size")
    times, values = _numbers(knots[lists[0]]).astype(np.int64), _numbers(knots[lists[1]])
    if len(times) != len(values) or (times < 1).any() or (times > degree + 1).any() or int(times.sum()) != count + degree + 1:
        raise NotCovered("the knots of a B-spline do not fit")
    whole = np.repeat(values, times)
    if (np.diff(values) <= 0).any():
        raise NotCovered("the knots of a B-spline do not fit")
    weights = np.ones(count)
    if rational:
        found = _WEIGHTS.search(text)
        weights = _numbers(found[1]) if found else weights[:0]
        if len(weights) != count or not (weights > 0).all():
            raise NotCovered("the weights of a B-spline do not fit")
    places = points(table, rows)
    return Spline(degree, whole, np.column_stack([(places * weights).T, weights]))


def points(table: Instances, rows: Integers) -> Floats:
    """Places (3, n) of CARTESIAN_POINTs."""
    if not table.all_are(rows, b"CARTESIAN_POINT"):
        raise NotCovered("a point is none")
    return table.vectors(rows)


def _numbers(text: bytes) -> Floats:
    try:
        values = np.array(text.split(b","), dtype=np.float64)
    except ValueError as error:
        raise NotCovered("a number is not written as it should be") from error
    if not (np.abs(values) <= LARGEST).all():
        raise NotCovered("a number is not finite or absurdly large")
    return values
