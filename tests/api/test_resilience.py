"""What stands around outgoing calls, from outside: over HTTP of a real process, and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys

from foundation.resilience.policies import TABLE
from foundation.settings import environment
from tests.api.conftest import ADMIN_TOKEN
from tests.stack import ROOT, Stack

PATH = "/api/v1/health/resilience"


def test_the_route_shows_the_table_and_how_this_process_stands(stack: Stack) -> None:
    stack.http.get("/health/ready").raise_for_status()
    told = stack.http.get(PATH, headers={"X-Admin-Token": ADMIN_TOKEN}).raise_for_status().json()
    assert [row["call"] for row in told["policies"]] == list(TABLE)
    assert {row["call"]: row["retry"] for row in told["policies"]}["database-connect"].startswith("5 tries")
    standing = {one["call"]: one for one in told["protections"]}
    assert {"database-connect", "database-statement", "redis", "limits"} <= standing.keys()
    for call in ("database-connect", "redis"):
        assert standing[call]["breaker"]["state"] == "closed"
        assert standing[call]["breaker"]["calls"] > 0
    assert standing["redis"]["bulkhead"]["free"] == standing["redis"]["bulkhead"]["capacity"]


def test_the_route_is_an_administrators(stack: Stack) -> None:
    assert stack.http.get(PATH).status_code == 401


def cadmill(off: str) -> subprocess.CompletedProcess[str]:
    asked = [sys.executable, "-m", "api.cli.main", "check", "--json"]
    variables = environment({"CADMILL_RESILIENCE_OFF": off})
    return subprocess.run(asked, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)


def test_check_shows_what_is_switched_off_and_refuses_what_is_not_there() -> None:
    rows = {row["call"]: row for row in json.loads(cadmill("webhook.breaker,redis.retry").stdout)}
    assert {call: row["off"] for call, row in rows.items() if row["off"]} == {"webhook": ["breaker"], "redis": ["retry"]}
    refused = cadmill("webhook.fuse")
    assert refused.returncode == 1
    assert "CONFIG_INVALID" in refused.stderr
