"""Schedules and bulk changes through the doors of a real stack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack import ROOT, Stack, wait_until

PROBE = {"kind": "probe", "input": {"items": 1}}


@pytest.fixture
def schedule(stack: Stack) -> Iterator[dict[str, Any]]:
    given = {"name": "nightly", "cron": "30 2 * * *", "timezone": "Europe/Berlin", "job": PROBE, "catch_up": "last"}
    answer = stack.http.post("/api/v1/schedules", json=given)
    assert answer.status_code == 201, answer.text
    yield answer.json()
    stack.http.delete(f"/api/v1/schedules/{answer.json()['id']}")


def test_a_schedule_is_added_listed_changed_run_and_removed(stack: Stack, schedule: dict[str, Any]) -> None:
    here = f"/api/v1/schedules/{schedule['id']}"
    assert len(schedule["next_slots"]) == 5
    assert schedule["next_at"]
    assert [one["name"] for one in stack.http.get("/api/v1/schedules").json()["schedules"]] == ["nightly"]
    paused = stack.http.patch(here, json={"enabled": False}).json()
    assert (paused["enabled"], paused["next_at"], paused["next_slots"], paused["cron"]) == (False, None, [], "30 2 * * *")
    job = stack.http.post(f"{here}/run")
    assert job.status_code == 202
    assert stack.wait(job.json()["id"])["state"] == "succeeded"
    (run,) = stack.http.get(here).json()["last_runs"]
    assert (run["asked_by"], run["outcome"], run["job_id"]) == ("hand", "submitted", job.json()["id"])
    assert stack.http.delete(here).status_code == 204
    assert stack.http.get(here).json()["code"] == "SCHEDULE_NOT_FOUND"
    assert stack.job(job.json()["id"])["state"] == "succeeded", "its jobs stay"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cron": "never"}, "SCHEDULE_INVALID"),
        ({"timezone": "Middle/Earth"}, "SCHEDULE_INVALID"),
        ({"job": PROBE | {"kind": "magic"}}, "KIND_UNKNOWN"),
        ({"job": PROBE | {"run_after": 1}}, "REQUEST_INVALID"),
        ({"job": PROBE | {"callback_url": "ftp://x"}}, "WEBHOOK_URL_FORBIDDEN"),
        ({"name": "nightly"}, "SCHEDULE_NAME_TAKEN"),
    ],
    ids=str,
)
def test_a_schedule_that_could_never_work_is_refused_at_once(
    stack: Stack, schedule: dict[str, Any], changes: dict[str, Any], code: str
) -> None:
    given = {"name": "other", "cron": "0 0 * * *", "job": PROBE} | changes
    answer = stack.http.post("/api/v1/schedules", json=given)
    assert answer.json()["code"] == code
    assert answer.status_code >= 400


def test_many_jobs_are_retried_by_the_code_of_their_items_and_cancelled_by_label(stack: Stack) -> None:
    labels = {"bulk": "yes"}
    bad = [stack.submit("probe", {"items": 3, "faults": {"1": "fail"}}, labels=labels)["id"] for _ in range(2)]
    good = stack.submit("probe", {"items": 1}, labels=labels)["id"]
    for job in (*bad, good):
        stack.wait(job)
    asked = {"labels": labels, "code": "PROBE_FAILED"}
    dry = stack.http.post("/api/v1/jobs/retry", json=asked | {"dry_run": True}).json()
    assert (dry["matched"], dry["retried"], dry["jobs"], dry["more"]) == (2, 0, bad, False)
    assert all(stack.job(job)["generation"] == 1 for job in bad)
    assert stack.http.post("/api/v1/jobs/retry", json=asked | {"code": "ENGINE_CRASH"}).json()["matched"] == 0
    first = stack.http.post("/api/v1/jobs/retry", json=asked | {"limit": 1}).json()
    assert (first["retried"], first["jobs"], first["more"]) == (1, bad[:1], True)
    stack.wait(bad[0])
    job = stack.job(bad[0])
    assert (job["generation"], job["counts"]["failed"]) == (2, 1), "the item that failed, and only that, was done again"

    waiting = [stack.submit("probe", {"items": 1}, labels=labels, run_after=4_000_000_000)["id"] for _ in range(3)]
    told = stack.http.post("/api/v1/jobs/cancel", json={"labels": labels}).json()
    assert (told["cancelled"], told["jobs"]) == (3, waiting)
    assert {stack.job(job)["state"] for job in waiting} == {"cancelled"}


def test_the_command_line_keeps_schedules_and_retries_in_bulk(stack: Stack) -> None:
    def cadmill(*words: str) -> str:
        argv = [sys.executable, "-m", "api.cli.main", *words, "--url", stack.url, "--key", stack.key]
        return subprocess.run(argv, cwd=ROOT, env=stack.environment, capture_output=True, text=True, timeout=120, check=True).stdout

    cadmill("schedules", "add", "warm", "0 6 * * MON-FRI", "--kind", "probe", "--input", '{"items": 1}', "--timezone", "Asia/Tokyo")
    cadmill("schedules", "pause", "warm")
    listed = cadmill("schedules", "list")
    assert "Asia/Tokyo" in listed
    assert "paused" in listed
    job = cadmill("schedules", "run", "warm").split()[1]
    wait_until(lambda: stack.job(job)["state"] == "succeeded")
    cadmill("schedules", "remove", "warm")
    assert "warm" not in cadmill("schedules", "list")
    assert "0 job(s) would be retried" in cadmill("retry", "--all", "--code", "ENGINE_TIMEOUT", "--dry-run")
