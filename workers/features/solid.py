"""Everything the slots of a mesh are made of, computed once per mesh, each quantity in the unit it names.

Inside, the mesh is moved to its middle and scaled to a largest side of 1, so that neither tiny nor distant parts lose digits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workers.cad.shape import Flags, Floats, Integers, Mesh, area_vectors, ranked
from workers.features.hull import hull_volume
from workers.features.regions import Regions, regions

# a volume below (THIN sqrt A)^3 is none: a plane sheet, turned and written as single floats, shows up to 1e-8 A^1.5, and a foil of
# 10 um over a metre still has 3.5e-6
THIN = 1e-2


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
        self._places: Floats = (places - ((low + high) / 2)[:, None]) / self.extent  # (3, n)
        self._corners: Integers = np.ascontiguousarray(mesh.triangles.T)  # (3, m)
        points = self._places.take(self._corners, axis=1)  # (3 axes, 3 corners, m)
        cross = area_vectors(points)
        twice = np.sqrt(_dot(cross, cross))
        self.areas: Floats = twice / 2  # (m,)
        self.slivers: Flags = self.areas == 0  # (m,) have no normal
        self.area = float(self.areas.sum())
        self.side = math.sqrt(self.area)
        self._sums: Floats = points.sum(axis=1)
        centre = (self._sums @ self.areas) / (3 * self.area)
        self._points = np.subtract(points, centre[:, None, None], out=points)  # about the surface's centroid from here on
        self._sums -= 3 * centre[:, None]
        # (b - a) x (c - a) . a = a . (b x c)
        self._tetrahedra: Floats = _dot(cross, points[:, 0]) / 6
        self.normals: Floats = np.divide(cross, np.where(twice > 0, twice, 1.0), out=cross)  # (3, m), zero for slivers without area

    @cached_property
    def surface_spread(self) -> Floats:
        """Eigenvalues, largest first, of the exact second moment of the surface per area: triangle by triangle
        A/12 (sum v v' + (sum v)(sum v)'), about the surface's centroid.
        """
        return _eigenvalues(self._moment(self.areas) / (12 * self.area))

    @cached_property
    def rms(self) -> float:
        """Root mean square distance of the surface from its centroid."""
        return math.sqrt(self.surface_spread.sum())

    @cached_property
    def signed_volume(self) -> float:
        """Sum of the tetrahedra between the surface's centroid and the triangles (divergence theorem)."""
        return float(self._tetrahedra.sum())

    @cached_property
    def has_volume(self) -> bool:
        return abs(self.signed_volume) > (THIN * self.side) ** 3

    @cached_property
    def volume_spread(self) -> Floats:
        """Eigenvalues, largest first, of the second moment of the solid per volume, about its own centroid: tetrahedron by
        tetrahedron V/20 (sum v v' + (sum v)(sum v)'). The surface's where there is no volume.
        """
        if not self.has_volume:
            return self.surface_spread
        moment = self._moment(self._tetrahedra) / (20 * self.signed_volume)
        return _eigenvalues(moment - self._volume_centre[:, None] * self._volume_centre)

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
        at = np.flatnonzero(shared & ~third)
        one, two = order.take(at), order.take(at + 1)
        count = self._corners.shape[1]
        left, right = one % count, two % count
        tail = corners.take(one)
        start = self._places.take(tail, axis=1)
        along = self._places.take(heads.take(one), axis=1)
        along -= start
        n, m = self.normals.take(left, axis=1), self.normals.take(right, axis=1)
        # W. Kahan's formula: as good for small turns as for large ones
        less, plus = n - m, n + m
        turn = 2 * np.arctan2(np.sqrt(_dot(less, less)), np.sqrt(_dot(plus, plus)))
        # convex: the far corner of the right triangle lies below the left one
        apex = self._places.take(self._corners[[2, 0, 1]].reshape(-1).take(two), axis=1)
        apex -= start
        below = _dot(apex, n) < 0
        twisted = tail == corners.take(two)
        angles = np.where(below == (self.signed_volume >= 0), turn, -turn)
        # a sliver has no normal, and triangles of opposite sense no common side: no angle there
        turned = int(np.count_nonzero(twisted))
        if turned:
            angles[twisted] = 0.0
        if self.slivers.any():
            angles[self.slivers.take(left) | self.slivers.take(right)] = 0.0
        shares = int(np.count_nonzero(shared))
        return Edges(
            left,
            right,
            np.sqrt(_dot(along, along)),
            angles,
            border=int(np.count_nonzero(first)) - shares,
            branching=shares - len(at),
            twisted=turned,
        )

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
    def _volume_centre(self) -> Floats:
        return np.asarray((self._sums @ self._tetrahedra) / (4 * self.signed_volume))

    def _moment(self, weights: Floats) -> Floats:
        """Sum over the triangles of weight times (sum v v' + (sum v)(sum v)') of their corners v."""
        rows = len(self._points), -1
        return np.asarray((self._points * weights).reshape(rows) @ self._points.reshape(rows).T + (self._sums * weights) @ self._sums.T)


def _dot(a: Floats, b: Floats) -> Floats:
    return np.asarray(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])


def _eigenvalues(moment: Floats) -> Floats:
    # open meshes can have negative ones: nothing a ratio could be made of
    return np.asarray(np.maximum(np.linalg.eigvalsh((moment + moment.T) / 2)[::-1], 0.0))


def ratio(part: float, whole: float) -> float:
    """sqrt(part / whole) for eigenvalues in descending order; 0.0 where the whole is nothing."""
    return math.sqrt(min(part / whole, 1.0)) if whole > 0 else 0.0
