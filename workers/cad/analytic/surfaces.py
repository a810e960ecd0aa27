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
from workers.cad.analytic.vectors import dot
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
    sizes: Floats  # (2, f)

    def local(self, which: Integers, places: Floats) -> Floats:
        """Places (3, n) in the frames of the surfaces `which` (n,)."""
        return self.turned(which, places - self.frames.origins.take(which, axis=1))

    def turned(self, which: Integers, ways: Floats) -> Floats:
        """Directions (3, n) in the frames of the surfaces `which` (n,)."""
        return np.asarray(np.einsum("jin,in->jn", self.frames.axes.take(which, axis=2), ways))

    def parameters(self, which: Integers, local: Floats) -> tuple[Floats, Floats]:
        """u and v (n,) of places (3, n): x and y on planes, else angle and height, or angle and angle; neither is continued over a turn."""
        kinds, (x, y, z) = self.kinds.take(which), local
        flat = kinds == PLANE
        u, v = np.where(flat, x, np.arctan2(y, x)), np.where(flat, y, z)
        some = (kinds >= SPHERE).nonzero()[0]
        if len(some):
            across = np.hypot(x[some], y[some]) - np.where(kinds[some] == TORUS, self.sizes[0].take(which[some]), 0.0)
            v[some] = np.arctan2(z[some], across)
        return u, v

    def places(self, which: Integers, u: Floats, v: Floats) -> Floats:
        """Places (3, n) in space of parameters (n,) each."""
        kinds, (a, b) = self.kinds.take(which), self.sizes.take(which, axis=1)
        ball, ring = kinds == SPHERE, kinds == TORUS
        reach = np.where(kinds == CYLINDER, a, np.where(kinds == CONE, a + b * v, np.where(ball, a * np.cos(v), a + b * np.cos(v))))
        z = np.where(ball, a * np.sin(v), np.where(ring, b * np.sin(v), v))
        local = np.array([reach * np.cos(u), reach * np.sin(u), z])
        turned = np.einsum("jn,jin->in", local, self.frames.axes.take(which, axis=2))
        return np.asarray(self.frames.origins.take(which, axis=1) + turned)

    def distances(self, which: Integers, local: Floats) -> Floats:
        """(n,) of places (3, n) from their surfaces."""
        kinds, (a, b), (x, y, z) = self.kinds.take(which), self.sizes.take(which, axis=1), local
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
    kinds = table.among(rows, _SURFACES)
    if np.count_nonzero(kinds < 0):
        raise NotCovered("a face on an odd surface")
    return kinds


def surfaces_of(table: Instances, rows: Integers, poses: Poses, owner: Integers, angles: Floats) -> Surfaces:
    """The surfaces at these rows; `angles`: radians in the unit of angle of each."""
    kinds = kinds_of(table, rows)
    sizes = np.zeros((2, len(rows)))
    for count, some in ((1, (kinds == CYLINDER) | (kinds == SPHERE)), (2, (kinds == CONE) | (kinds == TORUS))):
        if np.count_nonzero(some):
            sizes[:count, some] = table.reals(rows.compress(some), count)
    lengths = sizes * poses.factors.take(owner)
    radii, others = lengths
    cone, ring = (kinds == CONE).nonzero()[0], (kinds == TORUS).nonzero()[0]
    if np.count_nonzero(lengths < 0):
        raise NotCovered("a surface without size")
    if len(cone):
        half = (sizes[1] * angles)[cone]
        if ((half <= 1e-6) | (half >= np.pi / 2 - 1e-6)).any():
            raise NotCovered("a cone that opens oddly")
        others[cone] = np.tan(half)
    # of a cone the radius at the origin may be nothing
    if np.count_nonzero((kinds != PLANE) & (kinds != CONE) & (radii <= 0)) or np.count_nonzero(others[ring] <= 0):
        raise NotCovered("a surface without size")
    if np.count_nonzero(others[ring] >= radii[ring] * (1 - 1e-9)):
        raise NotCovered("a ring that meets itself")
    return Surfaces(kinds, frames(table, table.rows(rows, 0), poses, owner), lengths)


@dataclass(frozen=True, slots=True, eq=False)
class Masses:
    """Exact area, and a third of the flux of places: their sum over a closed shell is the volume."""

    areas: Floats  # (f,)
    volumes: Floats  # (f,)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """r pieces of the borders of curved faces, counter-clockwise about the normals of the faces, by places along them."""

    face: Integers  # (r,)
    places: Floats  # (3, r) in the frame of the surface
    tangents: Floats  # (3, r) weighted, in the same frame
    v: Floats  # (r,) continued along the border, of tori; 0 elsewhere


