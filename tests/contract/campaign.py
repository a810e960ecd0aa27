"""Schemathesis against a live stack of ours: no 5xx, no answer that its document does not tell of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.contract.furnished import TOKEN, Ids
from tests.stack import ROOT, Stack

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Run:
    """What came of one run: its exit code, what it printed, and its own summary."""

    ok: bool
    text: str

    def summary(self) -> str:
        return self.text[self.text.rfind("= SUMMARY =") :]


def run(stack: Stack, ids: Ids, version: str, *options: str, seconds: float = 600) -> Run:
    """Calls every operation of a version with what its document allows and forbids."""
    document = stack.http.get(f"/api/{version}/openapi.json", timeout=120)  # made at the first asking: Schemathesis waits 10 s for it
    place = stack.directory / f"openapi-{version}.json"
    place.write_bytes(document.content)
    argv = [
        str(Path(sys.executable).parent / "schemathesis"), "--config-file", str(_HERE / "schemathesis.toml"),
        "run", str(place), "--url", stack.url, "-H", f"X-API-Key: {stack.key}", "-H", f"X-Admin-Token: {TOKEN}",
        "--continue-on-failure", "--no-shrink", "--generation-database", "none", "--request-timeout", "30", "--warnings", "off",
        "--exclude-operation-id", "stream_events",  # which never ends
        *options,
    ]  # fmt: skip
    environment = os.environ | {
        "SCHEMATHESIS_HOOKS": "tests.contract.hooks", "CONTRACT_IDS": json.dumps(ids), "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    done = subprocess.run(argv, cwd=stack.directory, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert stack.http.get("/api/v1/keys/self").is_success, "the key is good no more, so what came after that tested nothing"
    return Run(done.returncode == 0, done.stdout + done.stderr)
