"""Slots that cannot be computed: told with a reason, never made up, and without loss of the others."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pytest

from foundation.errors import Failure
from tasks.vocabulary import SOLID_SLOTS, FeatureVersion
from workers.cad.shape import Mesh
from workers.features.regions import Regions
from workers.features.solid import SolidStudy
from workers.features.vector import features

CORNERS = np.array([[0.0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1]])
SIDES = np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
REGION_SLOTS = {*SOLID_SLOTS[13:15], *SOLID_SLOTS[16:]}


class NoRegions(SolidStudy):
    """A solid whose regions cannot be found."""

    @cached_property
    def regions(self) -> Regions:
        raise np.linalg.LinAlgError("Eigenvalues did not converge")


class NoHull(SolidStudy):
    """A solid whose hull is no number."""

    @cached_property
    def solidity(self) -> float:
        return float("nan")


class NoMemory(SolidStudy):
    """A solid too large for this machine."""

    @cached_property
    def regions(self) -> Regions:
        raise MemoryError


def test_a_failed_group_costs_its_own_slots_and_the_version_falls_back() -> None:
    whole = features(SolidStudy(Mesh(CORNERS, SIDES)), FeatureVersion.V4)
    partial = features(NoRegions(Mesh(CORNERS, SIDES)), FeatureVersion.V4)
    assert (whole.version, whole.missing) == (FeatureVersion.V4, {})
    assert partial.version is FeatureVersion.V1
    assert partial.vector == whole.vector[:8]
    assert partial.missing == dict.fromkeys([name for name in SOLID_SLOTS if name in REGION_SLOTS], "LinAlgError")
    assert partial.slots == {name: value for name, value in whole.slots.items() if name not in REGION_SLOTS}


def test_what_is_not_wanted_cannot_be_missing() -> None:
    found = features(NoRegions(Mesh(CORNERS, SIDES)), FeatureVersion.V1)
    assert (found.version, found.missing, len(found.vector)) == (FeatureVersion.V1, {}, 8)


def test_a_number_that_is_none_is_never_stored_and_without_the_first_version_there_is_no_vector() -> None:
    with pytest.raises(Failure) as caught:
        features(NoHull(Mesh(CORNERS, SIDES)), FeatureVersion.V3)
    assert caught.value.code == "FEATURES_INCOMPLETE"
    assert caught.value.context["missing"] == {"solidity": "not a finite number"}
    assert set(caught.value.context["slots"]) == {*SOLID_SLOTS[:22]} - {"solidity"}


def test_a_lack_of_memory_is_the_affair_of_the_whole_file() -> None:
    with pytest.raises(MemoryError):
        features(NoMemory(Mesh(CORNERS, SIDES)), FeatureVersion.V4)
