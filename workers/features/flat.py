"""Everything the slots of a drawing are made of, computed once per drawing.

Inside, the outlines are moved to their length-weighted centroid and scaled by their root mean square radius; what is named
in millimetres says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from workers.cad.shape import Floats, Integers, Paths
from workers.features.hull import hull_2d, polygon_area, polygon_perimeter

# borders of the turning angles in radians, between the usual angles of drawings: 15, 30, 45, 60, 90 degrees and beyond;
# what turns less than the first is a joint of a smooth curve
TURNING = (0.15, 0.33, 0.66, 0.92, 1.30, 1.85, np.pi + 1e-9)
# two ends meet when they agree to this part of the rms radius
_MEETING = 1e-6
_SAME_RADIUS = 1e-4

_LINES = frozenset({"LINE", "3DLINE"})
_POLYLINES = frozenset({"LWPOLYLINE", "POLYLINE"})
_TEXTS = frozenset({"TEXT", "MTEXT", "ATTRIB", "ATTDEF"})


class FlatStudy:
    """Lazily computed properties of one drawing. No property is ever NaN or infinite."""

    def __init__(self, paths: Paths, types: Mapping[str, int]) -> None:
        self.paths, self.types = paths, types
        self.length = float(paths.lengths.sum())  # mm
        weights = paths.lengths / self.length
        middle = weights @ ((paths.tails + paths.heads) / 2)
        tails, heads = paths.tails - middle, paths.heads - middle
        # exact second moment of a straight piece: L/6 (2 a a' + 2 b b' + a b' + b a')
        w = weights[:, None]
        cross = (tails * w).T @ heads
        moment = (2 * ((tails * w).T @ tails) + 2 * ((heads * w).T @ heads) + cross + cross.T) / 6
        self.rms = float(np.sqrt(np.trace(moment)))  # mm
        self.weights: Floats = weights
        self.tails: Floats = tails / self.rms
        self.heads: Floats = heads / self.rms
        self.spread: Floats = np.clip(np.linalg.eigvalsh(moment)[::-1], 0.0, None)

    @cached_property
    def reach(self) -> float:
        """Largest distance from the centroid, in rms radii."""
        points = np.concatenate([self.tails, self.heads])
        return float(np.sqrt((points * points).sum(axis=1).max()))

    @cached_property
    def fourth_moment(self) -> float:
        """Fourth root of the mean fourth power of the distance from the centroid, in rms radii; exact for straight pieces."""
        step = self.heads - self.tails
        a = (self.tails * self.tails).sum(axis=1)
        b = (self.tails * step).sum(axis=1)
        c = (step * step).sum(axis=1)
        # integral over t = 0..1 of (a + 2 b t + c t^2)^2
        mean = self.weights @ (a * a + 2 * a * b + (4 * b * b + 2 * a * c) / 3 + b * c + c * c / 5)
        return float(max(mean, 0.0) ** 0.25)

    @cached_property
    def hull(self) -> Floats:
        return hull_2d(np.concatenate([self.tails, self.heads]))

    @cached_property
    def hull_area(self) -> float:
        """In squared rms radii."""
        return polygon_area(self.hull)

    @cached_property
    def hull_perimeter(self) -> float:
        """In rms radii."""
        return polygon_perimeter(self.hull)

    def harmonic(self, order: int) -> float:
        """Length-weighted mean of exp(i order angle) over the directions of all pieces, as a magnitude 0..1."""
        return float(abs(self.weights @ np.exp(1j * order * self._angles)))

    @cached_property
    def _angles(self) -> Floats:
        step = self.heads - self.tails
        return np.asarray(np.arctan2(step[:, 1], step[:, 0]))

    @cached_property
    def turnings(self) -> Integers:
        """Histogram (6,) of the angles between pieces that meet in pairs, whatever entities they belong to."""
        inner = self.paths.inner
        points = np.concatenate([self.tails[~inner[:, 0]], self.heads[~inner[:, 1]]])
        step = self.heads - self.tails
        outward = np.concatenate([step[~inner[:, 0]], -step[~inner[:, 1]]])
        if not len(points):
            return np.zeros(len(TURNING) - 1, dtype=np.int64)
        place = np.rint(points / _MEETING).astype(np.int64)
        order = np.lexsort(place.T)
        ranked = place[order]
        first = np.flatnonzero(np.append(True, (ranked[1:] != ranked[:-1]).any(axis=1)))
        pairs = first[np.diff(np.append(first, len(ranked))) == 2]
        a, b = outward[order[pairs]], outward[order[pairs + 1]]
        angle = np.pi - np.abs(np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(axis=1)))
        return np.histogram(angle, bins=np.array(TURNING))[0].astype(np.int64)

    @cached_property
    def arc_share(self) -> float:
        """Length of arcs, ellipses and splines by total length, 0..1."""
        return min(float(self.weights[self.paths.curved].sum()), 1.0)

    @cached_property
    def distinct_radii(self) -> int:
        """Number of different radii of circular arcs, where one part in 10^4 makes no difference."""
        logs = np.sort(np.log(self.paths.radii))
        return int((np.diff(logs) > _SAME_RADIUS).sum()) + 1 if len(logs) else 0

    @cached_property
    def mean_radius(self) -> float:
        """Length-weighted mean radius of circular arcs, in rms radii; 0 without arcs, at most 100."""
        total = float(self.paths.arc_lengths.sum())
        return min(float(self.paths.radii @ self.paths.arc_lengths) / total / self.rms, 100.0) if total > 0 else 0.0

    def share(self, kinds: frozenset[str]) -> float:
        """Entities of these types by all entities, references expanded, 0..1."""
        total = sum(self.paths.expanded.values())
        return sum(self.paths.expanded.get(kind, 0) for kind in kinds) / total if total else 0.0

    @property
    def shares(self) -> tuple[float, float, float]:
        """Lines, polylines, texts."""
        return self.share(_LINES), self.share(_POLYLINES), self.share(_TEXTS)
