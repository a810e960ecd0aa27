"""Jobs paused, resumed and rolled back over real HTTP and by the command line, with a real worker that is killed meanwhile."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.waiting import ONE_ITEM_A_CHUNK
from tests.api.test_parts import assert_problem
from tests.api.test_queues import cadmill
from tests.stack import PATIENCE, SAMPLES, Stack, running, wait_until


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    """A stack of its own, whose chunks have one item."""
    folder: Path = tmp_path_factory.mktemp("pausing")
    with running(folder, redis_url.removesuffix("/0") + "/6", "", "api", "compute", **ONE_ITEM_A_CHUNK) as stack:
        yield stack


def test_a_paused_job_stops_survives_a_dead_worker_and_goes_on_to_its_end(line: Stack) -> None:
    job_id = line.submit("probe", {"items": 40, "ms": 100})["id"]
    line.wait_for_progress(job_id, 1)
    assert line.http.post(f"/api/v1/jobs/{job_id}/pause").status_code == 200
    wait_until(lambda: line.job(job_id)["waiting"]["chunks"]["running"] == 0)
    job = line.job(job_id)
    left = job["counts"]["pending"]
    assert (job["state"], job["waiting"]["blocked_by"][0]["what"]) == ("running", "job_paused")
    assert 0 < left < 40
    assert_problem(line.http.post(f"/api/v1/jobs/{job_id}/pause"), 409, "JOB_PAUSED")
    line.kill("compute")
    line.start("compute")
    # the worker is there and serves others
    assert line.wait(line.submit("probe", {"items": 2})["id"], 2 * PATIENCE)["state"] == "succeeded"
    assert line.job(job_id)["counts"]["pending"] == left, "something of a paused job was started"
    assert line.http.post(f"/api/v1/jobs/{job_id}/resume").status_code == 200
    ended = line.wait(job_id)
    assert (ended["state"], ended["counts"]["succeeded"], ended["paused_at"]) == ("succeeded", 40, None)
    assert_problem(line.http.post(f"/api/v1/jobs/{job_id}/pause"), 409, "JOB_FINISHED")
    assert_problem(line.http.post(f"/api/v1/jobs/{job_id}/resume"), 409, "JOB_FINISHED")


def test_the_command_line_pauses_shows_and_resumes(line: Stack) -> None:
    job_id = line.submit("probe", {"items": 1}, run_after=time.time() + 3600)["id"]
    assert f"cadmill resume {job_id}" in cadmill(line, "pause", job_id)
    assert "queued, paused" in cadmill(line, "jobs", "--limit", "1")
    assert f"job {job_id} queued" in cadmill(line, "resume", job_id)
    line.http.post(f"/api/v1/jobs/{job_id}/cancel")


@pytest.fixture(scope="module")
def drawings(line: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Parts of 60 different files, with vectors in v1. A comment makes each another file and changes no geometry."""
    folder = tmp_path_factory.mktemp("drawings")
    for name in ("wrench.dxf", "LM2.dxf", "single_arc.dxf"):
        content = (SAMPLES / "dxf" / name).read_bytes()
        for n in range(20):
            (folder / f"{n}-{name}").write_bytes(b"999\nnumber %d\n" % n + content)
    parts = [part["id"] for part in line.upload(*sorted(folder.iterdir()))]
    job = line.submit("extraction", {"parts": parts, "feature_version": "v1"})
    assert line.wait(job["id"], 2 * PATIENCE)["state"] == "succeeded"
    return parts


def versions(line: Stack, part: str) -> dict[str, Any]:
    told = line.http.get(f"/api/v1/parts/{part}").json()["vectors"]
    return {each["feature_version"]: (each["provenance"], each["result"]["vector"], each["created_at"]) for each in told}


def preview(line: Stack, **asked: Any) -> dict[str, Any]:
    return dict(line.http.get("/api/v1/vectors/migrate/preview", params=asked).raise_for_status().json())


def test_a_migration_killed_half_way_resumes_does_each_part_once_and_is_rolled_back(line: Stack, drawings: list[str]) -> None:
    before = {part: versions(line, part) for part in drawings}
    given = {"from": "v1", "to": "v4", "selector": {"parts": drawings}}
    job_id = line.submit("migration", given)["id"]
    line.wait_for_progress(job_id, 3)
    line.kill("compute")
    half = line.job(job_id)
    assert (half["state"], half["counts"]["pending"] > 0) == ("running", True)
    assert_problem(line.http.post(f"/api/v1/jobs/{job_id}/rollback"), 409, "JOB_NOT_ENDED")
    line.start("compute")
    ended = line.wait(job_id, 2 * PATIENCE)
    assert (ended["state"], ended["summary"]) == ("succeeded", {"extraction": len(drawings)}), "a part was done twice, or not at all"
    assert {(item["result"]["way"], item["result"]["stored"]) for item in line.items(job_id)} == {("extraction", True)}
    after = {part: versions(line, part) for part in drawings}
    assert all(set(held) == {"v1", "v4"} and held["v4"][1][:8] == held["v1"][1] for held in after.values())
    assert line.metric("vector_migrate_dimension_delta_count") >= len(drawings)

    told = preview(line, **{"from": "v1", "to": "v4", "sample": 40})
    assert (told["samples"], told["dimension_delta"], told["shared_slots_changed"], told["hint"]) == (40, 16, 0, None)
    asked = {"from": "v1", "to": "v4", "selector": {"parts": drawings[:5]}}
    assert line.http.post("/api/v1/vectors/migrate/preview", json=asked).json()["samples"] == 5
    assert_problem(line.http.get("/api/v1/vectors/migrate/preview", params={"from": "v1"}), 422, "REQUEST_INVALID")

    told = cadmill(line, "rollback", job_id)
    assert f"0 vector(s) put back, {len(drawings)} removed" in told, told
    assert {part: versions(line, part) for part in drawings} == before
    assert line.job(job_id)["rolled_back_at"] is not None
    assert line.http.post(f"/api/v1/jobs/{job_id}/rollback").json()["rollback"] == {"restored": 0, "removed": 0, "kept": 0}
    assert_problem(line.http.post(f"/api/v1/jobs/{job_id}/retry"), 409, "JOB_NOT_RETRYABLE")


def test_the_command_line_tells_what_a_migration_would_do(line: Stack, drawings: list[str]) -> None:
    parts = [argument for part in drawings[:12] for argument in ("--part", part)]
    told = cadmill(line, "migrate", "--from", "v1", "--to", "v4", "--dry-run", "--sample", "12", *parts)
    assert "would be done: 12 extraction" in told, told
    assert re.search(r"by [2-9] worker\(s\)", told), told  # those that were killed a moment ago may still count
    assert "in 12 part(s): mean delta" in told, told
    assert "warnings: " in told, told
    assert set(versions(line, drawings[0])) == {"v1"}
