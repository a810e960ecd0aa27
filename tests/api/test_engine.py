"""The index and the caches from outside: a real stack with two compute processes, over HTTP and the command line."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from tasks.catalogue import catalogue
from tests.api.conftest import ADMIN_TOKEN
from tests.api.test_parts import assert_problem
from tests.stack import ROOT, SAMPLES, Stack, wait_until

HEALTH, CACHE = "/api/v1/health/faiss", "/api/v1/health/features/cache"
ADMIN = {"X-Admin-Token": ADMIN_TOKEN}


def cadmill(stack: Stack, *arguments: str) -> str:
    asked = [sys.executable, "-m", "api.cli.main", *arguments, "--url", stack.url, "--key", stack.key]
    told = subprocess.run(asked, cwd=ROOT, env=stack.environment, capture_output=True, text=True, timeout=60, check=False)
    return told.stdout + told.stderr


def health(stack: Stack) -> dict[str, Any]:
    return dict(stack.http.get(f"{HEALTH}/health").raise_for_status().json())


def tuning(stack: Stack) -> dict[str, Any]:
    return dict(stack.http.get(f"{CACHE}/tuning", headers=ADMIN).raise_for_status().json())


@pytest.fixture(autouse=True)
def _both_report(stack: Stack) -> None:
    wait_until(lambda: len(health(stack)["workers"]) == 2)


def test_every_worker_tells_of_its_index_and_a_sound_one_needs_no_recovery(stack: Stack) -> None:
    told = health(stack)
    assert (told["recovery_status"], told["flapping"], told["last_recovery_attempt"]) == ("healthy", False, None)
    assert len({worker["worker"] for worker in told["workers"]}) == 2
    answers = [stack.http.post(f"{HEALTH}/recover", headers=ADMIN) for _ in range(5)]  # workers look every two seconds
    assert answers[0].status_code == 202, answers[0].text
    assert_problem(next(answer for answer in answers if answer.status_code != 202), 409, "FAISS_RECOVERY_CONFLICT")
    number = [answer.json()["number"] for answer in answers if answer.status_code == 202][-1]
    wait_until(lambda: len(health(stack)["recovery"]["answers"]) == 2)
    recovery = health(stack)["recovery"]
    assert (recovery["number"], recovery["running"]) == (number, False)
    assert {one["result"] for one in recovery["answers"]} == {"unneeded"}
    assert stack.metric("cadmill_index_workers") == 2
    assert stack.metric("cadmill_index_degraded_seconds") == 0
    told = cadmill(stack, "index", "--recover")
    assert "2 worker(s) asked to recover" in told
    assert "index: healthy" in told


def test_a_setting_of_the_caches_reaches_both_workers_and_is_taken_back(stack: Stack) -> None:
    before = tuning(stack)["setting"]
    tried = stack.http.patch(f"{CACHE}/apply", params={"dry_run": True}, json={"capacity": 123}, headers=ADMIN).json()
    assert (tried["dry_run"], tried["changed"], tried["after"]["capacity"]) == (True, True, 123)
    assert "capacity: as each worker's environment says -> 77" in cadmill(stack, "cache", "--apply", "--dry-run", "--capacity", "77")
    assert tuning(stack)["setting"] == before
    applied = stack.http.patch(f"{CACHE}/apply", json={"capacity": 123, "ttl_seconds": 600}, headers=ADMIN)
    assert applied.status_code == 200, applied.text
    assert_problem(stack.http.patch(f"{CACHE}/apply", json={"capacity": 5}, headers=ADMIN), 409, "CACHE_TUNING_SNAPSHOT_ACTIVE")
    epoch = applied.json()["after"]["epoch"]
    wait_until(lambda: tuning(stack)["taken_by_all"])
    caches = tuning(stack)["workers"]
    assert [(one["epoch"], one["capacity"], one["ttl_seconds"]) for one in caches] == [(epoch, 123, 600.0)] * 2
    assert "capacity 123" in cadmill(stack, "cache")
    assert "cannot be taken" not in cadmill(stack, "cache", "--rollback")
    wait_until(lambda: tuning(stack)["taken_by_all"])
    assert {one["capacity"] for one in tuning(stack)["workers"]} == {200_000}
    assert_problem(stack.http.post(f"{CACHE}/rollback", headers=ADMIN), 409, "CACHE_TUNING_NOTHING_APPLIED")


def test_a_prewarm_reaches_every_worker_and_tells_what_it_was_worth(stack: Stack) -> None:
    with stack.as_tenant("warm") as own:
        parts = [part["id"] for part in own.upload(*sorted((SAMPLES / "stl").iterdir())[:3])]
        own.wait(own.submit("extraction", {"parts": parts, "feature_version": "v2"})["id"])
        answer = own.http.post(f"{CACHE}/prewarm", json={"selector": {"feature_version": "v2"}, "max": 3}, headers=ADMIN)
        assert answer.status_code == 202, answer.text
        job = answer.json()
        assert job["priority"] == "urgent"
        assert own.wait(job["id"])["state"] == "succeeded"
        (item,) = own.items(job["id"])
        catalogue()["prewarm"].answers.model_validate(item["result"])
        workers = item["result"]["workers"]
        assert len(workers) == 2
        assert {(one["loaded"], one["skipped"], one["failed"]) for one in workers} == {(3, 0, 0)}, "nobody has searched in them yet"
        assert {(one["hit_rate_before"], one["hit_rate_after"]) for one in workers} == {(0.0, 1.0)}
        assert (item["result"]["loaded"], item["result"]["silent"]) == (6, [])
    assert stack.metric("feature_cache_prewarm_total") >= 6
    assert "hit rate" in cadmill(stack, "cache", "--prewarm")


ADDRESSES = [
    ("POST", f"{HEALTH}/recover"),
    ("GET", f"{CACHE}/tuning"),
    ("PATCH", f"{CACHE}/apply"),
    ("POST", f"{CACHE}/rollback"),
    ("POST", f"{CACHE}/prewarm"),
]


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_who_steers_the_fleet_needs_the_token(stack: Stack, method: str, address: str) -> None:
    assert_problem(stack.http.request(method, address), 401, "ADMIN_TOKEN_MISSING")
    assert_problem(stack.http.request(method, address, headers={"X-Admin-Token": "guess"}), 403, "ADMIN_TOKEN_UNKNOWN")
