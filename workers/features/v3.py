"""Version 3: slots 16-21, how faces stand to each other; radii and kinds of entities. Numbers without unit."""

from __future__ import annotations

import math

import numpy as np

from workers.cad.shape import Floats
from workers.features.flat import FlatStudy
from workers.features.group import Group
from workers.features.regions import CYLINDER, OTHER
from workers.features.solid import SolidStudy

_BANDS = np.array([(0.1, 0.5), (0.5, 0.8), (-0.5, -0.1), (-0.8, -0.5)])
# the sides of hexagons have exactly 0.5: without this rounding, so the pose, would decide which band has them
_EDGE = 1e-4
_LOWEST, _HIGHEST = _BANDS[:, :1, None] + _EDGE, _BANDS[:, 1:, None] - _EDGE  # (4, 1, 1)
# the largest regions that are paired: what is smaller hardly weighs, and pairs grow with the square
_PAIRED = 1000
# so many pairs at a time: few enough for the caches of a processor
_AT_ONCE = 1 << 14


def _normals(study: SolidStudy) -> list[float]:
    """normal_pair_near, _close, _far, _opposed share of pairs of regions, weighted by their directed areas, whose mean normals
    have a scalar product in (.1, .5), (.5, .8), (-.5, -.1), (-.8, -.5).
    """
    return _pairs(study.regions.vectors, study.area)


def _kinds(study: SolidStudy) -> list[float]:
    """freeform_regions ln(1 + number of regions that are no plane, cylinder or cone); convex_cyl_frac area of cylinders that bulge
    outwards / A.
    """
    found = study.regions
    shafts = (found.kinds == CYLINDER) & (found.convex > 0)
    return [math.log1p(int(np.count_nonzero(found.kinds == OTHER))), min(float(found.areas[shafts].sum()) / study.area, 1.0)]


def _pairs(vectors: Floats, area: float) -> list[float]:
    """Weight: product of the lengths of the area vectors by A^2, so a full cylinder, which has no direction, has no say."""
    weights = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    # rounding noise must not become a direction
    largest = (weights > 1e-9 * area).nonzero()[0]
    if len(largest) > _PAIRED:
        largest = largest[np.argsort(-weights[largest], kind="stable")[:_PAIRED]]
    weights = weights.take(largest)
    normals, share = vectors.take(largest, axis=0) / weights[:, None], weights / area
    sums, rows = np.zeros(len(_BANDS)), max(_AT_ONCE // max(len(share), 1), 1)
    for begin in range(0, len(share), rows):
        # pairs of these rows stand there twice, those with later rows once
        here = slice(begin, begin + rows)
        products, others = normals[here] @ normals[begin:].T, 2 * share[begin:]
        others[:rows] = share[here]
        sums += ((products > _LOWEST) & (products < _HIGHEST)) @ others @ share[here]
    return list(sums.tolist())


def _radii(study: FlatStudy) -> list[float]:
    """distinct_radii ln(1 + number of different radii); mean_radius_ratio mean radius of arcs, by length, / rms radius, 0 without."""
    return [math.log1p(study.distinct_radii), study.mean_radius]


def _entities(study: FlatStudy) -> list[float]:
    """path_count ln(1 + number of outlines); line_share, polyline_share, text_share of all entities after expansion."""
    return [math.log1p(study.paths.paths), *study.shares]


SOLID_GROUPS = (Group(4, _normals), Group(2, _kinds))
FLAT_GROUPS = (Group(2, _radii), Group(4, _entities))
