"""Everything the slots of a mesh are made of, computed once per mesh, each quantity in the unit it names.

Inside, the mesh is moved to its middle and scaled to a largest side of 1, so that neither tiny nor distant parts lose digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workers.cad.shape import Floats, Integers, Mesh
from workers.features.hull import hull_volume
from workers.features.regions import Regions, regions

# a volume below (FLAT sqrt A)^3 is none: sheets and scraps, where rounding decides the rest
FLAT = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Edges:
    """Edges shared by exactly two triangles, and what remains."""

    left: Integers  # (e,) triangle that runs along the edge
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
        low, high = mesh.vertices.min(axis=0), mesh.vertices.max(axis=0)
        self.box: Floats = np.stack([low, high])
        self.extent = float((high - low).max())
        self.vertices: Floats = (mesh.vertices - (low + high) / 2) / self.extent
        self.triangles = mesh.triangles
        corners = self.vertices[mesh.triangles]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        twice = np.sqrt(np.einsum("ij,ij->i", cross, cross))
        self.areas: Floats = twice / 2
        self.normals: Floats = cross / np.where(twice > 0, twice, 1.0)[:, None]  # zero for slivers without area
        self.area = float(self.areas.sum())
        self.side = float(np.sqrt(self.area))
        self._centre = (self.areas @ corners.mean(axis=1)) / self.area
        self._corners = corners - self._centre

    @cached_property
    def surface_spread(self) -> Floats:
        """Eigenvalues, largest first, of the exact second moment of the surface per area: triangle by triangle
        A/12 (sum v v' + (sum v)(sum v)'), about the surface's centroid.
        """
        return _spread(self.areas / 12, self._corners) / self.area

    @cached_property
    def rms(self) -> float:
        """Root mean square distance of the surface from its centroid."""
        return float(np.sqrt(self.surface_spread.sum()))

    @cached_property
    def signed_volume(self) -> float:
        """Sum of the tetrahedra between the surface's centroid and the triangles (divergence theorem)."""
        return float(self._tetrahedra.sum())

    @cached_property
    def has_volume(self) -> bool:
        return abs(self.signed_volume) > (FLAT * self.side) ** 3

    @cached_property
    def volume_spread(self) -> Floats:
        """Eigenvalues, largest first, of the second moment of the solid per volume, about its own centroid: tetrahedron by
        tetrahedron V/20 (sum v v' + (sum v)(sum v)'). The surface's where there is no volume.
        """
        if not self.has_volume:
            return self.surface_spread
        moment = _moment(self._tetrahedra / 20, self._corners) / self.signed_volume
        return _eigenvalues(moment - np.outer(self._volume_centre, self._volume_centre))

    @cached_property
    def centroid_offset(self) -> float:
        """Distance between the centroids of solid and surface, in rms radii; 0 without volume, at most 10."""
        if not self.has_volume:
            return 0.0
        return min(float(np.linalg.norm(self._volume_centre)) / self.rms, 10.0)

    @cached_property
    def solidity(self) -> float:
        """Volume by volume of the convex hull; 0 without volume, at most 4 (solids may overlap themselves)."""
        hull = hull_volume(self.vertices)
        return min(abs(self.signed_volume) / hull, 4.0) if self.has_volume and hull > 0 else 0.0

    @cached_property
    def edges(self) -> Edges:
        """Edges of the mesh; angles are those of outward normals even when all triangles are turned inwards."""
        count = len(self.vertices)
        tail = self.triangles.reshape(-1)
        head = np.roll(self.triangles, -1, axis=1).reshape(-1)
        key = np.minimum(tail, head) * count + np.maximum(tail, head)
        order = np.argsort(key, kind="stable")
        ranked = key[order]
        first = np.flatnonzero(np.append(True, ranked[1:] != ranked[:-1]))
        size = np.diff(np.append(first, len(ranked)))
        one, two = order[first[size == 2]], order[first[size == 2] + 1]
        left, right = one // 3, two // 3
        a, b = self.vertices[tail[one]], self.vertices[head[one]]
        n, m = self.normals[left], self.normals[right]
        cross = np.cross(n, m)
        turn = np.arctan2(np.sqrt(np.einsum("ij,ij->i", cross, cross)), np.einsum("ij,ij->i", n, m))
        # convex: the far corner of the right triangle lies below the left one
        apex = self.vertices[self.triangles[right].sum(axis=1) - tail[one] - head[one]]
        below = np.einsum("ij,ij->i", apex - a, n) < 0
        twisted = tail[one] == tail[two]
        angles = np.where(below == (self.signed_volume >= 0), turn, -turn)
        # a sliver has no normal, and triangles of opposite sense no common side: no angle there
        blind = twisted | (self.areas[left] == 0) | (self.areas[right] == 0)
        lengths = np.linalg.norm(b - a, axis=1)
        return Edges(left, right, lengths, np.where(blind, 0.0, angles), int((size == 1).sum()), int((size > 2).sum()), int(twisted.sum()))

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
    def _tetrahedra(self) -> Floats:
        a, b, c = np.moveaxis(self._corners, 1, 0)
        return np.asarray(np.einsum("ij,ij->i", a, np.cross(b, c)) / 6)

    @cached_property
    def _volume_centre(self) -> Floats:
        return np.asarray((self._tetrahedra @ self._corners.sum(axis=1)) / (4 * self.signed_volume))


def _moment(weights: Floats, corners: Floats) -> Floats:
    total = corners.sum(axis=1)
    flat = corners.reshape(-1, 3)
    return np.asarray((flat * np.repeat(weights, 3)[:, None]).T @ flat + (total * weights[:, None]).T @ total)


def _eigenvalues(moment: Floats) -> Floats:
    # open meshes can have negative ones: nothing a ratio could be made of
    return np.clip(np.linalg.eigvalsh((moment + moment.T) / 2)[::-1], 0.0, None)


def _spread(weights: Floats, corners: Floats) -> Floats:
    return _eigenvalues(_moment(weights, corners))


def ratio(part: float, whole: float) -> float:
    """sqrt(part / whole) for eigenvalues in descending order; 0.0 where the whole is nothing."""
    return float(np.sqrt(min(part / whole, 1.0))) if whole > 0 else 0.0
