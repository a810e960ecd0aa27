"""Where things are: placements of the file, and the poses that assemblies give to whole solids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.analytic.splines import points
from workers.cad.shape import Floats, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """k right-handed systems of coordinates."""

    origins: Floats  # (k, 3)
    axes: Floats  # (k, 3 axes, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Poses:
    """p ways from the coordinates of a file to millimetres in the whole."""

    factors: Floats  # (p,)
    turns: Floats  # (p, 3, 3) a place as a column is multiplied from the left
    shifts: Floats  # (p, 3) in millimetres
    still: bool  # no turn and no shift at all

    def moved(self, places: Floats, owner: Integers) -> Floats:
        """Places (n, 3), each by the pose `owner` (n,)."""
        places = places * self.factors[owner, None]
        return places if self.still else np.einsum("nij,nj->ni", self.turns[owner], places) + self.shifts[owner]

    def turned(self, ways: Floats, owner: Integers) -> Floats:
        """Directions (n, 3)."""
        return ways if self.still else np.einsum("nij,nj->ni", self.turns[owner], ways)


def frames(table: Instances, rows: Integers, poses: Poses, owner: Integers) -> Frames:
    """The placements at these rows in the poses `owner`."""
    if not table.are(rows, b"AXIS2_PLACEMENT_3D").all() or (table.counts(rows) != 3).any():
        raise NotCovered("a placement without all its directions")
    origins, *parts = (table.rows(rows, place) for place in range(3))
    ways = np.concatenate(parts)
    if not table.are(ways, b"DIRECTION").all():
        raise NotCovered("a direction is none")
    z, x = poses.turned(table.vectors(ways), np.concatenate([owner, owner])).reshape(2, -1, 3)
    z = unit(z)
    x = unit(x - (x * z).sum(axis=1)[:, None] * z)
    return Frames(poses.moved(points(table, origins), owner), np.stack([x, cross(z, x), z], axis=1))


def unit(vectors: Floats) -> Floats:
    lengths = np.sqrt((vectors * vectors).sum(axis=1))
    if not (lengths > 1e-6).all():
        raise NotCovered("a direction without length")
    return np.asarray(vectors / lengths[:, None])


def cross(a: Floats, b: Floats) -> Floats:
    return a[..., [1, 2, 0]] * b[..., [2, 0, 1]] - a[..., [2, 0, 1]] * b[..., [1, 2, 0]]
