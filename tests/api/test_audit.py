"""The audit trail as its readers see it: over HTTP and on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from api.cli.connection import ApiError
from api.cli.main import app
from foundation import caller
from foundation.clock import Clock
from foundation.errors import Failure
from foundation.settings import DatabaseSettings
from ledger.session import Ledger
from ledger.trail.reading import Wanted, page
from ledger.trail.refusals import Refusals
from tests.api.conftest import ADMIN_TOKEN
from tests.stack import SAMPLES, Stack

HERE = "/api/v1/audit"
OPERATOR = {"X-Admin-Token": ADMIN_TOKEN}


def lines(stack: Stack, headers: dict[str, str] | None = None, **wanted: Any) -> list[dict[str, Any]]:
    answer = stack.http.get(HERE, params=wanted, headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["lines"])


def test_a_tenant_finds_who_did_what_and_nothing_of_anybody_else(stack: Stack) -> None:
    with stack.as_tenant("audit reader") as mine:
        job = mine.submit("probe", {"items": 2})["id"]
        mine.wait(job)
        (accepted,) = lines(mine, subject=job, action="job.accepted")
        assert accepted["actor"] == f"key:{mine.key.split('_')[1]}"
        assert (accepted["origin"], accepted["outcome"], accepted["detail"]["items"]) == ("127.0.0.1", "done", 2)
        assert lines(mine, request_id=accepted["request_id"]) == [accepted]
        assert {one["action"] for one in lines(mine, action="job.*")} == {"job.accepted", "job.succeeded"}
        told = lines(mine)
        assert {one["chain"] for one in told} == {accepted["chain"]}
        assert [one["number"] for one in told] == list(range(len(told), 0, -1))
        walked: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = mine.http.get(HERE, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
            walked, cursor = walked + answer["lines"], answer["next_cursor"]
        assert walked == told
        assert lines(mine, since=accepted["at"], until=accepted["at"]) == []
        assert mine.http.get(HERE, params={"chain": "store"}).json()["code"] == "ADMIN_TOKEN_MISSING"
        assert mine.http.get(HERE, params={"outcome": "odd"}).status_code == 422
        verdict = mine.http.get(f"{HERE}/verify").json()
        assert (verdict["whole"], verdict["chains"], verdict["lines"]) == (True, 1, len(told))
        report = mine.http.get(f"{HERE}/report").json()
        assert sum(row["lines"] for row in report["days"]) == len(told)
        assert {row["who"] for row in report["days"]} >= {"workers", accepted["actor"]}


def test_refusals_are_told_to_whoever_runs_the_server(stack: Stack) -> None:
    foreign = stack.submit("probe", {"items": 1})["id"]
    with stack.as_tenant("nosy") as nosy:
        for _ in range(3):
            assert nosy.http.get(f"/api/v1/jobs/{foreign}").status_code == 404
        assert nosy.http.get("/api/v1/jobs/job_of_nobody").status_code == 404
        assert nosy.http.post("/api/v1/queues/probe/pause", headers={"X-Admin-Token": "a guess that is wrong"}).status_code == 403
        who = f"key:{nosy.key.split('_')[1]}"
        assert lines(nosy, outcome="refused") == [], "a tenant must not learn from its trail that the id exists"
    told = lines(stack, OPERATOR, chain="store", actor=who)
    assert [(one["action"], one["subject"], one["outcome"]) for one in told] == [
        ("refused.admin_token_unknown", "POST /api/v1/queues/{name}/pause", "refused"), ("refused.foreign", foreign, "refused"),
    ]  # fmt: skip
    assert {one["chain"] for one in lines(stack, OPERATOR, chain="all", limit=1000)} > {"store"}
    for way in ("", "/verify", "/report", "/export.jsonl", "/export.csv"):
        unknown = stack.http.get(f"{HERE}{way}", params={"chain": "ten_mistyped"}, headers=OPERATOR)
        assert (unknown.status_code, unknown.json()["code"]) == (404, "TENANT_NOT_FOUND"), way


def test_no_secret_of_a_whole_life_is_in_a_row(stack: Stack) -> None:
    secrets = [ADMIN_TOKEN, stack.key.rsplit("_", 1)[-1], stack.http.get("/api/v1/webhooks/secret").json()["secret"], "guess-" + "x" * 40]
    part = stack.upload(SAMPLES / "dxf" / "bracket.dxf")[0]["id"] if (SAMPLES / "dxf" / "bracket.dxf").exists() else None
    job = stack.submit("probe", {"items": 1}, callback_url="http://127.0.0.1:9/hook", labels={"note": stack.key})["id"]
    stack.wait(job)
    stack.http.get("/api/v1/jobs", headers={"X-API-Key": f"cadmill_{secrets[3]}_{secrets[3]}"})
    stack.http.post("/api/v1/queues/probe/pause", headers={"X-Admin-Token": secrets[3]})
    if part:
        stack.http.delete(f"/api/v1/parts/{part}")
    ledger = Ledger(f"sqlite:///{stack.directory / 'cadmill.db'}", DatabaseSettings())
    with ledger.read() as tx:
        trail = json.dumps(page(tx, Wanted(None), 100_000))
    ledger.close()
    assert job in trail
    assert [secret for secret in secrets if secret in trail] == []


def test_a_guesser_cannot_fill_the_trail(ledger: Ledger) -> None:
    time = 100.0
    refusals = Refusals(ledger, Clock(tick=lambda: time))
    for number in range(500):
        with caller.asking(f"192.0.2.{number % 100}", f"req_{number}"):
            refusals.note(Failure("API_KEY_UNKNOWN"), "GET /api/v1/jobs")
    time += 61
    with caller.asking("192.0.2.1", "req_501"):
        refusals.note(Failure("API_KEY_UNKNOWN"), "GET /api/v1/jobs")
    with ledger.read() as tx:
        told = page(tx, Wanted("store"), 1000)
    assert len(told) == 21
    assert told[0]["detail"] == {"untold_before": 480}


def cli(stack: Stack, *words: str) -> Result:
    """The command line in this process: starting one for each of these would take most of the time."""
    where = () if "--file" in words else ("--url", stack.url, "--key", stack.key)
    return CliRunner().invoke(app, ["audit", *words, *where])


def test_the_command_line_proves_searches_reports_and_exports(stack: Stack, tmp_path: Path) -> None:
    stack.wait(stack.submit("probe", {"items": 1})["id"])
    everything = ("--chain", "all", "--admin-token", ADMIN_TOKEN)
    whole = cli(stack, "verify", *everything)
    assert (whole.exit_code, "ok    audit" in whole.stdout) == (0, True), whole.stdout
    assert "job.accepted" in cli(stack, "search", "--action", "job.accepted").stdout
    assert "job.accepted" in cli(stack, "report").stdout
    table, export = tmp_path / "audit.csv", tmp_path / "audit.jsonl"
    assert cli(stack, "export", str(table)).exit_code == 0
    assert table.read_text().startswith("chain,number,at,actor,action")
    assert cli(stack, "export", str(export), *everything).exit_code == 0
    assert cli(stack, "verify", "--file", str(export)).exit_code == 0
    export.write_text(export.read_text().replace('"job.accepted"', '"job.rejected"', 1))
    broken = cli(stack, "verify", "--file", str(export))
    assert (broken.exit_code, "broken changed: Line" in broken.stdout) == (3, True)
    export.write_text("not json\n")
    unread = cli(stack, "verify", "--file", str(export)).exception
    assert isinstance(unread, Failure)
    assert unread.code == "EXPORT_INVALID"
    refused = cli(stack, "verify", "--chain", "store", "--admin-token", "wrong").exception
    assert isinstance(refused, ApiError)
    assert refused.code == "ADMIN_TOKEN_UNKNOWN"
