"""Version 4: slots 22-23, how many elements there are and how evenly their kinds are mixed. Numbers without unit."""

from __future__ import annotations

import math
from collections.abc import Mapping

from workers.features.entropy import shape_entropy
from workers.features.flat import FlatStudy
from workers.features.solid import SolidStudy


def solid(study: SolidStudy) -> list[float]:
    """surface_count ln(1 + number of faces, of regions where the file has none); shape_entropy over their kinds."""
    return _both(study.types)


def flat(study: FlatStudy) -> list[float]:
    """surface_count ln(1 + number of entities in modelspace); shape_entropy over their types."""
    return _both(study.types)


def _both(counts: Mapping[str, int]) -> list[float]:
    return [math.log1p(sum(counts.values())), shape_entropy(counts)]
