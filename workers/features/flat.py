"""Everything the slots of a drawing are made of, computed once per drawing.

Inside, the outlines are moved to their length-weighted centroid and scaled by their root mean square radius, and points are
complex numbers; what is named in millimetres says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np

from workers.cad.shape import Floats, Integers, Paths
from workers.features.arcs import ArcMoments, Points, complex_points, plain_points, squared
from workers.features.hull import hull_2d, polygon_area, polygon_perimeter

# borders of the turning angles in radians, between the usual angles of drawings: 15, 30, 45, 60, 90 degrees and beyond;
# what turns less than the first is a joint of a smooth curve
TURNING = (0.15, 0.33, 0.66, 0.92, 1.30, 1.85, np.pi + 1e-9)
_TURNING = np.array(TURNING)
# two ends meet when they agree to this part of the rms radius
_MEETING = 1e-6
_SAME_RADIUS = 1e-4

Moments = Floats | Points
_NONE: Floats = np.zeros(0)
_BORDER = np.ones(1, dtype=bool)
_NO_TURNINGS: Integers = np.zeros(len(TURNING) - 1, dtype=np.int64)

# lines, polylines, texts
_SHARES = {
    **dict.fromkeys(("LINE", "3DLINE"), 0),
    **dict.fromkeys(("LWPOLYLINE", "POLYLINE"), 1),
    **dict.fromkeys(("TEXT", "MTEXT", "ATTRIB", "ATTDEF"), 2),
}


class FlatStudy:
    """Lazily computed properties of one drawing. No property is ever NaN or infinite."""

    def __init__(self, paths: Paths, types: Mapping[str, int]) -> None:
        self.paths, self.types = paths, types
        self.length = paths.length  # mm
        self.weights: Floats = paths.lengths / self.length
        self.arc_weights: Floats = paths.arcs.lengths / self.length
        self._complex_weights = self.weights.astype(np.complex128)
        # all tails, then all heads
        ends, arcs = complex_points(np.concatenate([paths.tails, paths.heads])), ArcMoments.of(paths.arcs)
        count = len(self.weights)
        middle = complex(self._mean(self._complex_weights, (ends[:count] + ends[count:]) / 2, lambda: arcs.centroids))
        ends, arcs = ends - middle, arcs.moved(middle, 1.0)
        tails, heads = ends[:count], ends[count:]
        # means of |z|^2 and z^2 on a straight piece from a to b: (|a|^2 + |b|^2 + Re ab*) / 3 and (a^2 + ab + b^2) / 3
        bent = arcs.squares if len(self.arc_weights) else (_NONE, _NONE)
        square = self._mean(self.weights, (squared(tails) + squared(heads) + (tails * heads.conj()).real) / 3, lambda: bent[0])
        product = self._mean(self._complex_weights, (tails * (tails + heads) + heads * heads) / 3, lambda: bent[1])
        self.rms = math.sqrt(square)  # mm
        # the eigenvalues of the second moment
        self.spread = max((square + abs(product)) / 2, 0.0), max((square - abs(product)) / 2, 0.0)
        self.ends: Points = ends / self.rms
        self.tails, self.heads = self.ends[:count], self.ends[count:]
        self.arcs = arcs.moved(0.0, 1 / self.rms)

    def _mean(self, weights: Moments, straight: Moments, bent: Callable[[], Moments]) -> Any:
        """The mean along all outlines of what is told for each straight piece and for each arc; weights are of the kind of numbers
        they meet, or all would be converted anew.
        """
        mean = weights.dot(straight).item()
        return mean + (self.arc_weights @ bent()).item() if len(self.arc_weights) else mean

    @cached_property
    def reach(self) -> float:
        """Largest distance from the centroid, in rms radii."""
        return max(self.arcs.reach, float(np.abs(self.ends).max(initial=0.0)))

    @cached_property
    def fourth_moment(self) -> float:
        """Fourth root of the mean fourth power of the distance from the centroid, in rms radii."""
        step = self.heads - self.tails
        a, b, c = squared(self.tails), (self.tails * step.conj()).real, squared(step)
        # integral over t = 0..1 of (a + 2 b t + c t^2)^2
        fourths = a * (a + 2 * b) + (4 * b * b + 2 * a * c) / 3 + c * (b + c / 5)
        return math.sqrt(math.sqrt(max(self._mean(self.weights, fourths, lambda: self.arcs.fourths), 0.0)))

    @cached_property
    def hull(self) -> Floats:
        return hull_2d(plain_points(self.ends), self.arcs.plain() if len(self.arc_weights) else None)

    @cached_property
    def hull_area(self) -> float:
        """In squared rms radii."""
        return polygon_area(self.hull)

    @cached_property
    def hull_perimeter(self) -> float:
        """In rms radii."""
        return polygon_perimeter(self.hull)

    def harmonic(self, order: int) -> float:
        """Length-weighted mean of exp(i order angle) over all directions, as a magnitude 0..1; the order is a power of two."""
        power = self._directions
        for _ in range(order.bit_length() - 1):
            power = power * power
        return float(abs(self._mean(self._complex_weights, power, lambda: self.arcs.harmonics(order))))

    @cached_property
    def _directions(self) -> Points:
        # of the coordinates as they were given: far from the origin of these the centroid has fewer digits
        return complex_points(self.paths.heads - self.paths.tails) / self.paths.lengths

    @cached_property
    def turnings(self) -> Integers:
        """Histogram (6,) of the angles between pieces that meet in pairs, whatever entities they belong to."""
        points, outward = [self.ends], [self._directions, -self._directions]
        if np.count_nonzero(self.paths.inner):
            corner = [~inner for inner in self.paths.inner.T]
            points = [self.ends[np.concatenate(corner)]]
            outward = [some[which] for some, which in zip(outward, corner, strict=True)]
        if len(self.arc_weights):
            # a full circle has no ends
            open_ = self.arcs.halves < np.pi - _MEETING
            points += [ends[open_] for ends in self.arcs.ends]
            outward += [directions[open_] for directions in self.arcs.directions]
        grid = np.rint(np.concatenate(points).view(np.float64) / _MEETING).astype(np.int64)
        # one number for each place: two share one only where they lie thousands of rms radii apart
        place = (grid[::2] << 32) + grid[1::2]
        order = place.argsort()
        ranked = place[order]
        first = np.concatenate([_BORDER, ranked[1:] != ranked[:-1], _BORDER]).nonzero()[0]
        pairs = first[:-1][first[1:] - first[:-1] == 2]
        if not len(pairs):
            return _NO_TURNINGS
        directions = np.concatenate(outward)
        turns = directions[order[pairs]] * directions[order[pairs + 1]].conj()
        angles = np.pi - np.abs(np.arctan2(turns.imag, turns.real))
        angles.sort()
        borders: Integers = angles.searchsorted(_TURNING)
        return borders[1:] - borders[:-1]

    @cached_property
    def arc_share(self) -> float:
        """Length of arcs, ellipses and splines by total length, 0..1."""
        curved = self.paths.curved
        straight = float(self.weights @ curved) if np.count_nonzero(curved) else 0.0
        return min(straight + float(self.arc_weights.sum()), 1.0)

    @cached_property
    def distinct_radii(self) -> int:
        """Number of different radii of circular arcs, where one part in 10^4 makes no difference."""
        radii = self.paths.arcs.radii
        if len(radii) < 2:
            return len(radii)
        logs = np.log(np.sort(radii))
        return int(np.count_nonzero(logs[1:] - logs[:-1] > _SAME_RADIUS)) + 1

    @cached_property
    def mean_radius(self) -> float:
        """Length-weighted mean radius of circular arcs, in rms radii; 0 without arcs, at most 100."""
        total = float(self.arc_weights.sum())
        return min(float(self.arcs.radii @ self.arc_weights) / total, 100.0) if total > 0 else 0.0

    @property
    def shares(self) -> list[float]:
        """Lines, polylines, texts by all entities, references expanded, 0..1."""
        expanded = self.paths.expanded
        total, found = sum(expanded.values()), [0, 0, 0]
        for kind, count in expanded.items():
            at = _SHARES.get(kind)
            if at is not None:
                found[at] += count
        return [count / total for count in found] if total else [0.0, 0.0, 0.0]
