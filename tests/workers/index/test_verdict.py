"""What is told of a hit: label, sizes, slots. On vectors worked out by hand, and on files and their mirror images."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from foundation.engine_settings import CadSettings
from tasks.vocabulary import Family, FeatureVersion, slot_names
from tests.stack import SAMPLES
from workers.cad.readers import read
from workers.cad.shape import Arcs, Mesh, Paths
from workers.features.extraction import _flat, _solid
from workers.features.scaling import _constants
from workers.features.vector import features
from workers.index.sameness import SAME_PART
from workers.index.verdict import LIKELY, Floats32, verdict

INCH = math.log(25.4)


def vector(family: Family, *far: tuple[int, float]) -> Floats32:
    """At the median of every slot but these, which are so far from it in units of scale."""
    median, scale = _constants(family)
    row = median.copy()
    for slot, distance in far:
        row[slot] += distance * scale[slot]
    return row.astype(np.float32)


def test_the_slots_that_contribute_most_come_first_each_with_its_share_of_the_squares_and_both_values() -> None:
    query, part = vector(Family.SOLID), vector(Family.SOLID, (8, 2.0), (12, 1.0), (20, 0.01))
    names = slot_names(Family.SOLID, FeatureVersion.V4)
    told = verdict(query, part, Family.SOLID, False, False, sized=True)
    assert [(slot["slot"], slot["share"]) for slot in told["slots"]] == [(names[8], 0.8), (names[12], 0.2)]
    assert [slot["query"] for slot in told["slots"]] == pytest.approx([float(query[8]), float(query[12])], rel=1e-5)
    assert [slot["part"] for slot in told["slots"]] == pytest.approx([float(part[8]), float(part[12])], rel=1e-5)


def test_equal_vectors_have_no_slots_to_name_and_size_has_none_where_it_is_left_out() -> None:
    query = vector(Family.FLAT)
    larger = query.copy()
    larger[0] += INCH
    assert verdict(query, query, Family.FLAT, False, False, sized=True)["slots"] == []
    assert [slot["slot"] for slot in verdict(query, larger, Family.FLAT, False, False, sized=True)["slots"]] == ["log_length"]
    told = verdict(query, larger, Family.FLAT, False, False, sized=False)
    assert (told["slots"], told["equal"], told["label"], told["units_suspected"]) == ([], False, "scaled", True)


def test_equal_means_every_slot_and_size_but_for_float_noise() -> None:
    query = vector(Family.SOLID, (1, 0.3))
    noisy = np.nextafter(query, np.float32(9), dtype=np.float32)
    assert verdict(query, noisy, Family.SOLID, False, False, sized=False)["equal"]
    assert not verdict(query, vector(Family.SOLID, (1, 0.3), (20, 1e-4)), Family.SOLID, False, False, sized=True)["equal"]
    assert not verdict(query, vector(Family.SOLID, (1, 0.3), (0, 1e-4)), Family.SOLID, False, False, sized=False)["equal"]


@pytest.mark.parametrize("family", list(Family))
def test_both_sides_of_a_pair_are_told_the_same_with_the_sizes_turned_round(family: Family) -> None:
    dice = np.random.default_rng(3)
    one = vector(family, *((slot, float(dice.normal())) for slot in range(24)))
    other = (one + dice.normal(size=24) * 1e-3).astype(np.float32)
    there, back = (verdict(*pair, family, False, False, sized=True) for pair in ((one, other), (other, one)))
    assert there["size_ratio"] * back["size_ratio"] == pytest.approx(1, abs=1e-3)
    assert [(slot["slot"], slot["share"]) for slot in there["slots"]] == [(slot["slot"], slot["share"]) for slot in back["slots"]]
    for name in ("label", "likely", "equal", "distance"):
        assert there[name] == back[name]


@pytest.mark.parametrize(
    ("family", "mixed", "far", "size", "likely"),
    [
        (Family.FLAT, False, LIKELY[Family.FLAT] * 0.9, 0.0, True),
        (Family.FLAT, False, LIKELY[Family.FLAT] * 1.1, 0.0, False),
        (Family.FLAT, False, SAME_PART[Family.FLAT] * 0.9, 0.0, False),  # that is the same, not likely
        (Family.FLAT, False, LIKELY[Family.FLAT] * 0.9, INCH, True),
        (Family.FLAT, False, LIKELY[Family.FLAT] * 0.9, 0.5, False),
        (Family.SOLID, True, LIKELY[Family.SOLID] * 0.9, 0.0, True),
        (Family.SOLID, False, LIKELY[Family.SOLID] * 0.9, 0.0, False),  # two exact files do not drift
        (Family.SOLID, True, LIKELY[Family.SOLID] * 1.1, 0.0, False),
    ],
)
def test_a_likely_part_is_near_beyond_the_limit_of_the_same_and_of_equal_size_or_an_inch_off(
    family: Family, mixed: bool, far: float, size: float, likely: bool
) -> None:
    query, part = vector(family), vector(family, (1, far))
    part[0] += size
    told = verdict(query, part, family, False, mixed, sized=False)
    assert (told["likely"], told["units_suspected"]) == (likely, likely and size == INCH)
    assert told["label"] == ("same" if far < SAME_PART[family] else "near")


@pytest.mark.parametrize("name", ["dxf/wrench.dxf", "dxf/apu-mount.DXF", "stl/idler_riser.STL", "stl/angle_block.STL"])
def test_a_mirrored_part_has_the_same_vector_so_nothing_can_call_it_mirrored(name: str) -> None:
    path: Path = SAMPLES / name
    shape = read(path, path.name, CadSettings())
    vectors = []
    for geometry in (shape.geometry, mirrored(shape.geometry)):
        study = (_solid if isinstance(geometry, Mesh) else _flat)(geometry, shape.types)[0]  # type: ignore[operator]
        vectors.append(np.array(features(study, FeatureVersion.V4).vector, dtype=np.float32))
    told = verdict(vectors[0], vectors[1], shape.family, False, False, sized=True)
    assert (told["label"], told["equal"]) == ("same", True)


def mirrored(geometry: Mesh | Paths) -> Mesh | Paths:
    if isinstance(geometry, Mesh):
        return Mesh(geometry.vertices * (-1, 1, 1), geometry.triangles[:, ::-1].copy())
    flip, arcs = np.array([-1.0, 1.0]), geometry.arcs
    turned = Arcs(arcs.centres * flip, arcs.radii, np.pi - arcs.starts - arcs.sweeps, arcs.sweeps)
    low, high = geometry.box
    box = np.array([[-high[0], low[1]], [-low[0], high[1]]])
    return replace(geometry, ends=geometry.ends * flip, arcs=turned, box=box)
