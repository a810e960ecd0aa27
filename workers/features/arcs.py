"""Circular arcs of a drawing with the exact moments of their curves. Points of the plane are complex numbers here, x + iy."""

from __future__ import annotations

from functools import cached_property

import msgspec
import numpy as np
from numpy.typing import NDArray

from workers.cad.shape import Arcs, Floats

Points = NDArray[np.complex128]

# Gauss-Legendre on 0..1: exact to the last digits for what is averaged over half a turn at most
_NODES, _SHARES = (np.polynomial.legendre.leggauss(10) + np.array([[1.0], [0.0]])) / 2


def complex_points(points: Floats) -> Points:
    """Points (..., 2) as complex numbers (...)."""
    return np.ascontiguousarray(points).view(np.complex128)[..., 0]


def plain_points(points: Points) -> Floats:
    """Complex numbers, n in all, as points (n, 2)."""
    return points.view(np.float64).reshape(-1, 2)


def squared(points: Points) -> Floats:
    """Squared distances from the origin."""
    x, y = points.real, points.imag
    return x * x + y * y


class ArcMoments(msgspec.Struct, frozen=True, eq=False, dict=True):
    """a circular arcs seen from their tops, the points half way along: so even a slight bow of a huge radius keeps its digits.

    At the angle t from its top an arc is at `tops - normals * (drop - i shift)`, drop = r (1 - cos t), shift = r sin t. The means
    of shift and of drop * shift along an arc vanish, that of shift^2 is 2 r drop - drop^2.
    """

    tops: Points  # (a,)
    normals: Points  # (a,) unit, from the centre to the top
    halves: Floats  # (a,) half of the sweep, radians
    radii: Floats  # (a,)
    drop: Floats  # (a,) mean
    drop2: Floats  # (a,) mean square

    @classmethod
    def of(cls, arcs: Arcs) -> ArcMoments:
        halves, radii = arcs.sweeps / 2, arcs.radii
        normals = np.exp(1j * (arcs.starts + halves))
        # 1 - cos t without cancellation
        versed = 2 * np.sin(halves[:, None] * (_NODES / 2)) ** 2
        tops = complex_points(arcs.centres) + radii * normals
        return cls(tops, normals, halves, radii, radii * (versed @ _SHARES), radii**2 * (versed**2 @ _SHARES))

    def seen_from(self, origin: complex) -> ArcMoments:
        return ArcMoments(self.tops - origin, self.normals, self.halves, self.radii, self.drop, self.drop2)

    def scaled(self, factor: float) -> ArcMoments:
        return ArcMoments(self.tops * factor, self.normals, self.halves, self.radii * factor, self.drop * factor, self.drop2 * factor**2)

    def plain(self) -> Arcs:
        centres = plain_points(self.tops - self.radii * self.normals)
        return Arcs(centres, self.radii, np.angle(self.normals) - self.halves, 2 * self.halves)

    @cached_property
    def ends(self) -> tuple[Points, Points]:
        """Where arcs begin and end, counter-clockwise."""
        turn, outwards = np.exp(1j * self.halves) - 1, self.radii * self.normals
        return self.tops + outwards * turn.conj(), self.tops + outwards * turn

    @property
    def directions(self) -> tuple[Points, Points]:
        """From the ends into the arc, unit."""
        turn = np.exp(1j * self.halves)
        return 1j * self.normals * turn.conj(), -1j * self.normals * turn

    def harmonics(self, order: int) -> Points:
        """Mean of exp(i order angle) over the directions of each arc."""
        # np.sinc does the same, but looks for angles of 0 first, which no arc has
        angles = np.pi * (order * self.halves / np.pi)
        return (1j * self.normals) ** order * (np.sin(angles) / angles)

    def centroids(self) -> Points:
        return self.tops - self.normals * self.drop

    def squares(self) -> Floats:
        """Mean of |z|^2 along each arc."""
        return squared(self.tops) + 2 * self.drop * self._away

    def products(self) -> Points:
        """Mean of z^2 along each arc."""
        shift2 = 2 * self.radii * self.drop - self.drop2
        return self.tops * (self.tops - 2 * self.normals * self.drop) + self.normals**2 * (self.drop2 - shift2)

    def fourths(self) -> Floats:
        """Mean of |z|^4 along each arc."""
        distance, away, aside = squared(self.tops), self._away, (self.tops * self.normals.conj()).imag
        shift2 = 2 * self.radii * self.drop - self.drop2
        # |z|^2 is distance + 2 away drop + 2 aside shift
        return distance**2 + 4 * away * (distance * self.drop + away * self.drop2) + 4 * aside**2 * shift2

    @property
    def reach(self) -> float:
        """Largest distance from the origin."""
        centres = self.tops - self.radii * self.normals
        # a circle is farthest beyond its centre, if the arc goes so far
        beyond = np.abs(np.angle(centres * self.normals.conj())) <= self.halves
        farthest = float((np.abs(centres[beyond]) + self.radii[beyond]).max(initial=0.0))
        if np.count_nonzero(beyond) == len(beyond):
            return farthest
        return max(farthest, *(float(np.abs(ends).max()) for ends in self.ends))

    @property
    def _away(self) -> Floats:
        return self.radii - (self.tops * self.normals.conj()).real
