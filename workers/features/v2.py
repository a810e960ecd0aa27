"""Version 2: slots 8-15, edges and faces of solids; directions and corners of drawings. Numbers without unit."""

from __future__ import annotations

import math

import numpy as np

from workers.features.flat import FlatStudy
from workers.features.group import Group
from workers.features.regions import PLANE
from workers.features.solid import SolidStudy

# turns between the normals of two triangles, radians
_SHARP, _SHALLOW_TO, _RIGHT_TO = 0.4, 1.2, 2.0


def _edges(study: SolidStudy) -> list[float]:
    """edge_convex_shallow, edge_concave_shallow ln(1 + length / sqrt A) of edges that turn by 0.4-1.2 radians;
    edge_convex_right, edge_concave_right the same for 1.2-2.0; concave_frac concave by all sharp length (> 0.4), 0 without.
    """
    edges = study.edges
    turn, convex = np.abs(edges.angles), edges.angles > 0
    sharp = float(edges.lengths[turn > _SHARP].sum())
    shallow = (turn > _SHARP) & (turn <= _SHALLOW_TO)
    right = (turn > _SHALLOW_TO) & (turn <= _RIGHT_TO)
    lengths = [float(edges.lengths[some].sum()) for some in (shallow & convex, shallow & ~convex, right & convex, right & ~convex)]
    concave = float(edges.lengths[(turn > _SHARP) & ~convex].sum())
    return [*(math.log1p(length / study.side) for length in lengths), concave / sharp if sharp > 0 else 0.0]


def _regions(study: SolidStudy) -> list[float]:
    """planar_area_frac area of plane regions / A; top8_area_frac area of the 8 largest regions / A."""
    found = study.regions
    return [
        min(float(found.areas[found.kinds == PLANE].sum()) / study.area, 1.0),
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
    return [math.log1p(int(count)) for count in study.turnings]


def _curves(study: FlatStudy) -> list[float]:
    """arc_length_frac length of curves / L."""
    return [study.arc_share]


SOLID_GROUPS = (Group(5, _edges), Group(2, _regions), Group(1, _centroids))
FLAT_GROUPS = (Group(1, _direction), Group(6, _corners), Group(1, _curves))
