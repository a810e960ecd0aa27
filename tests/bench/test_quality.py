"""The harness of retrieval quality, on samples and on parts that Open CASCADE makes here."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.quality.aims import aims
from bench.quality.comparing import Shelf, variants
from bench.quality.exports import FLAT_VARIANTS, REEXPORTS, SOLID_VARIANTS, NotApplicable
from bench.quality.extracted import LATE, Found, extracted
from bench.quality.fit_sameness import chosen, nearest_other
from bench.quality.measured import Bounds, measured
from bench.quality.price import price
from bench.quality.samples import KICAD_INSTALL, Collection, Sample, held, kicad, real, redrawn
from bench.quality.telling import told
from bench.quality.verdict import judged
from bench.quality.writing import Writer
from tasks.vocabulary import Family
from tests.stack import SAMPLES
from tests.workers.cad.kernel_here import needs_kernel
from workers.features.scaling import scaled
from workers.index.sameness import SAME_PART


def step_block(path: Path) -> Path:
    """A block with a bore, as STEP."""
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox, BRepPrimAPI_MakeCylinder
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

    writer = STEPControl_Writer()
    writer.Transfer(
        BRepAlgoAPI_Cut(BRepPrimAPI_MakeBox(30, 20, 10).Shape(), BRepPrimAPI_MakeCylinder(4, 10).Shape()).Shape(), STEPControl_AsIs
    )
    writer.Write(str(path))
    return path


def shelf_of(*vectors: list[float], parts: str = "") -> Shelf:
    """Solids with these vectors; parts of the same letter are one."""
    names = parts or "abcdefghijklmnopqrstuvwxyz"[: len(vectors)]
    samples = [Sample(Path(f"{at}.step"), "", name) for at, name in enumerate(names)]
    return Shelf.of(Family.SOLID, samples, [Found("3d", "step", tuple(vector)) for vector in vectors])


def near(distance: float) -> list[float]:
    """A solid so far from the next in the stable slots."""
    vector = np.zeros(24)
    vector[1] = -1.073 + distance * 0.443
    return vector.tolist()


@needs_kernel
def test_every_variant_can_be_written_and_read_again(tmp_path: Path) -> None:
    source = step_block(tmp_path / "block.step")
    solids = [(source, ""), *((source, variant) for variant in REEXPORTS)]
    meshes = [(SAMPLES / "stl" / "round.stl", variant) for variant in SOLID_VARIANTS]
    drawings = [(SAMPLES / "dxf" / "insert_r14.dxf", variant) for variant in FLAT_VARIANTS]
    found = extracted(solids + meshes + drawings, tmp_path / "cache")
    assert [one.missing for one in found] == [""] * len(found)
    assert [one.format for one in found[: len(solids)]] == ["step", "step", "step", "iges", "iges", "stl", "stl"]
    of = {variant: one for (_, variant), one in zip(solids + meshes, found, strict=False)}
    assert of["STEP x 25.4"].vector[0] - of[""].vector[0] == pytest.approx(np.log(25.4), abs=1e-4)
    assert of["x 25.4"].vector[0] - of["turned, moved"].vector[0] == pytest.approx(np.log(25.4), abs=1e-4)
    assert of["STEP turned, moved"].body == pytest.approx(of[""].body)
    moved = scaled(np.array([of[""].vector, of["STEP turned, moved"].vector]), Family.SOLID)
    assert np.abs(moved[0] - moved[1])[:8].max() < SAME_PART[Family.SOLID]
    assert extracted(solids, tmp_path / "cache", until=0) == found[: len(solids)], "the second time nothing is made"
    assert extracted(meshes, tmp_path / "nowhere", until=0)[0].missing == LATE


def test_a_variant_that_cannot_be_is_refused_with_a_reason_and_one_that_hangs_costs_itself_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "endless.dxf")
    with Writer(seconds=2) as writer:
        with pytest.raises(NotApplicable, match="nothing to explode"):
            writer.write(SAMPLES / "dxf" / "single_arc.dxf", "exploded", tmp_path / "x")
        with pytest.raises(NotApplicable, match="not written within 2 s"):
            writer.write(tmp_path / "endless.dxf", "moved", tmp_path / "x")
        assert writer.write(SAMPLES / "stl" / "round.stl", "turned, moved", tmp_path / "x") == tmp_path / "x.stl"


def test_packages_that_are_not_installed_are_named_with_the_command_that_installs_them(tmp_path: Path) -> None:
    assert KICAD_INSTALL in kicad(tmp_path / "nowhere").skipped[0]


def test_classes_of_packages_have_members_enough_and_no_maker_prevails(tmp_path: Path) -> None:
    for folder, count in (("Relay", 40), ("Valve", 3)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / f"{folder}_{number}.step").write_bytes(b"ISO-10303-21;")
    samples = kicad(tmp_path).samples
    assert [sample.label for sample in samples] == ["Relay"] * 24 + [""] * 3
    assert [sample.path for sample in samples] == [sample.path for sample in kicad(tmp_path).samples]


def test_parts_are_drawn_from_each_collection_in_turn(tmp_path: Path) -> None:
    collections = []
    for folder, count in (("many", 9), ("few", 2)):
        (tmp_path / folder).mkdir()
        paths = [tmp_path / folder / f"{number}.step" for number in range(count)]
        for path in paths:
            path.write_bytes(b"")
        collections.append([Sample(path, "", str(path)) for path in paths])
    drawn = [sample.path.parent.name for sample in redrawn(collections, 6)]
    assert drawn == ["many", "few", "many", "few", "many", "many"]


def test_half_of_all_names_only_report_and_sizes_of_one_part_stand_on_one_side() -> None:
    assert 400 < sum(held(f"class {number}") for number in range(1000)) < 600
    assert len({Sample(Path("x"), "", f"nut_m{size}").held for size in range(30)}) == 1


def test_labels_need_members_and_a_drawing_in_many_releases_is_one_part(tmp_path: Path) -> None:
    rows = ["path,format,source,category,label"]
    for release in ("r12a", "r2000a", "r2013b"):
        rows.append(f"dxf/trimesh/version_set_ae/ae.{release}.dxf,dxf,trimesh,version_set_ae,strong")
    rows += [f"stl/makers/clamp/clamp~{number}.stl,stl,makers,clamp,medium" for number in range(4)]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    samples = real(tmp_path).samples
    assert [sample.label for sample in samples] == [""] * 3 + ["makers/clamp"] * 4
    assert len({sample.part for sample in samples}) == 2
    assert [sample.sure for sample in samples] == [True] * 3 + [False] * 4


def test_one_stem_of_one_source_in_two_formats_is_one_part_whichever_folder_it_stands_in(tmp_path: Path) -> None:
    rows = [
        "path,format,source,category,label",
        "iges/yard/hulls/Ferry.iges,iges,yard,hulls,none",
        "step/yard/misc/ferry.step,step,yard,misc,none",
    ]
    rows += [
        "step/other/misc/ferry.step,step,other,misc,none",
        "step/yard/a/buoy.step,step,yard,a,none",
        "step/yard/b/buoy.step,step,yard,b,none",
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    ferry, *others = (sample.part for sample in real(tmp_path).samples)
    assert others[0] == ferry
    assert len({ferry, *others}) == 4


def test_equal_bodies_are_one_part_however_their_faces_are_cut_and_equal_volumes_are_not() -> None:
    bodies = [(0.0, (6.0, 1.0), 1.0), (0.0, (6.0, 1.0), 2.0), (0.5, (6.0, 1.0), 1.0), (0.0, (), 3.0)]
    found = [Found("3d", "step", (*near(distance)[:22], faces, faces), body) for distance, body, faces in bodies]
    shelf = Shelf.of(Family.SOLID, [Sample(Path(f"{at}.step"), "", f"part {at}") for at in range(4)], found)
    assert np.argwhere(shelf.alike[True]).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 2], [3, 3]]


def test_a_false_alarm_is_a_different_part_called_the_same_and_only_one_half_reports() -> None:
    limit = SAME_PART[Family.SOLID]
    shelf = shelf_of(near(0), near(limit / 2), near(1), near(2), near(2 + limit / 2), parts="abcdd")
    halves = {sample.part: sample.held for sample in shelf.samples}
    moved = variants(shelf, "moved", [0, 2, 3], [Found("3d", "step", tuple(near(at))) for at in (0, 1 + 3 * limit, 2)])
    both = [judged(shelf, [moved], half) for half in (True, False)]
    assert sum(verdict.parts * verdict.wrong for verdict in both) == pytest.approx(2)
    assert {pair for verdict in both for pair in verdict.examples} == {("0.step", "1.step")}
    for half, verdict in zip((True, False), both, strict=True):
        mine = [called for part, called in (("a", True), ("c", False), ("d", True)) if halves[part] is half]
        assert verdict.recall.get("moved", (0, 0.0)) == pytest.approx((len(mine), np.mean(mine) if mine else 0.0))


def test_the_limit_keeps_false_alarms_below_one_in_a_hundred_and_is_no_wider_than_it_need_be() -> None:
    others = np.full(200, 1.0)
    others[:2], others[2:4] = 0.0101, 0.0302
    assert chosen(others, {"moved": np.array([0.0, 0.0203, 0.5])}) == pytest.approx(0.0205)
    assert chosen(others, {"moved": np.array([0.0, 0.0, 0.04])}) == pytest.approx(0.0005)
    assert nearest_other(shelf_of(near(0), near(0.01), near(0.5), parts="aab"))[:2] == pytest.approx([0.5, 0.49])


def test_a_small_run_tells_its_figures_beside_the_aims(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "dxf", tmp_path / "dxf")
    files = [SAMPLES / "stl" / "round.stl", SAMPLES / "stl" / "angle_block.STL", *sorted((tmp_path / "dxf").glob("[au]*.dxf"))]
    samples = [
        Sample(path, path.suffix.lower(), path.name[:2] if path.name.startswith(("ae.", "uc.")) else path.name, path.name.startswith("ae."))
        for path in files
    ]
    quality = measured([Collection("samples", samples, ["samples: the rest"])], tmp_path / "cache", Bounds(parts=2, rounds=1, timing=60))
    verdicts = {aim.what: aim.verdict for aim in aims(quality)}
    assert verdicts["same part, dxf: moved: R@1"] == "met"
    assert verdicts["same part, IGES solid: R@1"] == "not measured"
    assert verdicts["KiCad packages, unseen classes, family out: mAP"] == "not measured"
    assert quality.price is not None
    assert quality.price.files == len(files)
    text = told(quality)
    assert "published: dxf for dxf" in text
    assert "Skipped: samples: the rest" in text
    moved = next(kind for one in quality.studies for kind in one.variants if kind.name == "stl: turned, moved")
    assert moved.recall["gated", True] == 1.0


def test_an_aim_that_is_missed_is_called_so(tmp_path: Path) -> None:
    quality = measured([], tmp_path, Bounds(parts=1, rounds=0, timing=0))
    assert {aim.verdict for aim in aims(quality)} == {"not measured"}
    timed = price([(SAMPLES / "stl" / "round.stl", "stl")], rounds=1, seconds=60)
    assert timed is not None
    assert aims(replace(quality, price=replace(timed, v3=1.0, v4=1.04)))[-1].verdict == "met"
    assert aims(replace(quality, price=replace(timed, v3=1.0, v4=1.06)))[-1].verdict == "MISSED"
