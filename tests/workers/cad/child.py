"""Extracts files in child processes: Open CASCADE can kill its process, and that must fail one test, not the test run."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import FeatureVersion
from workers.features.extraction import extract

ROOT = Path(__file__).parents[3]


def answers(paths: list[Path], seconds: float = 150, before: str = "") -> list[dict[str, Any]]:
    """For each file `{"code": "OK", "result": ...}`, `{"code": ..., "context": ...}` or `{"code": "DIED", ...}`.

    `before` is run in the child first.
    """
    told: list[dict[str, Any]] = []
    while len(told) < len(paths):
        rest = [str(path) for path in paths[len(told) :]]
        program = f"{before}\nfrom tests.workers.cad.child import serve\nserve()"
        child = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, input=json.dumps(rest), capture_output=True, text=True, timeout=seconds, check=False
        )
        lines = [json.loads(line.removeprefix("answer ")) for line in child.stdout.splitlines() if line.startswith("answer ")]
        assert len(lines) == len(child.stdout.splitlines()), f"something else prints: {child.stdout[:2000]}"
        told += lines
        if len(lines) < len(rest):
            told.append({"code": "DIED", "status": child.returncode, "stderr": child.stderr[-2000:]})
    return told


def answer(path: Path) -> dict[str, Any]:
    return answers([path])[0]


def serve() -> None:
    """Answer the files named on the standard input, one line each."""
    warnings.simplefilter("error", RuntimeWarning)
    for path in json.loads(sys.stdin.read()):
        try:
            result = extract(Path(path), Path(path).name, FeatureVersion.V4, CadSettings()).result
            told = {"code": "OK", "result": result}
        except Failure as failure:
            told = {"code": failure.code, "context": failure.context}
        print("answer", json.dumps(told, allow_nan=False), flush=True)
