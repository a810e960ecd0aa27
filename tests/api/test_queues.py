"""Queues over real HTTP, and the order in which a real worker serves them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from bench.waiting import ONE_ITEM_A_CHUNK, Asker, another_tenant, beside_a_flood, overtake
from foundation.settings import DatabaseSettings
from ledger.session import Ledger
from tests.api.test_parts import assert_problem
from tests.stack import ROOT, Stack, running, wait_until

TOKEN = "the token of whoever runs this"


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    """A stack of its own, whose chunks have one item."""
    folder = tmp_path_factory.mktemp("line")
    variables = ONE_ITEM_A_CHUNK | {"ADMIN_TOKEN": TOKEN}
    with running(
        folder / "stack", redis_url.removesuffix("/0") + "/5", f"sqlite:///{folder}/ledger.db", "api", "compute", **variables
    ) as stack:
        wait_until(lambda: queue(stack)["workers"] == 2)
        yield stack


@pytest.fixture
def askers(line: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Asker, Asker]]:
    """Two tenants at that stack."""
    ledger = Ledger(line.environment["CADMILL_DATABASE_URL"], DatabaseSettings())
    with another_tenant(ledger, line.directory, line.url) as one, another_tenant(ledger, line.directory, line.url) as other:
        yield one, other
    ledger.close()


def queue(stack: Stack, name: str = "probe") -> dict[str, Any]:
    queues = stack.http.get("/api/v1/queues").raise_for_status().json()["queues"]
    return dict(next(one for one in queues if one["name"] == name))


def change(stack: Stack, what: str, name: str = "probe", **how: Any) -> Any:
    return stack.http.post(f"/api/v1/queues/{name}/{what}", headers={"X-Admin-Token": TOKEN}, **how)


def cadmill(stack: Stack, *arguments: str) -> str:
    asked = [sys.executable, "-m", "api.cli.main", *arguments, "--url", stack.url, "--key", stack.key]
    told = subprocess.run(asked, cwd=ROOT, env=stack.environment, capture_output=True, text=True, timeout=60, check=False)
    return told.stdout + told.stderr


def test_a_paused_queue_starts_nothing_tells_why_and_goes_on_where_it_was(line: Stack) -> None:
    first = line.submit("probe", {"items": 40, "ms": 100})
    wait_until(lambda: line.job(first["id"])["state"] == "running")
    paused = change(line, "pause", json={"reason": "new engine"})
    assert paused.status_code == 200, paused.text
    assert paused.json()["paused"]["reason"] == "new engine"
    wait_until(lambda: queue(line)["depth"]["running"] == 0)
    left = line.job(first["id"])["counts"]["pending"]
    second = line.submit("probe", {"items": 1})
    waiting = line.job(second["id"])["waiting"]
    assert [block["what"] for block in waiting["blocked_by"]] == ["queue_paused", "line"]
    assert waiting["place"] == left + 1
    assert "probe is paused" in waiting["sentence"]
    assert left > 0
    assert line.job(first["id"])["counts"]["pending"] == left, "something was started while the queue was paused"
    assert line.metric("cadmill_queue_paused") == 1
    assert_problem(change(line, "pause"), 409, "QUEUE_PAUSED")
    assert change(line, "resume").status_code == 200
    for job in (first, second):
        ended = line.wait(job["id"])
        assert (ended["state"], ended["waiting"]) == ("succeeded", None)
    assert_problem(change(line, "resume"), 409, "QUEUE_NOT_PAUSED")


def test_only_known_queues_are_paused_and_only_with_the_token(line: Stack) -> None:
    assert_problem(change(line, "pause", "nothing"), 404, "QUEUE_NOT_FOUND")
    assert_problem(line.http.post("/api/v1/queues/probe/pause"), 401, "ADMIN_TOKEN_MISSING")
    assert queue(line)["paused"] is None


def test_the_command_line_shows_pauses_and_resumes_queues(line: Stack) -> None:
    told = cadmill(line, "queues", "--pause", "prewarm", "--reason", "too hot")
    assert "too hot" in told, told
    job = line.submit("prewarm", {"target": "vectors"})
    assert job["state"] == "queued"
    assert "too hot" not in cadmill(line, "queues", "--resume", "prewarm")
    line.wait(job["id"])


def test_an_urgent_item_starts_before_a_thousand_low_ones(askers: tuple[Asker, Asker]) -> None:
    found = overtake(askers[0], rounds=6, ms=10)
    assert min(one.lows_waiting for one in found) > 1000
    assert sum(one.lows_between for one in found) <= 1, found


def test_a_flood_of_one_tenant_hardly_delays_another(askers: tuple[Asker, Asker]) -> None:
    """Counted in starts, which a busy machine does not change; the ratio of waits is in docs/waiting.md. First in, first out
    would start all that is left of the flood between."""
    found = beside_a_flood(*askers, rounds=1, jobs_a_phase=4, flood=1000)
    assert sorted(found.let_in)[2] <= 4, found.let_in
    assert max(found.let_in) <= 12, found.let_in
