"""The versions, one row each: a vector is what all versions up to the wanted one add, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tasks.vocabulary import FeatureVersion
from workers.features import v1, v2, v3, v4
from workers.features.flat import FlatStudy
from workers.features.solid import SolidStudy


@dataclass(frozen=True, slots=True)
class Step:
    """The slots one version adds, for each family."""

    version: FeatureVersion
    solid: Callable[[SolidStudy], list[float]]
    flat: Callable[[FlatStudy], list[float]]


# a new version is one more file and one more row; no row ever changes what it adds
STEPS: tuple[Step, ...] = (
    Step(FeatureVersion.V1, v1.solid, v1.flat),
    Step(FeatureVersion.V2, v2.solid, v2.flat),
    Step(FeatureVersion.V3, v3.solid, v3.flat),
    Step(FeatureVersion.V4, v4.solid, v4.flat),
)


def vector(study: SolidStudy | FlatStudy, version: FeatureVersion) -> list[float]:
    """The feature vector of `version.width` slots, each a finite number that float32 holds exactly.

    Raises ArithmeticError when a slot is not finite, which no input may cause.
    """
    slots: list[float] = []
    for step in STEPS:
        slots += step.solid(study) if isinstance(study, SolidStudy) else step.flat(study)
        if step.version is version:
            break
    stored = np.array(slots, dtype=np.float32)
    if len(stored) != version.width or not np.isfinite(stored).all():
        raise ArithmeticError(f"a {version.value} vector of {len(stored)} slots is not finite or not of its width")
    return [float(number) for number in stored]
