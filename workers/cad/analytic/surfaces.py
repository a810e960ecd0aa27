"""Faces on planes, cylinders, cones, spheres and tori: parameters, exact area, exact volume below.

By Green's theorem an integral over a face becomes one along its border: with the antiderivative F of the density in the second
parameter v, the integral is that of -F du, counter-clockwise. The volume is a third of the flux of the place vector. A place on
such a surface is a fixed point C and a piece along the normal n, so that flux is C times the vector area, which by Stokes' theorem
is half the integral of P x dP, and a multiple of the area.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.analytic.poses import Frames, Poses, frames
from workers.cad.shape import Flags, Floats, Integers

PLANE, CYLINDER, CONE, SPHERE, TORUS = range(5)
SURFACE_NAMES = ("plane", "cylinder", "cone", "sphere", "torus")
_SURFACES = (b"PLANE", b"CYLINDRICAL_SURFACE", b"CONICAL_SURFACE", b"SPHERICAL_SURFACE", b"TOROIDAL_SURFACE")


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """f surfaces; `sizes`: the radius and nothing, of cones the radius at the origin and the tangent of half the opening, of tori
    both radii.
    """

    kinds: Integers  # (f,)
    frames: Frames
    sizes: Floats  # (f, 2)

    def local(self, which: Integers, places: Floats) -> Floats:
        """(n, g, 3) places in the frames of the surfaces `which` (n,)."""
        return self.turned(which, places - self.frames.origins[which, None])

    def turned(self, which: Integers, ways: Floats) -> Floats:
        """(n, g, 3) directions in the frames of the surfaces `which` (n,)."""
        return np.asarray(np.einsum("ngi,nji->ngj", ways, self.frames.axes[which]))

    def parameters(self, which: Integers, local: Floats) -> tuple[Floats, Floats]:
        """u and v (n, g) each: x and y on planes, else angle and height, or angle and angle; neither is continued over a turn."""
        kinds, sizes = self.kinds[which, None], self.sizes[which]
        x, y, z = np.moveaxis(local, 2, 0)
        radius = np.hypot(x, y)
        v = z.copy()
        for kind, across in ((SPHERE, radius), (TORUS, radius - sizes[:, :1])):
            some = np.flatnonzero(kinds[:, 0] == kind)
            v[some] = np.arctan2(z[some], across[some])
        flat = kinds == PLANE
        return np.where(flat, x, np.arctan2(y, x)), np.where(flat, y, v)

    def places(self, which: Integers, u: Floats, v: Floats) -> Floats:
        """(n, 3) places in space of parameters (n,) each."""
        kinds, (a, b) = self.kinds[which], self.sizes[which].T
        ball, ring = kinds == SPHERE, kinds == TORUS
        reach = np.where(kinds == CYLINDER, a, np.where(kinds == CONE, a + b * v, np.where(ball, a * np.cos(v), a + b * np.cos(v))))
        z = np.where(ball, a * np.sin(v), np.where(ring, b * np.sin(v), v))
        local = np.stack([reach * np.cos(u), reach * np.sin(u), z], axis=1)
        return np.asarray(self.frames.origins[which] + np.einsum("nj,nji->ni", local, self.frames.axes[which]))

    def distances(self, which: Integers, local: Floats) -> Floats:
        """(n, g) of places (n, g, 3) from their surfaces."""
        kinds, a, b = self.kinds[which, None], self.sizes[which, :1], self.sizes[which, 1:]
        x, y, z = local[..., 0], local[..., 1], local[..., 2]
        radius = np.sqrt(x * x + y * y)
        found = np.where(kinds == PLANE, z, radius - a)
        present = np.bincount(self.kinds, minlength=TORUS + 1).tolist()
        if present[CONE]:
            slant = np.sqrt(1 + b * b)
            # beyond its apex a cone goes on, with a negative radius
            cone = np.minimum(np.abs(radius - a - b * z), np.abs(radius + a + b * z)) / slant
            found = np.where(kinds == CONE, cone, found)
        if present[SPHERE]:
            found = np.where(kinds == SPHERE, np.sqrt(radius * radius + z * z) - a, found)
        if present[TORUS]:
            found = np.where(kinds == TORUS, np.hypot(radius - a, z) - b, found)
        return np.asarray(np.abs(found))


def kinds_of(table: Instances, rows: Integers) -> Integers:
    """PLANE .. TORUS of the surfaces at these rows. Raises `NotCovered` for any other."""
    lookup = np.full(len(table.keywords) + 1, -1)
    for kind, word in enumerate(_SURFACES):
        lookup[table.keywords[word]] = kind
    kinds = lookup.take(table.kinds.take(rows))
    if (kinds < 0).any():
        raise NotCovered("a face on an odd surface")
    return kinds


def surfaces_of(table: Instances, rows: Integers, poses: Poses, owner: Integers, angles: Floats) -> Surfaces:
    """The surfaces at these rows; `angles`: radians in the unit of angle of each."""
    kinds = kinds_of(table, rows)
    sizes = np.zeros((len(rows), 2))
    for kind, count in ((CYLINDER, 1), (CONE, 2), (SPHERE, 1), (TORUS, 2)):
        some = np.flatnonzero(kinds == kind)
        if len(some):
            sizes[some, :count] = table.reals(rows[some], count)
    cone = kinds == CONE
    lengths = sizes * poses.factors[owner, None]
    half = sizes[:, 1] * angles
    if (cone & ((half <= 1e-6) | (half >= np.pi / 2 - 1e-6))).any():
        raise NotCovered("a cone that opens oddly")
    lengths[cone, 1] = np.tan(half[cone])
    ring = kinds == TORUS
    if (lengths < 0).any() or (lengths[(kinds != PLANE) & ~cone, 0] <= 0).any() or (ring & (lengths[:, 1] <= 0)).any():
        raise NotCovered("a surface without size")
    if (ring & (lengths[:, 1] >= lengths[:, 0] * (1 - 1e-9))).any():
        raise NotCovered("a ring that meets itself")
    return Surfaces(kinds, frames(table, table.rows(rows, 0), poses, owner), lengths)


@dataclass(frozen=True, slots=True, eq=False)
class Masses:
    """Exact area, and a third of the flux of places: their sum over a closed shell is the volume."""

    areas: Floats  # (f,)
    volumes: Floats  # (f,)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """r pieces of the borders of curved faces, counter-clockwise about the normals of the faces, with g places each."""

    face: Integers  # (r,)
    places: Floats  # (r, g, 3) in the frame of the surface
    tangents: Floats  # (r, g, 3) weighted, in the same frame
    v: Floats  # (r, g) continued along the border, of tori


def masses(surfaces: Surfaces, inward: Flags, use: Integers, corners: Floats, swirls: Floats, curved: Pieces, jumps: Floats) -> Masses:
    """Of faces `inward` (f,), whose normal is not the surface's. Each `use` (u,) of an edge by a face begins at one of the `corners`
    (u, 3) and has half its integral of P x dP in `swirls` (u, 3); `jumps` (f, 2) of u, as it runs around the normal of the face, at the
    upper and at the lower pole.
    """
    count = len(surfaces.kinds)
    sign = np.where(inward, -1.0, 1.0)
    vector = np.stack([_sum(use, part, count) for part in swirls.T], axis=1)
    middle, centres, sizes = _near(surfaces, use, corners)
    flux = ((centres - middle) * vector).sum(axis=1)
    areas = (surfaces.frames.axes[:, 2] * vector).sum(axis=1) * sign
    if len(curved.face):
        face, v, along = curved.face, curved.v, curved.tangents
        x, y, z = (curved.places[..., axis] for axis in range(3))
        du = (x * along[..., 1] - y * along[..., 0]) / np.maximum(x * x + y * y, 1e-300)
        kinds = surfaces.kinds[face]
        a, b = surfaces.sizes[face, 0, None], surfaces.sizes[face, 1, None]
        slant = np.sqrt(1 + b * b)
        inner = np.where((kinds == CONE)[:, None], slant * (a * z + b * z * z / 2), a * z)
        ring = np.flatnonzero(kinds == TORUS)
        inner[ring] = (b * (a * v + b * np.sin(v)))[ring]
        total, around = _sum(face, (inner * du).sum(axis=1), count) * sign, _sum(face, du.sum(axis=1), count) * sign
        if not (np.abs(around + jumps.sum(axis=1)) <= 1e-3).all():
            raise NotCovered("a face whose border does not close")
        area, more = _settled(surfaces, sizes, total, jumps)
        extra = more * area
        if len(ring):
            b, a, v = b[ring], a[ring], v[ring]
            second = b * ((a * a + b * b) * np.sin(v) + a * b * (v / 2 + np.sin(2 * v) / 4) + a * b * v)
            extra -= sign * _sum(face[ring], (second * du[ring]).sum(axis=1), count)
        bent = surfaces.kinds != PLANE
        areas = np.where(bent, area, areas)
        flux = np.where(bent, flux + sign * extra, flux)
    return Masses(areas, flux / 3)


def _near(surfaces: Surfaces, use: Integers, corners: Floats) -> tuple[Floats, Floats, Floats]:
    """The middle of all; a centre of each surface near its face: a place on a plane, on the axis of a cylinder or a cone; and the radius
    of a cone there. The nearer they are, the less gaps between edges and surfaces weigh.
    """
    count = len(surfaces.kinds)
    weights = np.maximum(np.bincount(use, minlength=count), 1)[:, None]
    means = np.stack([np.bincount(use, part, count) for part in corners.T], axis=1) / weights
    axes, origins = surfaces.frames.axes[:, 2], surfaces.frames.origins
    along = ((means - origins) * axes).sum(axis=1)
    straight = (surfaces.kinds == CYLINDER) | (surfaces.kinds == CONE)
    centres = np.where(straight[:, None], origins + along[:, None] * axes, origins)
    centres = np.where((surfaces.kinds == PLANE)[:, None], means - along[:, None] * axes, centres)
    radii = surfaces.sizes[:, 0] + np.where(surfaces.kinds == CONE, along * surfaces.sizes[:, 1], 0.0)
    return means.mean(axis=0), centres, radii


def _settled(surfaces: Surfaces, radii: Floats, totals: Floats, jumps: Floats) -> tuple[Floats, Floats]:
    """Areas, from the integrals of F du without what the poles add, and the length of the piece along the normal of the places."""
    kinds, (a, b) = surfaces.kinds, surfaces.sizes.T
    ball, cone = kinds == SPHERE, kinds == CONE
    slant = np.sqrt(1 + b * b)
    apex = -slant * a * a / (2 * np.where(cone, b, 1.0))
    poles = np.where(ball, a * a * (jumps[:, 0] - jumps[:, 1]), np.where(cone, apex * jumps.sum(axis=1), 0.0))
    return -totals - poles, np.where(kinds == TORUS, 0.0, np.where(cone, radii / slant, a))


def _sum(face: Integers, values: Floats, count: int) -> Floats:
    return np.bincount(face, values, count).astype(np.float64)
