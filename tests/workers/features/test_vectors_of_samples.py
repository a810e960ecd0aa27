"""Vectors: known values, nested versions, the same part in every pose, nothing that is not finite."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import FLAT_SLOTS, SOLID_SLOTS, Family, FeatureVersion, slot_names
from workers.cad.dxf.strokes import Strokes, flattened
from workers.cad.shape import Mesh, Paths
from workers.cad.stl import read_stl, weld
from workers.features.extraction import ENGINE_BUILD, extract
from workers.features.flat import FlatStudy
from workers.features.scaling import scaled, stable_slots
from workers.features.solid import SolidStudy
from workers.features.vector import STEPS, features

LIMITS = CadSettings()
SAMPLES = Path(__file__).parents[2] / "data"
SOLIDS = sorted((SAMPLES / "stl").iterdir())
DRAWINGS = sorted((SAMPLES / "dxf").iterdir())
KEYS = {
    "feature_version",
    "family",
    "vector",
    "slots",
    "missing_slots",
    "surface_count",
    "shape_entropy",
    "bounding_box",
    "units",
    "units_asked",
    "findings",
    "facts",
    "engine_build",
    "format",
    "bytes",
    "memory_bytes",
    "seconds",
    "preview_seconds",
}
BOX = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=float)
SIDES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)


def box(x: float, y: float, z: float) -> SolidStudy:
    return SolidStudy(Mesh(BOX * [x, y, z], SIDES))


def slots_of(study: SolidStudy | FlatStudy) -> dict[str, float]:
    names = SOLID_SLOTS if isinstance(study, SolidStudy) else FLAT_SLOTS
    return dict(zip(names, features(study, FeatureVersion.V4).vector, strict=True))


def mesh_of(path: Path) -> Mesh:
    geometry = read_stl(path, LIMITS).geometry
    assert isinstance(geometry, Mesh)
    return geometry


def posed(mesh: Mesh, seed: int) -> Mesh:
    random = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(random.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    order = random.permutation(len(mesh.triangles))
    return Mesh(mesh.vertices @ rotation.T + random.normal(size=3) * 50, np.roll(mesh.triangles[order], 1, axis=1))


def paths_of(lines: np.ndarray) -> Paths:
    n = len(lines)
    straight = np.dstack([lines, np.zeros((n, 2))])
    none = Strokes.none()
    strokes = replace(none, lines=straight, curved=np.zeros(n, bool), inner=np.zeros((n, 2), bool), line_path=np.arange(n), paths=n)
    return flattened(strokes, 1.0, {"LINE": n})


def test_a_cube_has_the_values_of_a_cube() -> None:
    slots = slots_of(box(10, 10, 10))
    assert slots["log_size"] == pytest.approx(math.log(math.sqrt(600)), rel=1e-6)
    assert slots["log_vol_ratio"] == pytest.approx(math.log(10 / math.sqrt(600)), rel=1e-6)
    # each face: 50 / 3 within, 25 away from the centre
    assert slots["log_rms_ratio"] == pytest.approx(math.log(math.sqrt((50 / 3 + 25) / 600)), rel=1e-6)
    for name in ("surf_gyr_2", "surf_gyr_3", "vol_gyr_2", "vol_gyr_3", "solidity", "planar_area_frac", "top8_area_frac"):
        assert slots[name] == pytest.approx(1, abs=1e-6)
    assert slots["edge_convex_right"] == pytest.approx(math.log1p(120 / math.sqrt(600)), rel=1e-6)
    for name in ("edge_convex_shallow", "edge_concave_right", "concave_frac", "centroid_offset", "normal_pair_near", "freeform_regions"):
        assert slots[name] == pytest.approx(0, abs=1e-6)
    assert slots["surface_count"] == pytest.approx(math.log(7), rel=1e-6)
    assert slots["shape_entropy"] == 0.0


def test_gyrations_of_a_block_are_ratios_of_its_sides() -> None:
    slots = slots_of(box(30, 20, 10))
    assert (slots["vol_gyr_2"], slots["vol_gyr_3"]) == pytest.approx((20 / 30, 10 / 30), rel=1e-6)


def test_a_mesh_turned_inside_out_has_the_same_vector() -> None:
    turned = SolidStudy(Mesh(BOX * 10, SIDES[:, ::-1]))
    assert features(turned, FeatureVersion.V4).vector == pytest.approx(features(box(10, 10, 10), FeatureVersion.V4).vector, abs=1e-6)


def test_a_sheet_has_no_volume_and_still_a_vector() -> None:
    slots = slots_of(SolidStudy(Mesh(np.array([[0.0, 0, 0], [9, 0, 0], [9, 9, 0], [0, 9, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))))
    assert slots["solidity"] == 0.0
    assert slots["log_vol_ratio"] == pytest.approx(math.log(1e-3))
    assert slots["vol_gyr_2"] == slots["surf_gyr_2"]


@pytest.mark.parametrize("seed", range(4))
def test_an_open_sheet_keeps_its_stable_slots_when_moved_turned_and_written_as_single_floats(seed: int) -> None:
    grid = np.stack(np.meshgrid(np.linspace(0, 8, 5), np.linspace(0, 5, 4), [0.0]), axis=-1).reshape(4, 5, 3)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, 1:], grid[1:, :-1]
    corners = np.concatenate([np.stack(three, axis=2).reshape(-1, 3, 3) for three in ((a, b, c), (a, c, d))])
    flat = weld(corners)[0]
    moved = posed(flat, seed)
    turned = weld(moved.vertices[moved.triangles].astype(np.float32))[0]
    stable = list(stable_slots(Family.SOLID))
    one, two = (np.array(features(SolidStudy(mesh), FeatureVersion.V4).vector)[stable] for mesh in (flat, turned))
    assert two == pytest.approx(one, abs=1e-4)


def test_holes_count_as_concave_and_shafts_as_convex_cylinders() -> None:
    shaft = slots_of(SolidStudy(mesh_of(SAMPLES / "stl" / "cylinder.stl")))
    plate = slots_of(SolidStudy(mesh_of(SAMPLES / "stl" / "plate_holes.STL")))
    assert shaft["convex_cyl_frac"] > 0.2
    assert plate["convex_cyl_frac"] < 0.1
    assert plate["planar_area_frac"] > 0.5


@pytest.mark.parametrize("path", SOLIDS, ids=lambda path: path.name)
def test_a_solid_keeps_its_vector_when_moved_and_turned(path: Path) -> None:
    mesh = mesh_of(path)
    here, there = SolidStudy(mesh), SolidStudy(posed(mesh, 7))
    one, two = features(here, FeatureVersion.V4).vector, features(there, FeatureVersion.V4).vector
    stable = list(stable_slots(Family.SOLID))
    assert np.array(one)[stable] == pytest.approx(np.array(two)[stable], abs=2e-5)
    assert one == pytest.approx(two, abs=0.02)


@pytest.mark.parametrize("path", [*SOLIDS, *DRAWINGS], ids=lambda path: path.name)
def test_each_version_is_a_prefix_of_the_next_and_results_are_json(path: Path) -> None:
    full = extract(path, path.name, FeatureVersion.V4, LIMITS)
    assert set(full.result) == KEYS
    assert json.loads(json.dumps(full.result, allow_nan=False))["engine_build"] == ENGINE_BUILD
    assert full.vector == [float(np.float32(number)) for number in full.vector]
    assert list(full.result["slots"]) == list(slot_names(full.family, FeatureVersion.V4))
    assert full.vector[22] == pytest.approx(math.log1p(full.result["surface_count"]), rel=1e-6)
    assert full.vector[23] == pytest.approx(full.result["shape_entropy"], rel=1e-6)
    for version in FeatureVersion:
        part = extract(path, path.name, version, LIMITS)
        assert part.vector == full.vector[: version.width]
        assert part.result["surface_count"] == full.result["surface_count"]


def test_every_version_has_its_row() -> None:
    assert [step.version for step in STEPS] == list(FeatureVersion)


def test_one_drawing_has_one_vector_in_every_release() -> None:
    old, text, binary = (
        np.array(extract(SAMPLES / "dxf" / name, name, FeatureVersion.V4, LIMITS).vector)
        for name in ("ae.r12a.dxf", "ae.r2000a.dxf", "ae.r2013b.dxf")
    )
    assert text == pytest.approx(binary, abs=1e-6)
    # R12 knows neither units, so its inches are taken for millimetres, nor splines, so it has polylines instead
    assert text[0] - old[0] == pytest.approx(math.log(25.4), abs=1e-3)
    stable = list(stable_slots(Family.FLAT))[1:]
    assert text[stable] == pytest.approx(old[stable], abs=1e-3)


def test_a_square_has_the_values_of_a_square() -> None:
    corners = np.array([[0.0, 0], [4, 0], [4, 4], [0, 4]])
    slots = slots_of(FlatStudy(paths_of(np.stack([corners, np.roll(corners, -1, axis=0)], axis=1)), {"LINE": 4}))
    rms = math.sqrt(4 + 4 / 3)
    assert slots["log_length"] == pytest.approx(math.log(16))
    assert slots["log_rms_ratio"] == pytest.approx(math.log(rms / 16))
    assert slots["log_radius_ratio"] == pytest.approx(math.log(math.sqrt(8) / rms))
    assert slots["gyr_2"] == pytest.approx(1)
    # on a side: mean of (4 + t^2)^2 over t = -2..2
    assert slots["fourth_moment"] == pytest.approx((16 + 8 * 4 / 3 + 16 / 5) ** 0.25 / rms)
    assert slots["hull_area_ratio"] == pytest.approx(4 / rms)
    assert slots["log_hull_perimeter_ratio"] == pytest.approx(0, abs=1e-6)
    assert slots["direction_2"] == pytest.approx(0, abs=1e-6)
    assert slots["direction_4"] == pytest.approx(1)
    assert slots["turning_5"] == pytest.approx(math.log(5))
    assert slots["line_share"] == 1.0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-1e12, 1e12)] * 4), min_size=1, max_size=20))
def test_no_lines_make_a_vector_that_is_not_finite(raw: list[tuple[float, ...]]) -> None:
    paths = paths_of(np.array(raw).reshape(-1, 2, 2))
    if paths.length:
        assert np.isfinite(features(FlatStudy(paths, {"LINE": len(raw)}), FeatureVersion.V4).vector).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(*[st.floats(-(2.0**39), 2.0**39, width=32)] * 9), min_size=1, max_size=12))
def test_no_triangles_make_a_vector_that_is_not_finite(raw: list[tuple[float, ...]]) -> None:
    from workers.cad.stl import has_area

    corners = np.array(raw).reshape(-1, 3, 3)
    mesh, _ = weld(corners)
    if has_area(mesh):
        assert np.isfinite(features(SolidStudy(mesh), FeatureVersion.V4).vector).all()


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 2 * math.pi), st.floats(-1e3, 1e3), st.integers(0, 10**6))
def test_a_drawing_keeps_its_stable_slots_when_moved_and_turned(angle: float, shift: float, seed: int) -> None:
    lines = np.random.default_rng(seed).normal(size=(12, 2, 2))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    one = features(FlatStudy(paths_of(lines), {"LINE": 12}), FeatureVersion.V4).vector
    two = features(FlatStudy(paths_of(lines @ turn + shift), {"LINE": 12}), FeatureVersion.V4).vector
    assert one == pytest.approx(two, abs=1e-5)


def test_scaling_is_fixed_clipped_and_open_to_every_version() -> None:
    for family, names in ((Family.SOLID, SOLID_SLOTS), (Family.FLAT, FLAT_SLOTS)):
        rows = np.array([[1e9] * len(names), [-1e9] * len(names)])
        assert scaled(rows, family).tolist() == [[3.0] * len(names), [-3.0] * len(names)]
        for version in FeatureVersion:
            assert scaled(rows[:, : version.width], family).shape == (2, version.width)
        with pytest.raises(ValueError, match="slots"):
            scaled(np.zeros((1, len(names) + 1)), family)
    assert stable_slots(Family.SOLID) == (0, 1, 2, 3, 4, 5, 6, 7, 15)
    assert stable_slots(Family.FLAT) == (0, 1, 2, 3, 4, 5, 6)


def test_constants_belong_to_the_slots_in_their_order() -> None:
    from tasks import scaling

    rows = json.loads(Path(scaling.__file__).with_name("scaling.json").read_text(encoding="utf-8"))
    assert [row["slot"] for row in rows[Family.SOLID.value]] == list(SOLID_SLOTS)
    assert [row["slot"] for row in rows[Family.FLAT.value]] == list(FLAT_SLOTS)
    assert all(row["scale"] > 0 for table in rows.values() for row in table)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("empty.dxf", "FILE_EMPTY"),
        ("png_named.dxf", "FORMAT_MISMATCH"),
        ("truncated.dxf", "FILE_CORRUPT"),
        ("billion_laughs.dxf", "CAD_EXPANSION_LIMIT"),
        ("self_insert.dxf", "CAD_CYCLIC_REFERENCE"),
        ("claims_1000_has_400.stl", "FILE_CORRUPT"),
        ("nan_inf.stl", "GEOMETRY_INVALID"),
    ],
)
def test_bad_samples_have_their_answers(name: str, code: str) -> None:
    with pytest.raises(Failure) as caught:
        extract(SAMPLES / "bad" / name, name, FeatureVersion.V4, LIMITS)
    assert caught.value.code == code
    assert str(SAMPLES) not in json.dumps(caught.value.public())
