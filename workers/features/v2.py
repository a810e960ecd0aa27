"""Version 2: slots 8-15, edges and faces of solids; directions and corners of drawings. Numbers without unit."""

from __future__ import annotations

import math

import numpy as np

from workers.features.flat import FlatStudy
from workers.features.group import Group
from workers.features.regions import KINDS, PLANE
from workers.features.solid import SolidStudy

# turns between the normals of two triangles, radians
_SHARP, _SHALLOW_TO, _RIGHT_TO = 0.4, 1.2, 2.0


def _edges(study: SolidStudy) -> list[float]:
    """edge_convex_shallow, edge_concave_shallow ln(1 + length / sqrt A) of edges that turn by 0.4-1.2 radians;
    edge_convex_right, edge_concave_right the same for 1.2-2.0; concave_frac concave by all sharp length (> 0.4), 0 without.
    """
    edges = study.edges
    turns = np.abs(edges.angles)
    sharp = (turns > _SHARP).nonzero()[0]
    # 0, 1, 2: shallow, right, beyond; 3 more where convex
    turn = turns.take(sharp)
    bands = 3 * (edges.angles.take(sharp) > 0) + (turn > _SHALLOW_TO) + (turn > _RIGHT_TO)
    lengths = np.bincount(bands, edges.lengths.take(sharp), 6).tolist()
    convex, concave = lengths[3:], lengths[:3]
    counted = [math.log1p(length / study.side) for length in (convex[0], concave[0], convex[1], concave[1])]
    return [*counted, sum(concave) / sum(lengths) if len(sharp) else 0.0]


def _regions(study: SolidStudy) -> list[float]:
    """planar_area_frac area of plane regions / A; top8_area_frac area of the 8 largest regions / A."""
    found = study.regions
    return [
        min(float(np.bincount(found.kinds, found.areas, len(KINDS))[PLANE]) / study.area, 1.0),
        min(float(np.sort(found.areas)[-8:].sum()) / study.area, 1.0),
    ]


def _centroids(study: SolidStudy) -> list[float]:
    """centroid_offset distance between the centroids of solid and surface in rms radii."""
    return [study.centroid_offset]


def _direction(study: FlatStudy) -> list[float]:
    """direction_4 length-weighted mean of exp(4i angle), its magnitude."""
    return [study.harmonic(4)]


def _corners(study: FlatStudy) -> list[float]:
    """turning_1 .. turning_6 ln(1 + number of corners) by turning angle."""
    return [math.log1p(count) for count in study.turnings.tolist()]


def _curves(study: FlatStudy) -> list[float]:
    """arc_length_frac length of curves / L."""
    return [study.arc_share]


SOLID_GROUPS = (Group(5, _edges), Group(2, _regions), Group(1, _centroids))
FLAT_GROUPS = (Group(1, _direction), Group(6, _corners), Group(1, _curves))
