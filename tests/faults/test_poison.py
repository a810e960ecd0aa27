"""Files that kill: none takes a neighbour along, and each is stopped after the second death."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.faults import pools
from tests.faults.conftest import NewStack
from tests.faults.poison import ask, upload
from tests.stack import ROOT, Stack


def cadmill(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "api.cli.main", *arguments, "--url", stack.url, "--key", stack.key]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_files_that_kill_their_reader_twice_are_not_read_again_until_released(new_stack: NewStack, tmp_path: Path) -> None:
    stack, evidence = new_stack("api", queues=["extraction"], CADMILL_QUEUE_LEASE_SECONDS=60)
    pools.start(stack, "prefork", 1)
    parts = upload(stack, tmp_path, 4, 24)
    rounds = [ask(stack, evidence, parts, seed, force=True) for seed in range(3)]
    assert [each.good for each in rounds] == [{"succeeded": 24}] * 3
    assert [each.poison for each in rounds] == [{"ENGINE_CRASH": 4}, {"ENGINE_CRASH": 4}, {"FILE_QUARANTINED": 4}]
    assert [each.rescued for each in rounds] == [0, 0, 0], "no worker died"
    assert stack.metric("cadmill_engine_crashes_total") == 8
    assert stack.metric("cadmill_quarantined_files") == 4

    first = stack.http.get("/api/v1/quarantine", params={"limit": 3}).json()
    second = stack.http.get("/api/v1/quarantine", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    shown = [*first["files"], *second["files"]]
    assert second["next_cursor"] is None
    assert {part["id"] for file in shown for part in file["parts"]} == set(parts["segv"])
    assert {file["crashes"] for file in shown} == {2}
    sha256 = shown[0]["sha256"]
    address = f"/api/v1/quarantine/{sha256}"
    assert sha256 in cadmill(stack, "quarantine").stdout
    assert cadmill(stack, "quarantine", "--release", sha256).returncode == 0
    assert sha256 not in cadmill(stack, "quarantine").stdout
    assert stack.http.delete(address).json()["code"] == "QUARANTINE_NOT_FOUND"
    assert ask(stack, evidence, parts, 3, force=True).poison == {"FILE_QUARANTINED": 3, "ENGINE_CRASH": 1}
