"""Version 4: slots 22-23, how many elements there are and how evenly their kinds are mixed. Numbers without unit."""

from __future__ import annotations

import math

from workers.features.entropy import shape_entropy
from workers.features.flat import FlatStudy
from workers.features.group import Group
from workers.features.solid import SolidStudy


def _mix(study: SolidStudy | FlatStudy) -> list[float]:
    """surface_count ln(1 + number of faces, of regions where a mesh has none, of entities in the modelspace of a drawing);
    shape_entropy over their kinds.
    """
    return [math.log1p(sum(study.types.values())), shape_entropy(study.types)]


SOLID_GROUPS: tuple[Group[SolidStudy], ...] = (Group(2, _mix),)
FLAT_GROUPS: tuple[Group[FlatStudy], ...] = (Group(2, _mix),)
