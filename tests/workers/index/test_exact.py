"""Exact search over vectors of real files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from foundation.settings import CadSettings
from ledger.vectors import PartVector
from tasks.similarity import Sought
from tasks.vocabulary import FeatureVersion
from tests.stack import SAMPLES
from workers.features.extraction import extract
from workers.features.packing import packed, unpacked
from workers.index.exact import Gallery
from workers.index.wanted import Wanted

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


ALL, SIZELESS = Wanted(100), Wanted(100, scale_invariant=True)


def hits(gallery: Gallery, name: str) -> list[tuple[str, str, float]]:
    return [(hit["name"], hit["label"], hit["score"]) for hit in gallery.search(f"part {name}", name)]


def test_the_same_drawing_of_another_release_comes_first_and_is_called_the_same(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, ALL)
    assert hits(gallery, "ae.r2000a.dxf")[0] == ("ae.r2013b.dxf", "same", 1.0)


def test_scores_fall_lie_between_zero_and_one_and_leave_out_the_query_itself(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, ALL)
    for path in FILES:
        found = hits(gallery, path.name)
        scores = [score for _, _, score in found]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert path.name not in [name for name, _, _ in found]


def test_drawings_and_solids_are_never_compared(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, ALL)
    assert {Path(name).suffix.lower() for name, _, _ in hits(gallery, "wrench.dxf")} == {".dxf"}
    assert {Path(name).suffix.lower() for name, _, _ in hits(gallery, "round.stl")} == {".stl"}


def test_likeness_is_mutual(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, ALL)
    there = {name: score for name, _, score in hits(gallery, "angle_block.STL")}
    back = {name: score for name, _, score in hits(gallery, "plate_holes.STL")}
    assert there["plate_holes.STL"] == back["angle_block.STL"]


def test_size_counts_only_where_it_is_asked_for(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    parts, held = shown
    larger = unpacked(held["round.stl"]).copy()
    larger[0] += 3.2  # ln 25: the same shape taken for inches
    copy = PartVector("part large", "large", "large", "3d", "stl", 0.0)
    with_size = Gallery([*parts, copy], held | {"large": packed(larger.tolist())}, ALL)
    without = Gallery([*parts, copy], held | {"large": packed(larger.tolist())}, SIZELESS)
    assert {name: label for name, label, _ in hits(with_size, "round.stl")}["large"] == "near"
    assert hits(without, "round.stl")[0] == ("large", "scaled", 1.0)


@pytest.mark.parametrize(("factor", "label", "suspected"), [(25.4, "scaled", True), (1 / 25.4, "scaled", True), (2.0, "scaled", False)])
def test_without_size_a_hit_tells_how_large_it_is_and_whether_units_are_mistaken(
    shown: tuple[list[PartVector], dict[str, bytes]], factor: float, label: str, suspected: bool
) -> None:
    parts, held = shown
    other = unpacked(held["round.stl"]).copy()
    other[0] += math.log(factor)
    gallery = Gallery([*parts, PartVector("part", "other", "other", "3d", "stl", 0.0)], held | {"other": packed(other.tolist())}, SIZELESS)
    hit = gallery.search("part round.stl", "round.stl")[0]
    assert (hit["name"], hit["label"], hit["units_suspected"]) == ("other", label, suspected)
    assert hit["size_ratio"] == pytest.approx(factor, rel=1e-3)


def test_top_k_threshold_and_filters_bound_the_answer(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    assert len(hits(Gallery(*shown, Wanted(2)), "round.stl")) == 2
    assert all(score >= 0.5 for _, _, score in hits(Gallery(*shown, Wanted(100, 0.5)), "round.stl"))
    assert hits(Gallery(*shown, Wanted(100, parts=())), "round.stl") == []
    assert [name for name, _, _ in hits(Gallery(*shown, Wanted(1, parts={"part unit_sphere.STL"})), "round.stl")] == ["unit_sphere.STL"]
    assert Gallery(*shown, ALL).search("part nobody", "nobody") == []


def test_what_is_merely_near_stays_away_where_only_the_same_part_is_wanted(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    gallery = Gallery(*shown, Wanted(100, matches=frozenset({Sought.EXACT, Sought.SAME})))
    assert [name for name, _, _ in hits(gallery, "ae.r2000a.dxf")] == ["ae.r2013b.dxf"]
    assert hits(gallery, "round.stl") == []


def test_the_query_is_a_hit_of_itself_only_when_asked_for_and_copies_of_it_always(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    parts, held = shown
    more = [*parts, PartVector("part twin", "twin", "round.stl", "3d", "stl", 0.0)]
    assert [name for name, label, _ in hits(Gallery(more, held, ALL), "round.stl") if label == "exact"] == ["twin"]
    itself = hits(Gallery(more, held, Wanted(100, include_self=True)), "round.stl")
    assert sorted(name for name, label, _ in itself if label == "exact") == ["round.stl", "twin"]


def test_where_contents_count_no_copy_takes_a_place(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    parts, held = shown
    names = ("unit_sphere.STL", "ae.r2013b.dxf", "ae.r2000a.dxf")
    copies = [PartVector(f"copy {n} of {part.name}", "copy", *_file(part)) for n in range(20) for part in parts if part.name in names]
    found = hits(Gallery([*parts, *copies], held, Wanted(3, distinct=True)), "ae.r2000a.dxf")
    assert found[0] == ("ae.r2013b.dxf", "same", 1.0)
    assert "copy" not in [name for name, _, _ in found]


def _file(part: PartVector) -> tuple[str, str, str, float]:
    return part.sha256, part.family, part.format, part.written


def test_an_equal_file_under_another_name_is_exact(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    parts, held = shown
    twin = PartVector("part twin", "twin", "round.stl", "3d", "stl", 0.0)
    assert hits(Gallery([*parts, twin], held, ALL), "round.stl")[0] == ("twin", "exact", 1.0)


def test_shorter_versions_can_be_searched_too(shown: tuple[list[PartVector], dict[str, bytes]]) -> None:
    parts, held = shown
    short = {name: packed(unpacked(vector)[:8].tolist()) for name, vector in held.items()}
    assert hits(Gallery(parts, short, ALL), "ae.r2000a.dxf")[0][:2] == ("ae.r2013b.dxf", "same")
