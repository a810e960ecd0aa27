"""Jobs paused and resumed over real HTTP and by the command line, with a real worker that is killed meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.waiting import ONE_ITEM_A_CHUNK
from tests.api.test_parts import assert_problem
from tests.api.test_queues import cadmill
from tests.stack import Stack, running, wait_until


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
    assert line.wait(line.submit("probe", {"items": 2})["id"])["state"] == "succeeded"
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
