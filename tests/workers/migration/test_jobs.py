"""Migrations as jobs, done by the real worker on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from foundation import metrics, telemetry
from foundation.errors import Failure
from ledger import epochs, heat, queues, vectors
from tasks import migration_preview
from tasks.migration_preview import PreviewRequest
from tasks.vocabulary import FLAT_SLOTS, FeatureVersion
from tests.workers.migration.conftest import Mill
from workers.features.extraction import ENGINE_BUILD
from workers.features.packing import unpacked

ON_ONE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # what does not depend on the database
SOLID, FLAT = "stl/angle_block.STL", "dxf/wrench.dxf"


def seen(way: str) -> float:
    return REGISTRY.get_sample_value("vector_migrate_dimension_delta_count", {"way": way}) or 0.0


def bucket(way: str, up_to: str) -> float:
    return REGISTRY.get_sample_value("vector_migrate_dimension_delta_bucket", {"way": way, "le": up_to}) or 0.0


@ON_ONE
def test_an_item_tells_its_way_both_dimensions_and_where_the_vector_comes_from(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telemetry, "_sinks", [metrics.count])
    parts = mill.upload(SOLID, FLAT)
    mill.extract(parts, "v2")
    before = seen("prefix"), seen("extraction"), bucket("extraction", "6.0"), bucket("extraction", "8.0")

    def told(answers: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
        names = ("way", "dimension_before", "dimension_after", "delta", "provenance", "stored")
        return {tuple(answer[name] for name in names) for answer in answers}

    assert told(mill.migrated(parts, "v2", "v1")) == {("prefix", 16, 8, -8, "cut", True)}
    assert told(mill.migrated(parts, "v2", "v4", dry_run=True)) == {("extraction", 16, 24, 8, "extracted", False)}
    assert told(mill.migrated(parts, "v2", "v4")) == {("extraction", 16, 24, 8, "extracted", True)}
    assert told(mill.migrated(parts, "v2", "v4")) == {("present", 16, 24, 8, "extracted", False)}
    assert told(mill.migrated(parts, "v3", "v1")) == {("present", None, 8, None, "cut", False)}
    assert told(mill.migrated(parts, "v3", "v3")) == {("prefix", None, 22, None, "cut", True)}
    after = seen("prefix"), seen("extraction"), bucket("extraction", "6.0"), bucket("extraction", "8.0")
    assert [now - was for now, was in zip(after, before, strict=True)] == [2, 2, 0, 2], "stored and from something: nothing else counts"
    assert [mill.vector(part, "v1").provenance for part in parts] == ["cut", "cut"]


@ON_ONE
def test_two_parts_of_one_file_are_migrated_once(mill: Mill) -> None:
    parts = mill.upload(FLAT, FLAT)
    mill.extract(parts, "v1")
    assert [answer["way"] for answer in mill.migrated(parts, "v1", "v3")] == ["extraction", "present"]


def test_a_part_whose_file_is_gone_is_projected_on_request_and_stays_out_of_everything_native(mill: Mill) -> None:
    lost, kept = mill.upload("dxf/wrench.dxf", "dxf/LM2.dxf")
    mill.extract([lost, kept], "v1")
    mill.lose(lost)
    refused, _ = mill.migrated([lost, kept], "v1", "v3")
    assert refused["code"] == "FILE_MISSING"
    assert "allow_projection" in refused["context"]["projection"]
    answer, _ = mill.migrated([lost, kept], "v1", "v3", allow_projection=True)
    assert (answer["way"], answer["provenance"], answer["delta"], answer["stored"]) == ("projection", "projected", 14, True)
    assert answer["imputed_slots"] == list(FLAT_SLOTS[8:22])
    row, first = mill.vector(lost, "v3"), mill.vector(lost, "v1")
    assert row.provenance == "projected"
    assert row.vector[: len(first.vector)] == first.vector
    assert unpacked(row.vector).tolist() == row.result["vector"]

    here = (mill.tenant_id, [row.sha256], "v3", ENGINE_BUILD)
    with mill.ledger.read() as tx:
        assert vectors.results(tx, *here) == {}
        assert vectors.load(tx, *here) == {}
        told = [change for some in epochs.since(tx, epochs.Shelf(mill.tenant_id, "v3", ENGINE_BUILD), 0) for change in some]
        assert {change.sha256 for change in told if change.vector is not None} == {mill.sha256(kept)}
        assert {one.sha256 for one in heat.hottest(tx, mill.tenant_id, ENGINE_BUILD, ["v3"], 10)} == {mill.sha256(kept)}
    (item,) = mill.done("similarity", {"queries": [lost], "feature_version": "v3", "extract": False})
    assert item["error"]["code"] == "DATA_NOT_FOUND"
    (found,) = mill.done("similarity", {"queries": [kept], "feature_version": "v3"})
    assert found["result"]["hits"] == []
    (item,) = mill.done("extraction", {"parts": [lost], "feature_version": "v3"})
    assert item["error"]["code"] == "FILE_MISSING", "a projected vector was given out as an extraction"
    assert mill.migrated([lost], "v1", "v3", allow_projection=True)[0]["way"] == "present"
    assert mill.migrated([lost], "v3", "v1")[0]["way"] == "present"


@ON_ONE
@pytest.mark.parametrize("kind", ["extraction", "migration"])
def test_a_later_extraction_replaces_a_projected_vector_and_never_the_other_way_round(mill: Mill, kind: str) -> None:
    (part,) = mill.upload(FLAT)
    mill.extract([part], "v1")
    mill.lose(part)
    mill.migrated([part], "v1", "v4", allow_projection=True)
    projected = mill.vector(part, "v4")
    mill.upload(FLAT)  # the same bytes, under another name
    if kind == "extraction":
        mill.extract([part], "v4")
    else:
        assert mill.migrated([part], "v1", "v4")[0]["way"] == "extraction"
    row = mill.vector(part, "v4")
    assert (row.provenance, "imputed_slots" in row.result, row.vector == projected.vector) == ("extracted", False, False)
    with mill.ledger.write() as tx:  # a worker that had planned it before
        late = vectors.Vector(row.sha256, "v4", ENGINE_BUILD, "2d", projected.vector, projected.result, vectors.PROJECTED)
        vectors.put(tx, mill.tenant_id, [late])
    assert mill.vector(part, "v4") == row


@ON_ONE
def test_a_part_says_where_each_of_its_vectors_comes_from(mill: Mill) -> None:
    from ledger import parts

    (part,) = mill.upload(FLAT)
    mill.extract([part], "v2")
    mill.migrated([part], "v2", "v1")
    mill.lose(part)
    mill.migrated([part], "v2", "v4", allow_projection=True)
    with mill.ledger.read() as tx:
        told = {each["feature_version"]: each for each in parts.get(tx, mill.tenant_id, part)["vectors"]}
    assert {version: each["provenance"] for version, each in told.items()} == {"v1": "cut", "v2": "extracted", "v4": "projected"}
    assert told["v4"]["result"]["imputed_slots"] == list(FLAT_SLOTS[FeatureVersion.V2.width :])


def test_a_dry_run_counts_by_way_and_estimates_from_measured_seconds(mill: Mill) -> None:
    cut, read, unknown, lost = mill.upload("dxf/wrench.dxf", "dxf/LM2.dxf", "dxf/splines.dxf", "dxf/single_arc.dxf")
    mill.extract([cut], "v4")
    mill.extract([read, lost], "v1")
    mill.lose(lost)
    parts = [cut, read, unknown, lost]
    with mill.ledger.write() as tx:
        queues.beat(tx, "worker", ["migration"], 4)
    before = mill.vectors()
    job_id = mill.submit("migration", {"from": "v1", "to": "v3", "selector": {"parts": parts}, "dry_run": True, "allow_projection": True})
    mill.work(job_id)
    seconds = [mill.vector(part, version).result["seconds"] for part, version in ((cut, "v4"), (read, "v1"), (lost, "v1"))]
    # nothing is stored of the third file, so the median of all drawings stands for it
    work = seconds[1] + sorted(seconds)[1]
    summary = mill.job(job_id)["summary"]
    assert {way: summary.get(way, 0) for way in ("present", "prefix", "extraction", "projection")} == {
        "present": 0, "prefix": 1, "extraction": 2, "projection": 1,
    }  # fmt: skip
    assert summary["work_seconds"] == pytest.approx(work, abs=1e-5)
    assert (summary["workers"], summary["estimate_seconds"]) == (4, round(work / 4, 1))
    assert "unmeasured" not in summary
    assert mill.vectors() == before


@ON_ONE
def test_a_dry_run_says_how_many_it_cannot_estimate(mill: Mill) -> None:
    (part,) = mill.upload(SOLID)
    job_id = mill.submit("migration", {"from": "v1", "to": "v3", "selector": {"parts": [part, "part_of_nobody"]}, "dry_run": True})
    mill.work(job_id)
    job = mill.job(job_id)
    assert job["summary"] == {"extraction": 1, "unmeasured": 1}
    assert (job["state"], job["counts"]["failed"]) == ("partial", 1), "what fails counts as failed and nowhere else"


def test_the_preview_of_a_way_down_needs_no_job_and_that_of_a_way_up_takes_the_sample_of_a_dry_run(mill: Mill) -> None:
    parts = mill.upload("dxf/wrench.dxf", "dxf/LM2.dxf", SOLID, labels={"project": "apollo"}) + mill.upload("stl/plate_holes.STL")
    mill.extract(parts, "v3")

    def previewed(**asked: Any) -> dict[str, Any]:
        return migration_preview.preview(mill.ledger, mill.tenant_id, PreviewRequest.model_validate(asked))

    down = previewed(**{"from": "v3", "to": "v1"})
    assert (down["samples"], down["dimensions"], down["shared_slots_changed"]) == (4, 44, 0)
    assert all(slot["delta"] == 0 for at, slot in enumerate(down["slots"]) if at % 22 < 8)
    assert previewed(**{"from": "v3", "to": "v1", "selector": {"labels": {"project": "apollo"}}})["samples"] == 3
    assert previewed(**{"from": "v3", "to": "v1", "selector": {"labels": {"project": "apollo"}, "format": "stl"}})["samples"] == 1
    assert previewed(**{"from": "v3", "to": "v1", "selector": {"parts": parts[:2]}})["samples"] == 2
    assert previewed(**{"from": "v3", "to": "v4"})["samples"] == 0

    job_id = mill.submit("migration", {"from": "v3", "to": "v4", "selector": {"parts": parts}, "dry_run": True, "sample": 3})
    mill.work(job_id)
    assert {key[1] for key in mill.vectors()} == {"v3"}, "a dry run has stored something"
    up = previewed(job=job_id)
    assert (up["from"], up["to"], up["samples"], up["shared_slots_changed"]) == ("v3", "v4", 3, 0)
    assert {slot["slot"] for slot in up["slots"] if slot["delta"] != 0} <= {"surface_count", "shape_entropy"}
    assert any(slot["delta"] != 0 for slot in up["slots"])
    mill.migrated(parts, "v3", "v4")
    stored = previewed(**{"from": "v3", "to": "v4"})
    assert (stored["samples"], stored["shared_slots_changed"]) == (4, 0)
    for wrong, code in (({}, "REQUEST_INVALID"), ({"job": "job_of_nobody"}, "JOB_NOT_FOUND")):
        with pytest.raises(Failure) as caught:
            previewed(**wrong)
        assert caught.value.code == code


@ON_ONE
def test_a_sample_is_refused_where_it_would_be_ignored(mill: Mill) -> None:
    with pytest.raises(Failure) as caught:
        mill.submit("migration", {"from": "v3", "to": "v4", "sample": 5})
    assert caught.value.code == "REQUEST_INVALID"
