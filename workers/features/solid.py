"""Everything the slots of a mesh are made of, computed once per mesh, each quantity in the unit it names.

Inside, the mesh is moved to its middle and scaled to a largest side of 1, so that neither tiny nor distant parts lose digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from workers.cad.shape import Flags, Floats, Integers, Mesh, area_vectors, ranked
from workers.features.hull import hull_volume
from workers.features.regions import Regions, regions

# a volume below (THIN sqrt A)^3 is none: a plane sheet, turned and written as single floats, shows up to 1e-8 A^1.5, and a foil of
# 10 um over a metre still has 3.5e-6
THIN = 1e-2
# triangles or edges at a time
_BLOCK = 1 << 13


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Edges shared by exactly two triangles, and what remains."""

    left: Integers  # (e,) one of the two triangles
    right: Integers  # (e,) the other one
    lengths: Floats  # (e,) in parts of the largest side
    angles: Floats  # (e,) turn between the two normals, radians, > 0 where the solid is convex
    border: int  # edges of a single triangle
    branching: int  # edges of more than two triangles
    twisted: int  # edges along which both triangles run the same way


class SolidStudy:
    """Lazily computed properties of one mesh. No property is ever NaN or infinite.

    `faces`: the faces by kind of surface, where the file names them.
    """

    def __init__(self, mesh: Mesh, faces: Mapping[str, int] | None = None) -> None:
        self._faces = faces
        # axis by axis: numpy walks along long rows several times faster than along rows of three
        places = np.ascontiguousarray(mesh.vertices.T)
        low, high = places.min(axis=1), places.max(axis=1)
        self.box: Floats = np.array([low, high])
        self.extent = float((high - low).max())
        self._places: Floats = places - ((low + high) / 2)[:, None]  # (3, n)
        self._places /= self.extent
        self._corners: Integers = np.ascontiguousarray(mesh.triangles.T)  # (3, m)
        count = self._corners.shape[1]
        self.areas: Floats = np.empty(count)  # (m,)
        self.normals: Floats = np.empty((3, count))  # (3, m), zero for slivers without area
        first = np.zeros(3)
        for some in _blocks(count):
            points = self._places.take(self._corners[:, some], axis=1)  # (3 axes, 3 corners, k)
            cross = area_vectors(points)
            twice = np.sqrt(_dot(cross, cross))
            np.divide(twice, 2, out=self.areas[some])
            np.divide(cross, np.where(twice > 0, twice, 1.0), out=self.normals[:, some])
            first += points.sum(axis=1) @ self.areas[some]
        self.slivers: Flags = self.areas == 0  # (m,) have no normal
        self.area = float(self.areas.sum())
        self.side = math.sqrt(self.area)
        self._centre: Floats = first / (3 * self.area)  # the surface's centroid

    @cached_property
    def surface_spread(self) -> list[float]:
        """Eigenvalues, largest first, of the exact second moment of the surface per area: triangle by triangle
        A/12 (sum v v' + (sum v)(sum v)'), about the surface's centroid.
        """
        return self._spreads[0]

    @cached_property
    def rms(self) -> float:
        """Root mean square distance of the surface from its centroid."""
        return math.sqrt(sum(self.surface_spread))

    @cached_property
    def signed_volume(self) -> float:
        """Sum of the tetrahedra between the surface's centroid and the triangles (divergence theorem)."""
        return self._integrals.volume

    @cached_property
    def has_volume(self) -> bool:
        return abs(self.signed_volume) > (THIN * self.side) ** 3

    @cached_property
    def volume_spread(self) -> list[float]:
        """Eigenvalues, largest first, of the second moment of the solid per volume, about its own centroid: tetrahedron by
        tetrahedron V/20 (sum v v' + (sum v)(sum v)'). The surface's where there is no volume.
        """
        return self._spreads[-1]

    @cached_property
    def centroid_offset(self) -> float:
        """Distance between the centroids of solid and surface, in rms radii; 0 without volume, at most 10."""
        if not self.has_volume:
            return 0.0
        return min(math.hypot(*self._volume_centre.tolist()) / self.rms, 10.0)

    @cached_property
    def solidity(self) -> float:
        """Volume by volume of the convex hull; 0 without volume, at most 4 (solids may overlap themselves)."""
        hull = hull_volume(self._places.T)
        return min(abs(self.signed_volume) / hull, 4.0) if self.has_volume and hull > 0 else 0.0

    @cached_property
    def edges(self) -> Edges:
        """Edges of the mesh; angles are those of outward normals even when all triangles are turned inwards."""
        corners = self._corners.reshape(-1)  # (3 m,) corner after corner: where half edges begin
        heads = self._corners[[1, 2, 0]].reshape(-1)
        key = np.minimum(corners, heads) * self._places.shape[1]
        key += np.maximum(corners, heads)
        order, keys = ranked(key)
        # whether each half edge in the order is the same edge as the one before it, as the one after it, and that as the next but one
        same = np.zeros(len(key) + 2, dtype=bool)
        np.equal(keys[1:], keys[:-1], out=same[1:-2])
        first, more, third = ~same[:-2], same[1:-1], same[2:]
        shared = first & more
        at = (shared & ~third).nonzero()[0]
        one, two = order.take(at), order.take(at + 1)
        count = self._corners.shape[1]
        left, right = one % count, two % count
        twisted = corners.take(one) == corners.take(two)
        turned = int(np.count_nonzero(twisted))
        lengths, angles = np.empty(len(at)), np.empty(len(at))
        for some in _blocks(len(at)):
            tails, tips = corners.take(one[some]), heads.take(one[some])
            apexes = corners.take((two[some] + 2 * count) % len(corners))  # what stands two corners further on is the corner before
            lengths[some], angles[some] = self._bends(tails, tips, apexes, left[some], right[some])
        # a sliver has no normal, and triangles of opposite sense no common side: no angle there
        if turned:
            angles[twisted] = 0.0
        if np.count_nonzero(self.slivers):
            angles[self.slivers.take(left) | self.slivers.take(right)] = 0.0
        shares = int(np.count_nonzero(shared))
        return Edges(left, right, lengths, angles, border=int(np.count_nonzero(first)) - shares, branching=shares - len(at), twisted=turned)

    @cached_property
    def watertight(self) -> bool:
        """Every edge has exactly two triangles, which agree on what is outside."""
        return not (self.edges.border or self.edges.branching or self.edges.twisted)

    @cached_property
    def regions(self) -> Regions:
        edges = self.edges
        return regions(self.areas, self.normals, edges.left, edges.right, edges.lengths, edges.angles)

    @cached_property
    def types(self) -> Mapping[str, int]:
        """Faces by kind of surface; a bare mesh has none, there its regions stand for them."""
        return self._faces or self.regions.counts()

    @cached_property
    def _spreads(self) -> list[list[float]]:
        """Of the surface and, if there is one, of the volume."""
        moments = [self._integrals.surface / (12 * self.area)]
        if self.has_volume:
            centre = self._volume_centre
            moments.append(self._integrals.solid / (20 * self.signed_volume) - centre[:, None] * centre)
        # open meshes can have negative ones: nothing a ratio could be made of
        return [[max(value, 0.0) for value in reversed(values)] for values in np.linalg.eigvalsh(np.array(moments)).tolist()]

    @cached_property
    def _volume_centre(self) -> Floats:
        return np.asarray(self._integrals.first / (4 * self.signed_volume))

    @cached_property
    def _integrals(self) -> _Integrals:
        volume, first, moments = 0.0, np.zeros(3), np.zeros((6, 3))
        for some in _blocks(len(self.areas)):
            size = some.stop - some.start
            # the three corners v of each triangle and, as if it were a fourth one, their sum
            points = np.empty((3, 4, size))
            np.subtract(self._places.take(self._corners[:, some], axis=1), self._centre[:, None, None], out=points[:, :3])
            np.add.reduce(points[:, :3], axis=1, out=points[:, 3])
            # A, and V: (b - a) x (c - a) . a = a . (b x c)
            weights = np.empty((2, size))
            weights[0] = self.areas[some]
            np.multiply(_dot(self.normals[:, some], points[:, 0]), weights[0] / 3, out=weights[1])
            volume += float(weights[1].sum())
            first += points[:, 3] @ weights[1]
            moments += (weights[:, None, None] * points).reshape(6, -1) @ points.reshape(3, -1).T
        return _Integrals(volume, first, moments[:3], moments[3:])

    def _bends(self, tails: Integers, heads: Integers, apexes: Integers, left: Integers, right: Integers) -> tuple[Floats, Floats]:
        """Lengths and angles of edges from tail to head of their left triangle; the apex is the far corner of the right one."""
        start = self._places.take(tails, axis=1)
        along = self._places.take(heads, axis=1)
        along -= start
        n, m = self.normals.take(left, axis=1), self.normals.take(right, axis=1)
        # W. Kahan's formula: as good for small turns as for large ones
        less, plus = n - m, n + m
        turn = np.arctan2(np.sqrt(_dot(less, less)), np.sqrt(_dot(plus, plus)))
        turn *= 2
        # convex: the far corner of the right triangle lies below the left one
        apex = self._places.take(apexes, axis=1)
        apex -= start
        below = _dot(apex, n) < 0
        return np.sqrt(_dot(along, along)), np.where(below == (self.signed_volume >= 0), turn, -turn)


class _Integrals(NamedTuple):
    """Sums over the triangles, about the surface's centroid: of areas A and of the volumes V of the tetrahedra to there."""

    volume: float  # V
    first: Floats  # (3,) V times the sum of the corners v
    surface: Floats  # (3, 3) A (sum v v' + (sum v)(sum v)')
    solid: Floats  # (3, 3) the same of V


def _blocks(count: int) -> Iterator[slice]:
    """0 .. count in pieces, so that what only serves on the way stays in the caches of a processor, however large the mesh is."""
    return (slice(begin, min(begin + _BLOCK, count)) for begin in range(0, count, _BLOCK))


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.einsum("ij,ij->j", a, b))


def ratio(part: float, whole: float) -> float:
    """sqrt(part / whole) for eigenvalues in descending order; 0.0 where the whole is nothing."""
    return math.sqrt(min(part / whole, 1.0)) if whole > 0 else 0.0
