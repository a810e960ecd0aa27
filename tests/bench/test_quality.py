"""The harness of retrieval quality: its measures on rankings worked out by hand, and a small run on the samples."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.quality.exports import FLAT_VARIANTS, SOLID_VARIANTS, NotApplicable, write_variant
from bench.quality.extracted import extracted
from bench.quality.samples import Collection, Sample, kicad, real
from bench.quality import Quality, study
from bench.quality.ranking import leave_one_out, measure, recall_at_one
from bench.quality.telling import told
from bench.quality.verdict import alarms, judged, widest
from tests.stack import SAMPLES


def test_a_ranking_without_ties_is_measured_as_in_the_books() -> None:
    found = measure(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, True, False]))
    assert found.nearest == 1
    assert found.first_tier == 0.5
    assert found.second_tier == 1
    assert found.precision == pytest.approx((1 + 2 / 3) / 2)
    assert found.ndcg == pytest.approx((1 + 1 / 2) / (1 + 1 / np.log2(3)))


def test_equal_distances_share() -> None:
    found = measure(np.array([1.0, 1.0, 1.0 + 1e-9]), np.array([False, True, False]))
    assert found.nearest == pytest.approx(1 / 3)
    assert found.first_tier == pytest.approx(1 / 3)
    assert found.second_tier == pytest.approx(2 / 3)
    assert found.precision == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert found.ndcg == pytest.approx((1 + 1 / np.log2(3) + 1 / 2) / 3)


def test_ties_count_as_the_mean_over_all_their_orders() -> None:
    distances, relevant = np.array([1.0, 2.0, 2.0, 2.0, 5.0]), np.array([True, True, False, True, True])
    orders = [np.array([1.0, *np.array(order) + 2.0, 9.0]) for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))]
    apart = [measure(order, relevant) for order in orders]
    tied = measure(distances, relevant)
    for name in ("nearest", "first_tier", "second_tier", "precision", "ndcg"):
        assert getattr(tied, name) == pytest.approx(np.mean([getattr(one, name) for one in apart])), name


def test_nobody_finds_itself_and_who_has_nothing_to_find_is_not_asked() -> None:
    distances = np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 3.0], [2.0, 3.0, 0.0]])
    relevant = np.array([[True, True, False], [True, True, False], [False, False, True]])
    hidden = np.zeros((3, 3), dtype=bool)
    assert leave_one_out(distances, relevant, hidden).queries == 2
    assert leave_one_out(distances, relevant, hidden).mean.nearest == 1
    hidden[0, 1] = True
    assert leave_one_out(distances, relevant, hidden).queries == 1


def test_recall_at_one_shares_the_first_place() -> None:
    distances = np.array([[0.0, 0.0, 1.0], [2.0, 1.0, 3.0]])
    assert recall_at_one(distances, np.array([[True, False, False], [False, True, False]])) == 0.75


def test_the_widest_limit_keeps_the_false_alarms_below_one_in_a_hundred() -> None:
    near = np.full((200, 200), 1.0)
    near[0, 1] = near[1, 0] = 0.0101
    near[2, 3] = near[3, 2] = 0.0302
    nearest = alarms(near, np.eye(200, dtype=bool))
    limit = widest(nearest)
    assert limit == pytest.approx(0.03)
    verdict = judged(nearest, {"moved": np.array([0.0, 0.02, 0.5, 0.5])}, limit)
    assert verdict.wrong == 0.01
    assert verdict.recall == {"moved": 0.5}


def test_every_variant_can_be_written_and_read_again(tmp_path: Path) -> None:
    meshes = [(SAMPLES / "stl" / "round.stl", variant) for variant in SOLID_VARIANTS]
    drawings = [(SAMPLES / "dxf" / "insert_r14.dxf", variant) for variant in FLAT_VARIANTS]
    found = extracted(meshes + drawings, tmp_path)
    assert [one.missing for one in found] == [""] * len(found)
    sizes = {variant: one.vector[0] for (_, variant), one in zip(meshes, found, strict=False)}
    assert sizes["x 25.4"] - sizes["turned, moved"] == pytest.approx(np.log(25.4), abs=1e-4)
    again = extracted(meshes, tmp_path)
    assert again == found[: len(meshes)]


def test_a_variant_that_cannot_be_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="nothing to explode"):
        write_variant(SAMPLES / "dxf" / "single_arc.dxf", "exploded", tmp_path / "x")


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    assert "kicad-packages3d" in kicad(tmp_path / "nowhere").skipped[0]


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


def test_a_small_run_tells_its_figures(tmp_path: Path) -> None:
    shutil.copytree(SAMPLES / "stl", tmp_path / "stl")
    shutil.copytree(SAMPLES / "dxf", tmp_path / "dxf")
    files = [*sorted((tmp_path / "stl").iterdir())[:5], *sorted((tmp_path / "dxf").glob("[au]*.dxf"))]
    samples = [
        Sample(path, path.suffix.lower(), path.name[:2] if path.name.startswith(("ae.", "uc.")) else path.name, path.name.startswith("ae."))
        for path in files
    ]
    quality = Quality(skipped=["the rest"])
    study(Collection("samples", samples, []), tmp_path / "cache", quality, with_variants=True)
    text = told(quality)
    assert "## samples: drawings" in text
    assert "published: dxf for dxf" in text
    assert "- the rest" in text
    moved = next(kind for one in quality.studies for kind in one.variants if kind.name == "stl: turned, moved")
    assert moved.recall["gated", True] == 1.0
