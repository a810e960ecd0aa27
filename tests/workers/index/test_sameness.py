"""The gate, the candidates and the verdict, on vectors worked out by hand, in every feature version."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.vocabulary import Family, FeatureVersion
from workers.features.scaling import stable_slots
from workers.index.sameness import GATE, SAME_PART, candidates, fingerprint, gated, nearness

FAMILIES, VERSIONS = list(Family), list(FeatureVersion)
OTHER = {Family.SOLID: 9, Family.FLAT: 7}  # a slot that is not stable


def row(family: Family, stable: float, other: float = 0.0, width: int = 24) -> list[float]:
    """So far from zero in one stable slot and in another one, where the version has it."""
    vector = np.zeros(24)
    vector[1], vector[OTHER[family]] = stable, other
    return vector[:width].tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_that_agree_in_the_stable_slots_come_first_however_far_the_others_are(family: Family) -> None:
    matrix = np.array([row(family, SAME_PART[family] / 2, 1.0), row(family, 0.2, 0.1)])
    found = nearness(matrix, np.zeros(24), family)
    assert found.plain[0] > found.plain[1]
    assert found.gated[0] < found.gated[1]
    assert found.same.tolist() == [True, False]


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_that_the_stable_slots_cannot_tell_apart_are_ordered_by_all_slots_and_not_by_noise(family: Family) -> None:
    limit = SAME_PART[family]
    matrix = np.array([row(family, limit / 100, 0.5), row(family, limit / 2, 0.1)])
    found = nearness(matrix, np.zeros(24), family)
    assert found.stable[0] < found.stable[1]
    assert found.gated[0] > found.gated[1]


def test_an_open_gate_changes_nothing_and_a_closed_one_never_hides_a_difference() -> None:
    plain = np.array([0.0, 1.0, 1.0, 2.0])
    told = gated(plain, np.array([0.0, GATE, 5.0, 0.0]), Family.SOLID)
    assert told[:3].tolist() == [0.0, 1.0, 1.0]
    assert told[3] == pytest.approx(2 * SAME_PART[Family.SOLID] / GATE)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_version_has_stable_slots_and_a_verdict(family: Family, version: FeatureVersion) -> None:
    width, limit = version.width, SAME_PART[family]
    matrix = np.array([row(family, distance, 0.0, width) for distance in (0.0, 0.9 * limit, 1.1 * limit)])
    found = nearness(matrix, np.zeros(width), family)
    assert found.stable == pytest.approx([0.0, 0.9 * limit, 1.1 * limit])
    assert found.same.tolist() == [True, True, False]
    assert fingerprint(matrix, family).shape == (3, sum(slot < width for slot in stable_slots(family)))


def test_an_empty_gallery_has_nothing_near() -> None:
    assert len(nearness(np.empty((0, 24)), np.zeros(24), Family.SOLID).gated) == 0


def test_candidates_are_the_nearest_of_either_kind_each_once() -> None:
    plain = np.array([5.0, 1.0, 2.0, 3.0, 4.0])
    stable = np.array([0.0, 3.0, 1.0, 4.0, 5.0])
    assert candidates(plain, stable, 2).tolist() == [0, 1, 2]
    assert candidates(plain, stable, 5).tolist() == [0, 1, 2, 3, 4]
    assert candidates(plain[:0], stable[:0], 5).tolist() == []


def test_what_is_nearest_through_the_gate_is_among_few_candidates() -> None:
    dice = np.random.default_rng(1)
    matrix = dice.normal(size=(2000, 24))
    stable = list(stable_slots(Family.SOLID))
    for place in range(0, 2000, 100):
        query = dice.normal(size=24)  # another form of this part: far by all slots, near by the stable ones
        query[stable] = matrix[place, stable] + dice.normal(size=len(stable)) * 1e-3
        found = nearness(matrix, query, Family.SOLID)
        some = candidates(found.plain, found.stable, 10)
        assert len(some) <= 20
        assert place in some
        assert some[np.argmin(found.gated[some])] == np.argmin(found.gated) == place
