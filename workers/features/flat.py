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
from workers.features.arcs import ArcMoments, Points, complex_points, squared
from workers.features.hull import hull_2d, polygon_area, polygon_perimeter

# borders of the turning angles in radians, between the usual angles of drawings: 15, 30, 45, 60, 90 degrees and beyond;
# what turns less than the first is a joint of a smooth curve
_TURNING = (0.15, 0.33, 0.66, 0.92, 1.30, 1.85)
# where two pieces turn by t, the cosine between the directions in which they leave their meeting is -cos t
_COSINES = np.array([-math.cos(angle) for angle in _TURNING])
# two ends meet when they agree to this part of the rms radius
_MEETING = 1e-6
_SAME_RADIUS = 1e-4

Moments = Floats | Points
_NONE: Floats = np.zeros(0)
_BORDER = np.ones(1, dtype=bool)

# lines, polylines, texts
_SHARES = (("LINE", "3DLINE"), ("LWPOLYLINE", "POLYLINE"), ("TEXT", "MTEXT", "ATTRIB", "ATTDEF"))


class FlatStudy:
    """Lazily computed properties of one drawing. No property is ever NaN or infinite."""

    def __init__(self, paths: Paths, types: Mapping[str, int]) -> None:
        self.paths, self.types = paths, types
        self.length = paths.length  # mm
        self.weights: Floats = paths.lengths / self.length
        self.arc_weights: Floats = paths.arcs.lengths / self.length if len(paths.arcs.radii) else _NONE
        self.arcs = ArcMoments.of(paths.arcs) if len(paths.arcs.radii) else None
        ends = complex_points(paths.ends)
        # of the coordinates as they were given: far from the origin of these the centroid has fewer digits
        self._directions: Points = (ends[1] - ends[0]) / paths.lengths
        middle = complex(self._mean((ends[0] + ends[1]) / 2, ArcMoments.centroids))
        ends = ends - middle
        self.arcs = self.arcs and self.arcs.seen_from(middle)
        # means of |z|^2 and z^2 on a straight piece from a to b: (|a|^2 + |b|^2 + Re ab*) / 3 and (a^2 + ab + b^2) / 3
        tails, heads = ends[0], ends[1]
        squares = np.concatenate([squared(ends), (tails * heads.conj()).real[None]])
        square = self._mean((squares[0] + squares[1] + squares[2]) / 3, ArcMoments.squares)
        product = self._mean((tails * (tails + heads) + heads * heads) / 3, ArcMoments.products)
        self.rms = math.sqrt(square)  # mm
        # the eigenvalues of the second moment
        self.spread = max((square + abs(product)) / 2, 0.0), max((square - abs(product)) / 2, 0.0)
        self.ends: Points = ends / self.rms  # (2, s): tails, heads
        self._squares = squares / square  # (3, s): |a|^2, |b|^2, Re ab*
        self.arcs = self.arcs and self.arcs.scaled(1 / self.rms)

    def _mean(self, straight: Moments, bent: Callable[[ArcMoments], Moments]) -> Any:
        """The mean along all outlines of what is told for each straight piece and for each arc."""
        mean = self.weights.dot(straight).item()
        return mean + self.arc_weights.dot(bent(self.arcs)).item() if self.arcs else mean

    @property
    def reach(self) -> float:
        """Largest distance from the centroid, in rms radii."""
        farthest = math.sqrt(self._squares[:2].max(initial=0.0))
        return max(self.arcs.reach, farthest) if self.arcs else farthest

    @property
    def fourth_moment(self) -> float:
        """Fourth root of the mean fourth power of the distance from the centroid, in rms radii."""
        # on a straight piece it is the integral over t = 0..1 of ((1 - t)^2 |a|^2 + 2 t (1 - t) Re ab* + t^2 |b|^2)^2
        (aa, ab, ae), (_, bb, be), (_, _, ee) = (self._squares * self.weights).dot(self._squares.T).tolist()
        fourth = (3 * (aa + bb + ae + be) + ab + 2 * ee) / 15
        if self.arcs:
            fourth += self.arc_weights.dot(self.arcs.fourths()).item()
        return math.sqrt(math.sqrt(max(fourth, 0.0)))

    @cached_property
    def hull(self) -> Points:
        return hull_2d(self.ends.ravel(), self.arcs.plain() if self.arcs else None)

    @property
    def hull_area(self) -> float:
        """In squared rms radii."""
        return polygon_area(self.hull)

    @property
    def hull_perimeter(self) -> float:
        """In rms radii."""
        return polygon_perimeter(self.hull)

    def harmonic(self, order: int) -> float:
        """Length-weighted mean of exp(i order angle) over all directions, as a magnitude 0..1; the order is a power of two."""
        power = self._directions
        for _ in range(order.bit_length() - 1):
            power = power * power
        return float(abs(self._mean(power, lambda arcs: arcs.harmonics(order))))

    @property
    def turnings(self) -> Integers:
        """Histogram (6,) of the angles between pieces that meet in pairs, whatever entities they belong to."""
        points, outward = self.ends.ravel(), np.concatenate([self._directions, -self._directions])
        if np.count_nonzero(self.paths.inner):
            corner = ~self.paths.inner.T.ravel()
            points, outward = points[corner], outward[corner]
        # a full circle has no ends
        if self.arcs and np.count_nonzero(open_ := self.arcs.halves < np.pi - _MEETING):
            points = np.concatenate([points, *(ends[open_] for ends in self.arcs.ends)])
            outward = np.concatenate([outward, *(directions[open_] for directions in self.arcs.directions)])
        grid = np.rint(points.view(np.float64) / _MEETING).astype(np.int64)
        # one number for each place: two share one only where they lie thousands of rms radii apart
        place = (grid[::2] << 32) + grid[1::2]
        order = place.argsort()
        ranked = place[order]
        first = np.concatenate([_BORDER, ranked[1:] != ranked[:-1], _BORDER])
        pairs = ((first[:-2] > first[1:-1]) & first[2:]).nonzero()[0]
        cosines = (outward[order[pairs]] * outward[order[pairs + 1]].conj()).real
        return np.bincount(_COSINES.searchsorted(cosines, side="right"), minlength=len(_TURNING) + 1)[1:]

    @property
    def arc_share(self) -> float:
        """Length of arcs, ellipses and splines by total length, 0..1."""
        if not (self.arcs or np.count_nonzero(self.paths.curved)):
            return 0.0
        return min(float(self.weights @ self.paths.curved + self.arc_weights.sum()), 1.0)

    @property
    def distinct_radii(self) -> int:
        """Number of different radii of circular arcs, where one part in 10^4 makes no difference."""
        radii = self.paths.arcs.radii
        if len(radii) < 2:
            return len(radii)
        logs = np.log(np.sort(radii))
        return int(np.count_nonzero(logs[1:] - logs[:-1] > _SAME_RADIUS)) + 1

    @property
    def mean_radius(self) -> float:
        """Length-weighted mean radius of circular arcs, in rms radii; 0 without arcs, at most 100."""
        if not self.arcs:
            return 0.0
        return min(float(self.arcs.radii @ self.arc_weights) / float(self.arc_weights.sum()), 100.0)

    @property
    def shares(self) -> list[float]:
        """Lines, polylines and texts by all entities, references expanded, 0..1 each."""
        expanded = self.paths.expanded
        total = sum(expanded.values()) or 1
        return [sum([expanded.get(kind, 0) for kind in kinds]) / total for kinds in _SHARES]
