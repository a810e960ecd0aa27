"""The process that stands for a worker: it sends each file it is told of through the real sandbox, and looks around afterwards.

python -m tests.fuzz.worker '{"sandbox": {...}}'     one JSON line on the standard input a file, one line back an answer
"""

from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from foundation.engine_settings import SandboxSettings
from foundation.errors import Failure
from foundation.settings import Settings
from tasks.vocabulary import FeatureVersion
from workers.cad.sandbox.nursery import ENGINE, Child, Nursery
from workers.cad.sandbox.sandbox import Sandbox

BOTH_WAYS = "tests.fuzz.agreement.extract"
CHUNK = 16  # files one child may read, as in a chunk of a job
_PR_SET_CHILD_SUBREAPER = 36


class Watched(Nursery):
    """A nursery that remembers how its children ended."""

    def __init__(self, settings: Settings, engine: str) -> None:
        super().__init__(settings, engine)
        self.ends: list[dict[str, Any]] = []

    def burial(self, child: Child, patience: float = 0.0) -> dict[str, Any]:
        end = super().burial(child, patience)
        self.ends.append(end)
        return end

    @property
    def pid(self) -> int:
        """The zygote; 0 when there is none."""
        return self._zygote.pid if self._zygote else 0

    def left_over(self) -> list[str]:
        """Files and processes that should be gone when no child lives."""
        if not self.pid:
            return []
        return [*(path.name for path in Path(self._directory).iterdir()), *(f"process {pid}" for pid in children(self.pid))]


class Station:
    """One engine: its zygote, and a sandbox for a chunk of files."""

    def __init__(self, settings: Settings, engine: str) -> None:
        self._nursery = Watched(settings, engine)
        self._nursery.burial(self._nursery.birth())  # so that no file waits for the engine to load
        self._box = Sandbox(self._nursery)
        self._files = 0

    def extract(self, path: Path, name: str, draw: bool) -> dict[str, Any]:
        """The answer, and all that can be seen from outside."""
        before, self._nursery.ends = self._nursery.pid, []
        started = time.monotonic()
        told: dict[str, Any] = {"code": "OK", "context": {}, "reader": "", "findings": []}
        try:
            result = self._box.extract(path, name, FeatureVersion.V4, draw).result
            told["reader"] = result["facts"].get("reader", "")
            told["findings"] = [finding["code"] for finding in result["findings"]]
        except Failure as failure:
            told["code"], told["context"] = failure.code, failure.context
        seconds = time.monotonic() - started
        json.dumps(told, allow_nan=False)
        self._files += 1
        if told["code"] != "OK" or self._files >= CHUNK:
            self.close_box()
        after, ends = self._nursery.pid, self._nursery.ends
        return told | {
            "seconds": seconds,
            "zygote_lost": bool(before) and before != after,
            "left_over": self._nursery.left_over() if self._box._child is None else [],
            "memory": max((end["memory"] for end in ends), default=0),
            "words": "".join(end["words"] for end in ends),
        }

    def close_box(self) -> None:
        self._box.close()
        self._files = 0

    def close(self) -> None:
        self._box.close()
        self._nursery.close()

    @property
    def pid(self) -> int:
        return self._nursery.pid


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def main() -> None:
    logging.disable(logging.WARNING)  # last words of children come with the answers
    # whatever escapes a zygote becomes a child of this process and is seen
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    settings = Settings(sandbox=SandboxSettings(**json.loads(sys.argv[1])["sandbox"]))
    stations = {engine: Station(settings, engine) for engine in (ENGINE, BOTH_WAYS)}
    for line in sys.stdin:
        asked = json.loads(line)
        station = stations[BOTH_WAYS if asked["both_ways"] else ENGINE]
        answer = station.extract(Path(asked["path"]), asked["name"], asked["draw"])
        strange = set(children(os.getpid())) - {one.pid for one in stations.values()}
        answer["left_over"] += [f"process {pid} escaped" for pid in strange]
        print(json.dumps(answer), flush=True)
    for station in stations.values():
        station.close()


if __name__ == "__main__":
    main()
