"""Regions of a mesh: triangles grown into the faces a designer would name, and what kind each of them is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.cad.shape import Floats, Integers, components

# triangles belong to one flat patch below this turn, radians
_SAME_PLANE = 0.01
# patches may belong to one curved face below this turn, if they are of like width
_SMOOTH = 0.5
_LIKE_WIDTH = 3.0
# an eigenvalue of the normals' covariance below this is zero: normals within some 0.03 radians of a plane, a cone, a point
_ZERO = 1e-3

PLANE, CYLINDER, CONE, OTHER = 0, 1, 2, 3
KINDS = ("plane", "cylinder", "cone", "other")


@dataclass(frozen=True, slots=True, eq=False)
class Regions:
    """r regions; areas in the unit of the triangles' areas."""

    areas: Floats  # (r,)
    vectors: Floats  # (r, 3) sum of area times normal: as long as the area for a plane, 0 for a full cylinder
    kinds: Integers  # (r,) index into KINDS
    convex: Floats  # (r,) sum of turn times length of the edges inside; > 0 where the region bulges outwards

    def counts(self) -> dict[str, int]:
        """Number of regions of each kind that occurs."""
        found = np.bincount(self.kinds, minlength=len(KINDS))
        return {name: int(count) for name, count in zip(KINDS, found, strict=True) if count}


def regions(areas: Floats, normals: Floats, left: Integers, right: Integers, lengths: Floats, angles: Floats) -> Regions:
    """Merge m triangles, normals (3, m), over e edges (see `Edges`). Triangles without area form no region."""
    turn = np.abs(angles)
    count = len(areas)
    whole = areas.nonzero()[0]
    solid = (areas[left] > 0) & (areas[right] > 0) if len(whole) < count else np.ones(len(left), dtype=bool)
    patch = components(count, left, right, solid & (turn < _SAME_PLANE))
    # over their common edge the strips of one cylinder or cone are equally wide, a fillet and the plane beside it are not;
    # the edge being the same, widths compare as areas do
    size = np.bincount(patch, areas, count)
    single = np.bincount(patch, minlength=count) == 1
    # few edges are left to look at: most lie within a patch, or at a sharp bend
    one, two = patch.take(left), patch.take(right)
    soft = (solid & (one != two) & (turn < _SMOOTH)).nonzero()[0]
    one, two = one.take(soft), two.take(soft)
    here, there = size.take(one), size.take(two)
    alike = (np.maximum(here, there) <= _LIKE_WIDTH * np.minimum(here, there)) | single.take(one) | single.take(two)
    face = components(count, one, two, alike).take(patch)
    # a face is called by its smallest triangle; slivers belong to none
    first = (face == np.arange(count)) & (areas > 0)
    names = first.cumsum() - 1
    name = names.take(face)
    of_left = name.take(left)
    inside = (solid & (of_left == name.take(right))).nonzero()[0]
    used = int(np.count_nonzero(first))
    convex: Floats = np.bincount(of_left.take(inside), (lengths * angles).take(inside), used).astype(np.float64)
    if len(whole) < count:
        name, areas, normals = name[whole], areas[whole], normals[:, whole]
    return _described(used, name, areas, normals, convex)


def _described(count: int, name: Integers, areas: Floats, normals: Floats, convex: Floats) -> Regions:
    total: Floats = np.bincount(name, areas, count).astype(np.float64)
    directed = areas * normals
    vectors: Floats = np.empty((3, count))
    for axis in range(3):
        vectors[axis] = np.bincount(name, directed[axis], count)
    mean = vectors / total
    # the trace of the covariance of unit normals: sure to be a plane below _ZERO, sure to be none from 3 _ZERO on
    bent = (1 - np.add.reduce(mean * mean) >= _ZERO).nonzero()[0]
    kinds = np.full(count, PLANE, dtype=np.int64)
    if len(bent):
        spread = np.empty((count, 3, 3))
        for i in range(3):
            for j in range(i, 3):
                spread[:, i, j] = spread[:, j, i] = np.bincount(name, directed[i] * normals[j], count)
        about_zero = spread[bent] / total[bent, None, None]
        about_mean = about_zero - (mean[:, None, bent] * mean[None, :, bent]).T
        (smallest, _, _), (narrowest, _, widest) = np.linalg.eigvalsh(np.stack([about_zero, about_mean])).transpose(0, 2, 1)
        # one direction: plane; all across one axis: cylinder; all at one angle to an axis: cone
        kinds[bent] = np.where(widest < _ZERO, PLANE, np.where(smallest < _ZERO, CYLINDER, np.where(narrowest < _ZERO, CONE, OTHER)))
    return Regions(total, vectors.T, kinds, convex)
