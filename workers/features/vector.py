"""The versions, one row each: a vector is what all versions up to the wanted one add, in order."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from foundation.errors import Failure
from foundation.telemetry import logger
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.features import v1, v2, v3, v4
from workers.features.flat import FlatStudy
from workers.features.group import Group
from workers.features.solid import SolidStudy

Answer = TypeVar("Answer")


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
    family = Family.SOLID if isinstance(study, SolidStudy) else Family.FLAT
    names, at = slot_names(family, wanted), 0
    found, told, missing, whole = list[str](), list[float](), dict[str, str](), None
    for step in STEPS:
        for width, compute in _computations(study, step):
            here, at = names[at : at + width], at + width
            numbers, reason = attempted(compute)
            if numbers is not None and not all(map(math.isfinite, numbers)):
                numbers, reason = None, "not a finite number"
            if numbers is None:
                missing |= dict.fromkeys(here, reason)
            else:
                found += here
                told += numbers
        if not missing:
            whole = step.version
        if step.version is wanted:
            break
    slots = dict(zip(found, array("f", told), strict=True))
    if whole is None:
        raise Failure("FEATURES_INCOMPLETE", {"feature_version": wanted.value, "missing": missing, "slots": slots})
    return Features(whole, list(slots.values())[: whole.width], slots, missing)


def _computations(study: SolidStudy | FlatStudy, step: Step) -> Iterator[tuple[int, Callable[[], list[float]]]]:
    if isinstance(study, SolidStudy):
        for solid in step.solid:
            yield solid.width, partial(solid.compute, study)
    else:
        for flat in step.flat:
            yield flat.width, partial(flat.compute, study)


def attempted(do: Callable[[], Answer]) -> tuple[Answer | None, str]:
    """What `do` answers, or None and why it could not. A lack of memory is the whole file's affair."""
    try:
        return do(), ""
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - what goes wrong with some slots must not cost the others
        logger.exception("slots could not be computed")
        return None, type(error).__name__
