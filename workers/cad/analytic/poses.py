"""Where things are: placements of the file, and the poses that assemblies give to whole solids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances
from workers.cad.shape import Floats, Integers


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
    origins, axes = table.placements(rows)
    if not poses.still:
        axes = np.stack([poses.turned(axis, owner) for axis in axes])
    return Frames(poses.moved(origins, owner), axes)
