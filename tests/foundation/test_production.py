"""What strangers can reach does not start with a door left open, and says every one that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from foundation import production
from foundation.errors import Failure
from foundation.settings import Settings
from tests.stack import ROOT

GOOD = {"CADMILL_PRODUCTION": "1", "ADMIN_TOKEN": "a" * 32, "CADMILL_SECRET": "s" * 32}


def broken(monkeypatch: pytest.MonkeyPatch, api: bool = True, **variables: str) -> set[str]:
    for name in ("CADMILL_PRODUCTION", *(rule.variable for rule in production.RULES)):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    try:
        production.check(Settings.load(), api)
    except Failure as failure:
        assert failure.code == "CONFIG_INVALID"
        return set(failure.context["settings"])
    return set()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, set()),
        ({"ADMIN_TOKEN": ""}, {"ADMIN_TOKEN"}),
        ({"ADMIN_TOKEN": "a" * 31}, {"ADMIN_TOKEN"}),
        ({"CADMILL_SECRET": ""}, {"CADMILL_SECRET"}),
        ({"CADMILL_CHAOS": "1", "CADMILL_PROBE": "1"}, {"CADMILL_CHAOS", "CADMILL_PROBE"}),
        ({"CADMILL_WEBHOOK_ALLOW_PRIVATE": "1", "ADMIN_TOKEN": ""}, {"CADMILL_WEBHOOK_ALLOW_PRIVATE", "ADMIN_TOKEN"}),
    ],
)
def test_every_door_left_open_is_named(monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], named: set[str]) -> None:
    assert broken(monkeypatch, **GOOD | changed) == named
    assert broken(monkeypatch, False, **GOOD | changed) == named - {"ADMIN_TOKEN"}, "workers answer nobody"


def test_a_machine_of_ones_own_starts_with_nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert broken(monkeypatch, CADMILL_CHAOS="1", CADMILL_PROBE="1") == set()


@pytest.mark.parametrize("program", ["from api.app import create; create()", "import workers.celery"])
def test_a_process_that_must_not_start_ends_with_a_sentence(tmp_path: Path, program: str) -> None:
    environment = os.environ | GOOD | {"CADMILL_PROBE": "1", "CADMILL_SECRET": "short", "CADMILL_STORAGE_DIRECTORY": str(tmp_path)}
    told = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert told.returncode == 1
    last = told.stderr.strip().splitlines()[-1]
    assert "CONFIG_INVALID" in last
    assert "CADMILL_SECRET" in last
    assert "CADMILL_PROBE" in last
    assert not (tmp_path / "cadmill.db").exists()
