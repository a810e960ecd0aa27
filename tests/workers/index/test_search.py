"""Similar parts among vectors of real files, by every engine: what is found, what is told of it, and what it costs nobody."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.settings import Settings
from ledger import parts
from ledger.migrate import migrate
from ledger.session import Ledger
from tasks.similarity import Sought
from tasks.vocabulary import Family, FeatureVersion
from tests.workers.index.conftest import Sample, Shop
from workers.features.packing import packed, unpacked
from workers.features.scaling import scaled
from workers.index import search
from workers.index.parallel import Parallel
from workers.index.sameness import nearness
from workers.index.search import Asked


@pytest.fixture
def shop(new_shop: Callable[..., Shop], samples: list[Sample]) -> Shop:
    shop = new_shop()
    shop.add(samples)
    return shop


def told(hits: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    return [(hit["name"], hit["label"], hit["score"]) for hit in hits]


def by_hand(shop: Shop, samples: list[Sample], name: str, sized: bool) -> list[tuple[str, float]]:
    """All others of the family with their scores, every pair measured."""
    family = next(one.family for one in samples if one.name == name)
    kin = [one for one in samples if one.family == family]
    matrix = scaled(np.stack([unpacked(shop.vectors[one.name]) for one in kin]), Family(family))
    if not sized:
        matrix[:, 0] = 0.0
    gated = nearness(matrix, matrix[[one.name for one in kin].index(name)], Family(family)).gated
    rows = sorted((-1 / (1 + far), shop.ids[one.name], one.name) for far, one in zip(gated, kin, strict=True) if one.name != name)
    return [(name, round(-score, 6)) for score, _, name in rows]


@pytest.mark.parametrize("scale_invariant", [False, True])
@pytest.mark.parametrize(
    "settings", [{"engine": "exact"}, {"engine": "approximate"}, {"engine": "approximate", "flat_max": 5}, {"engine": "pgvector"}], ids=str
)
def test_every_engine_gives_the_hits_of_comparing_all_with_all(
    new_shop: Callable[..., Shop], samples: list[Sample], settings: dict[str, Any], scale_invariant: bool, request: pytest.FixtureRequest
) -> None:
    on = None
    if settings["engine"] == "pgvector":
        on = Ledger(request.getfixturevalue("postgresql_database")(), Settings().database)
        migrate(on)
    shop = new_shop(on=on, **settings)
    shop.add(samples)
    names = [one.name for one in samples]
    for name, hits in zip(names, shop.hits(*names, scale_invariant=scale_invariant), strict=True):
        assert [(hit["name"], hit["score"]) for hit in hits] == by_hand(shop, samples, name, not scale_invariant)
    if on is not None:
        on.close()


def test_few_candidates_give_the_same_first_ten_as_all(new_shop: Callable[..., Shop], samples: list[Sample]) -> None:
    """Each sample with fifty relatives, so that the gallery is much larger than what the indexes propose."""
    dice = np.random.default_rng(1)
    many = []
    for one in samples:
        for turn in range(50):
            vector = unpacked(one.vector) + (dice.normal(size=24) * 10.0 ** dice.uniform(-6, -0.5)).astype(np.float32)
            many.append(Sample(f"{turn} {one.name}", one.family, one.format, packed(vector.tolist())))
    shop = new_shop(flat_max=200)
    shop.add([*samples, *many])
    for sized in (True, False):
        found = shop.hits(*(one.name for one in samples), top_k=10, scale_invariant=not sized)
        right = [by_hand(shop, [*samples, *many], one.name, sized)[:10] for one in samples]
        assert [[(hit["name"], hit["score"]) for hit in hits] for hits in found] == right


def test_the_same_drawing_of_another_release_comes_first_and_is_called_the_same(shop: Shop) -> None:
    assert told(shop.hits("ae.r2000a.dxf")[0])[0] == ("ae.r2013b.dxf", "same", 1.0)


def test_scores_fall_lie_between_zero_and_one_and_leave_out_the_query_itself(shop: Shop, samples: list[Sample]) -> None:
    names = [one.name for one in samples]
    for name, hits in zip(names, shop.hits(*names), strict=True):
        scores = [hit["score"] for hit in hits]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert name not in [hit["name"] for hit in hits]


def test_drawings_and_solids_are_never_compared_also_in_one_batch(shop: Shop) -> None:
    drawings, meshes = shop.hits("wrench.dxf", "round.stl")
    assert {Path(hit["name"]).suffix.lower() for hit in drawings} == {".dxf"}
    assert {Path(hit["name"]).suffix.lower() for hit in meshes} == {".stl"}


def test_size_counts_only_where_it_is_asked_for(shop: Shop, samples: list[Sample]) -> None:
    larger = unpacked(shop.vectors["round.stl"]).copy()
    larger[0] += 3.2  # ln 25: the same shape taken for inches
    shop.add([Sample("large", "3d", "stl", packed(larger.tolist()))])
    assert {name: label for name, label, _ in told(shop.hits("round.stl")[0])}["large"] == "near"
    assert told(shop.hits("round.stl", scale_invariant=True)[0])[0] == ("large", "scaled", 1.0)


@pytest.mark.parametrize(("factor", "label", "suspected"), [(25.4, "scaled", True), (1 / 25.4, "scaled", True), (2.0, "scaled", False)])
def test_without_size_a_hit_tells_how_large_it_is_and_whether_units_are_mistaken(
    shop: Shop, factor: float, label: str, suspected: bool
) -> None:
    other = unpacked(shop.vectors["round.stl"]).copy()
    other[0] += math.log(factor)
    shop.add([Sample("other", "3d", "stl", packed(other.tolist()))])
    hit = shop.hits("round.stl", top_k=1, scale_invariant=True)[0][0]
    assert (hit["name"], hit["label"], hit["units_suspected"]) == ("other", label, suspected)
    assert hit["size_ratio"] == pytest.approx(factor, rel=1e-3)


def test_top_k_threshold_and_format_bound_the_answer(shop: Shop) -> None:
    assert len(shop.hits("round.stl", top_k=2)[0]) == 2
    assert all(hit["score"] >= 0.5 for hit in shop.hits("round.stl", threshold=0.5)[0])
    assert shop.hits("round.stl", filters={"format": "dxf"}) == [[]]


def test_an_equal_file_under_another_name_is_exact_and_an_equally_near_one_comes_by_its_age(shop: Shop, samples: list[Sample]) -> None:
    same = next(one for one in samples if one.name == "round.stl")
    shop.add([same], named="first twin")
    shop.add([same], named="second twin")
    assert told(shop.hits("round.stl", top_k=2)[0]) == [("first twin", "exact", 1.0), ("second twin", "exact", 1.0)]


def test_shorter_versions_can_be_searched_too(new_shop: Callable[..., Shop], samples: list[Sample]) -> None:
    shop = new_shop(version=FeatureVersion.V1)
    shop.add(samples, width=8)
    assert told(shop.hits("ae.r2000a.dxf")[0])[0][:2] == ("ae.r2013b.dxf", "same")


def test_filters_leave_what_they_ask_for_whether_it_is_rare_or_common(
    shop: Shop, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    meshes = [one for one in samples if one.format == "stl"]
    shop.add(meshes[:3], {"bin": "A"}, "{} in A")
    shop.add(meshes[3:], {"bin": "B"}, "{} in B")
    rare = shop.hits(meshes[0].name, filters={"labels": {"bin": "A"}})[0]
    assert {hit["name"] for hit in rare} == {f"{one.name} in A" for one in meshes[:3]}
    assert shop.hits(meshes[0].name, filters={"labels": {"bin": "A"}, "format": "dxf"}) == [[]]
    monkeypatch.setattr(search, "_SELECTIVE", 0)  # as if the filter left more files than one would measure
    monkeypatch.setattr(search, "DEPTH", 1)
    assert shop.hits(meshes[0].name, filters={"labels": {"bin": "A"}})[0] == rare
    assert shop.hits(meshes[0].name, top_k=2, filters={"labels": {"bin": "A"}})[0] == rare[:2]


def test_deleted_parts_and_those_of_other_tenants_are_never_hits(new_shop: Callable[..., Shop], samples: list[Sample]) -> None:
    shop, other = new_shop(), new_shop("other")
    shop.add(samples)
    other.add(samples, named="of another {}")
    assert shop.hits("ae.r2000a.dxf")[0][0]["name"] == "ae.r2013b.dxf"
    with shop.ledger.write() as tx:
        parts.delete(tx, shop.tenant_id, shop.ids["ae.r2013b.dxf"])
    names = {hit["name"] for hit in shop.hits("ae.r2000a.dxf")[0]}
    assert "ae.r2013b.dxf" not in names
    assert not any("another" in name for name in names)


def test_a_batch_in_parallel_has_the_very_answers_of_the_serial_run(new_shop: Callable[..., Shop], samples: list[Sample]) -> None:
    shop = new_shop()
    shop.add(samples)
    batch = [shop.query(one.name) for one in samples] * 8
    parallel, asked = Parallel(50, 2, processors=lambda: 2), Asked(5, 0.0, False)
    with shop.galleries.held(shop.shelf) as held:
        assert shop.similar(held, batch, asked, parallel) == [shop.similar(held, [query], asked)[0] for query in batch]


def test_what_is_merely_near_stays_away_where_only_the_same_part_is_wanted(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sure = frozenset({Sought.EXACT, Sought.SAME})
    monkeypatch.setattr(search, "DEPTH", 1)  # so that one would go deeper for want of hits, did the distance not say that there are none
    drawing, mesh = shop.hits("ae.r2000a.dxf", "round.stl", top_k=5, matches=sure)
    assert [hit["name"] for hit in drawing] == ["ae.r2013b.dxf"]
    assert mesh == []


def test_matches_leave_out_what_they_do_not_name_also_where_near_ones_are_wanted(shop: Shop) -> None:
    labels = {hit["label"] for hit in shop.hits("ae.r2000a.dxf", matches=frozenset({Sought.NEAR}))[0]}
    assert labels == {"near"}


def test_the_query_is_a_hit_of_itself_only_when_asked_for_and_copies_of_it_always(shop: Shop, samples: list[Sample]) -> None:
    shop.add([next(one for one in samples if one.name == "round.stl")], named="twin")
    exact = [hit["name"] for hit in shop.hits("round.stl")[0] if hit["label"] == "exact"]
    assert exact == ["twin"]
    itself = [hit["name"] for hit in shop.hits("round.stl", include_self=True)[0] if hit["label"] == "exact"]
    assert itself == ["round.stl", "twin"]


def test_where_contents_count_no_copy_takes_a_place(shop: Shop, samples: list[Sample]) -> None:
    copied = [one for one in samples if one.name in ("unit_sphere.STL", "ae.r2013b.dxf", "ae.r2000a.dxf")]
    for n in range(20):
        shop.add(copied, named=f"copy {n} of {{}}")
    found = shop.hits("ae.r2000a.dxf", top_k=3, distinct=True)[0]
    assert told(found)[0] == ("ae.r2013b.dxf", "same", 1.0)
    assert len(found) == 3
    assert not any(hit["name"].startswith("copy") for hit in found)
