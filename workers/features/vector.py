"""The versions, one row each: a vector is what all versions up to the wanted one add, in order."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from foundation.errors import Failure
from foundation.telemetry import logger
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.features import v1, v2, v3, v4
from workers.features.flat import FlatStudy
from workers.features.group import Group
from workers.features.solid import SolidStudy

Answer = TypeVar("Answer")
Study = TypeVar("Study")


@dataclass(frozen=True, slots=True)
class Step:
    """The groups of slots one version adds, for each family."""

    version: FeatureVersion
    solid: tuple[Group[SolidStudy], ...]
    flat: tuple[Group[FlatStudy], ...]


# a new version is one more file and one more row; no row ever changes what it adds
STEPS: tuple[Step, ...] = (
    Step(FeatureVersion.V1, v1.SOLID_GROUPS, v1.FLAT_GROUPS),
    Step(FeatureVersion.V2, v2.SOLID_GROUPS, v2.FLAT_GROUPS),
    Step(FeatureVersion.V3, v3.SOLID_GROUPS, v3.FLAT_GROUPS),
    Step(FeatureVersion.V4, v4.SOLID_GROUPS, v4.FLAT_GROUPS),
)


@dataclass(frozen=True, slots=True)
class Features:
    """What could be computed for a wanted version. No number is ever made up: a slot has its value or a reason why it has none."""

    version: FeatureVersion  # the highest one, up to the wanted one, of which no slot is missing
    vector: list[float]  # its slots, each finite and held exactly by float32
    slots: dict[str, float]  # all that were computed, in the order of the wanted version
    missing: dict[str, str]  # all others, and why


def features(study: SolidStudy | FlatStudy, wanted: FeatureVersion) -> Features:
    """The features of one shape. Raises `Failure` FEATURES_INCOMPLETE where not even the first version is whole."""
    found: list[str] = []
    told: list[float] = []
    missing: dict[str, str] = {}
    whole = None
    for version, groups in _computations(Family.SOLID if isinstance(study, SolidStudy) else Family.FLAT, wanted):
        for names, compute in groups:
            numbers, reason = attempted(compute, study)
            if numbers is not None and not all(map(math.isfinite, numbers)):
                numbers, reason = None, "not a finite number"
            if numbers is None:
                missing |= dict.fromkeys(names, reason)
            else:
                found += names
                told += numbers
        if not missing:
            whole = version
    told = array("f", told).tolist()
    slots = dict(zip(found, told, strict=True))
    if whole is None:
        raise Failure("FEATURES_INCOMPLETE", {"feature_version": wanted.value, "missing": missing, "slots": slots})
    return Features(whole, told[: whole.width], slots, missing)


@cache
def _computations(
    family: Family, wanted: FeatureVersion
) -> list[tuple[FeatureVersion, list[tuple[tuple[str, ...], Callable[[Any], list[float]]]]]]:
    """For each version up to the wanted one: the names of its slots, group by group, and what computes them from the study."""
    names, at = slot_names(family, wanted), 0
    steps = []
    for step in STEPS[: [step.version for step in STEPS].index(wanted) + 1]:
        groups = []
        for group in step.solid if family is Family.SOLID else step.flat:
            groups.append((names[at : at + group.width], group.compute))
            at += group.width
        steps.append((step.version, groups))
    return steps


def attempted(do: Callable[[Study], Answer], study: Study) -> tuple[Answer | None, str]:
    """What `do` answers of the study, or None and why it could not. A lack of memory is the whole file's affair."""
    try:
        return do(study), ""
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - what goes wrong with some slots must not cost the others
        logger.exception("slots could not be computed")
        return None, type(error).__name__
