"""Exact search over vectors of real files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from foundation.settings import CadSettings
from ledger.vectors import PartVector
from tasks.vocabulary import FeatureVersion
from tests.stack import SAMPLES
from workers.features.extraction import extract
from workers.features.packing import packed, unpacked
from workers.index.exact import Gallery

FILES = [path for folder in ("dxf", "stl") for path in sorted((SAMPLES / folder).iterdir())]


@pytest.fixture(scope="module")
def shown() -> tuple[list[PartVector], dict[str, bytes]]:
    """Every sample as a part; the name stands for the hash of its content."""
    parts, held = [], {}
    for path in FILES:
        found = extract(path, path.name, FeatureVersion.V4, CadSettings())
        parts.append(PartVector(f"part {path.name}", path.name, path.name, found.family, found.result["format"], 0.0))
        held[path.name] = packed(found.vector)
    return parts, held


def hits(gallery: Gallery, name: str, top_k: int = 100, threshold: float = 0.0) -> list[tuple[str, str, float]]:
    return [(hit["name"], hit["label"], hit["score"]) for hit in gallery.search(f"part {name}", name, top_k, threshold)]


def test_the_same_drawing_of_another_release_comes_first_and_is_called_the_same(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, scale_invariant=False)
    assert hits(gallery, "ae.r2000a.dxf")[0] == ("ae.r2013b.dxf", "same", 1.0)


def test_scores_fall_lie_between_zero_and_one_and_leave_out_the_query_itself(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, scale_invariant=False)
    for path in FILES:
        found = hits(gallery, path.name)
        scores = [score for _, _, score in found]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert path.name not in [name for name, _, _ in found]


def test_drawings_and_solids_are_never_compared(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, scale_invariant=False)
    assert {Path(name).suffix.lower() for name, _, _ in hits(gallery, "wrench.dxf")} == {".dxf"}
    assert {Path(name).suffix.lower() for name, _, _ in hits(gallery, "round.stl")} == {".stl"}


def test_likeness_is_mutual(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, scale_invariant=False)
    there = {name: score for name, _, score in hits(gallery, "angle_block.STL")}
    back = {name: score for name, _, score in hits(gallery, "plate_holes.STL")}
    assert there["plate_holes.STL"] == back["angle_block.STL"]


def test_size_counts_only_where_it_is_asked_for(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    parts, held = shown
    larger = unpacked(held["round.stl"]).copy()
    larger[0] += 3.2  # ln 25: the same shape taken for inches
    copy = PartVector("part large", "large", "large", "3d", "stl", 0.0)
    with_size = Gallery([*parts, copy], held | {"large": packed(larger.tolist())}, scale_invariant=False)
    without = Gallery([*parts, copy], held | {"large": packed(larger.tolist())}, scale_invariant=True)
    assert {name: label for name, label, _ in hits(with_size, "round.stl")}["large"] == "near"
    assert hits(without, "round.stl")[0] == ("large", "scaled", 1.0)


@pytest.mark.parametrize(("factor", "label", "suspected"), [(25.4, "scaled", True), (1 / 25.4, "scaled", True), (2.0, "scaled", False)])
def test_without_size_a_hit_tells_how_large_it_is_and_whether_units_are_mistaken(
    shown: tuple[list[PartVector], dict[str, bytes]], factor: float, label: str, suspected: bool
) -> None:
    parts, held = shown
    other = unpacked(held["round.stl"]).copy()
    other[0] += math.log(factor)
    gallery = Gallery([*parts, PartVector("part", "other", "other", "3d", "stl", 0.0)], held | {"other": packed(other.tolist())}, True)
    hit = gallery.search("part round.stl", "round.stl", 1, 0.0)[0]
    assert (hit["name"], hit["label"], hit["units_suspected"]) == ("other", label, suspected)
    assert hit["size_ratio"] == pytest.approx(factor, rel=1e-3)


def test_top_k_threshold_and_format_bound_the_answer(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, scale_invariant=False)
    assert len(hits(gallery, "round.stl", top_k=2)) == 2
    assert all(score >= 0.5 for _, _, score in hits(gallery, "round.stl", threshold=0.5))
    assert gallery.search("part round.stl", "round.stl", 10, 0.0, "dxf") == []
    assert gallery.search("part nobody", "nobody", 10, 0.0) == []


def test_an_equal_file_under_another_name_is_exact(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    parts, held = shown
    twin = PartVector("part twin", "twin", "round.stl", "3d", "stl", 0.0)
    assert hits(Gallery([*parts, twin], held, scale_invariant=False), "round.stl")[0] == ("twin", "exact", 1.0)


def test_shorter_versions_can_be_searched_too(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    parts, held = shown
    short = {name: packed(unpacked(vector)[:8].tolist()) for name, vector in held.items()}
    assert hits(Gallery(parts, short, scale_invariant=False), "ae.r2000a.dxf")[0][:2] == ("ae.r2013b.dxf", "same")
