"""Where things are: placements of the file, and the poses that assemblies give to whole solids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.analytic.splines import points
from workers.cad.shape import Floats, Integers

_NEXT, _LAST = np.array([1, 2, 0]), np.array([2, 0, 1])


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """k right-handed systems of coordinates."""

    origins: Floats  # (3, k)
    axes: Floats  # (3 axes, 3, k)


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """p ways from the coordinates of a file to millimetres in the whole."""

    factors: Floats  # (p,)
    turns: Floats  # (p, 3, 3) a place as a column is multiplied from the left
    shifts: Floats  # (p, 3) in millimetres
    still: bool  # no turn and no shift at all
    millimetres: bool  # all factors are one

    def moved(self, places: Floats, owner: Integers) -> Floats:
        """Places (3, n), each by the pose `owner` (n,)."""
        if not self.millimetres:
            places = places * self.factors.take(owner)
        return places if self.still else self.turned(places, owner) + self.shifts.take(owner, axis=0).T

    def turned(self, ways: Floats, owner: Integers) -> Floats:
        """Directions (3, n)."""
        return ways if self.still else np.asarray(np.einsum("nij,jn->in", self.turns.take(owner, axis=0), ways))


def frames(table: Instances, rows: Integers, poses: Poses, owner: Integers) -> Frames:
    """The placements at these rows in the poses `owner`."""
    if not table.all_are(rows, b"AXIS2_PLACEMENT_3D") or np.count_nonzero(table.lengths.take(rows) != 3):
        raise NotCovered("a placement without all its directions")
    first = table.firsts.take(rows)
    origins, *parts = (table.references.take(first + place) for place in range(3))
    ways = np.concatenate(parts)
    if not table.all_are(ways, b"DIRECTION"):
        raise NotCovered("a direction is none")
    both = poses.turned(table.vectors(ways), np.concatenate([owner, owner]))
    axes = np.empty((3, 3, len(rows)))
    z = axes[2] = unit(both[:, : len(rows)])
    x = both[:, len(rows) :]
    x = axes[0] = unit(x - dot(x, z) * z)
    axes[1] = cross(z, x)
    return Frames(poses.moved(points(table, origins), owner), axes)


def unit(vectors: Floats) -> Floats:
    """Vectors (3, n) of length one."""
    lengths = np.sqrt(dot(vectors, vectors))
    # the comparison is false for NaN as well
    if np.count_nonzero(lengths > 1e-6) < len(lengths):
        raise NotCovered("a direction without length")
    return np.asarray(vectors / lengths)


# axis by axis: numpy walks along long rows several times faster than along rows of three
def dot(a: Floats, b: Floats) -> Floats:
    """Of vectors (3, ...)."""
    return np.asarray(np.add.reduce(a * b))


def cross(a: Floats, b: Floats) -> Floats:
    """Of vectors (3, ...)."""
    return np.asarray(a.take(_NEXT, axis=0) * b.take(_LAST, axis=0) - a.take(_LAST, axis=0) * b.take(_NEXT, axis=0))