def masses(surfaces: Surfaces, inward: Flags, use: Integers, corners: Floats, swirls: Floats, curved: Pieces, jumps: Floats) -> Masses:
    """Of faces `inward` (f,), whose normal is not the surface's. Each `use` (u,) of an edge by a face begins at one of the `corners`
    (3, u) and has half its integral of P x dP in `swirls` (3, u); `jumps` (2, f) of u, as it runs around the normal of the face, at the
    upper and at the lower pole.
    """
    count = len(surfaces.kinds)
    sign = np.where(inward, -1.0, 1.0)
    vector = np.array([np.bincount(use, part, count) for part in swirls])
    middle, centres, sizes = _near(surfaces, use, corners)
    flux = dot(centres - middle[:, None], vector)
    areas = dot(surfaces.frames.axes[2], vector) * sign
    if len(curved.face):
        face, (x, y, z), (dx, dy, _) = curved.face, curved.places, curved.tangents
        du = (x * dy - y * dx) / np.maximum(x * x + y * y, 1e-300)
        kinds, (a, b) = surfaces.kinds.take(face), surfaces.sizes.take(face, axis=1)
        inner = a * z
        cone, ring = (kinds == CONE).nonzero()[0], (kinds == TORUS).nonzero()[0]
        if len(cone):
            b_, z_ = b[cone], z[cone]
            inner[cone] = np.sqrt(1 + b_ * b_) * (inner[cone] + b_ * z_ * z_ / 2)
        if len(ring):
            a, b, v = a[ring], b[ring], curved.v[ring]
            inner[ring] = b * (a * v + b * np.sin(v))
        total: Floats = np.asarray(np.bincount(face, inner * du, count) * sign)
        around = np.bincount(face, du, count) * sign
        if np.count_nonzero(np.abs(around + jumps[0] + jumps[1]) <= 1e-3) < count:
            raise NotCovered("a face whose border does not close")
        area, more = _settled(surfaces, sizes, total, jumps)
        extra = more * area
        if len(ring):
            second = b * ((a * a + b * b) * np.sin(v) + a * b * (v / 2 + np.sin(2 * v) / 4) + a * b * v)
            extra -= sign * np.bincount(face[ring], second * du[ring], count)
        bent = surfaces.kinds != PLANE
        areas = np.where(bent, area, areas)
        flux = np.where(bent, flux + sign * extra, flux)
    return Masses(areas, flux / 3)


def _near(surfaces: Surfaces, use: Integers, corners: Floats) -> tuple[Floats, Floats, Floats]:
    """The middle of all (3,); a centre (3, f) of each surface near its face: a place on a plane, on the axis of a cylinder or a cone; and
    the radius of a cone there. The nearer they are, the less gaps between edges and surfaces weigh.
    """
    kinds, axes, origins = surfaces.kinds, surfaces.frames.axes[2], surfaces.frames.origins
    weights = np.maximum(np.bincount(use, minlength=len(kinds)), 1)
    means = np.array([np.bincount(use, part, len(kinds)) for part in corners]) / weights
    along = dot(means - origins, axes)
    way = along * axes
    flat, cone = kinds == PLANE, kinds == CONE
    centres = np.where((kinds == CYLINDER) | cone, origins + way, np.where(flat, means - way, origins))
    radii = surfaces.sizes[0] + np.where(cone, along * surfaces.sizes[1], 0.0)
    return np.add.reduce(means, axis=1) / len(kinds), centres, radii


def _settled(surfaces: Surfaces, radii: Floats, totals: Floats, jumps: Floats) -> tuple[Floats, Floats]:
    """Areas, from the integrals of F du without what the poles add, and the length of the piece along the normal of the places."""
    kinds, (a, b) = surfaces.kinds, surfaces.sizes
    areas, more = -totals, a.copy()
    ball, cone = (kinds == SPHERE).nonzero()[0], (kinds == CONE).nonzero()[0]
    if len(ball):
        areas[ball] -= (a * a * (jumps[0] - jumps[1]))[ball]
    if len(cone):
        a, b = a[cone], b[cone]
        slant = np.sqrt(1 + b * b)
        areas[cone] += slant * a * a / (2 * b) * (jumps[0] + jumps[1])[cone]
        more[cone] = radii[cone] / slant
    more[kinds == TORUS] = 0.0
    return areas, more
