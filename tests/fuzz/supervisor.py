"""The campaign's hold on its worker: asks, waits for an answer in time, and starts another when one is lost."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from foundation.engine_settings import SandboxSettings
from tests.fuzz.corpus import TESTS, Mutant
from tests.fuzz.judge import Answer, Look

# beyond what one file may take: starting an engine, and a machine that is busy
_PATIENCE = 60.0


class Supervisor:
    """One worker at a time, its folder, and how to ask it."""

    def __init__(self, limits: SandboxSettings) -> None:
        self.limits = limits
        self._folder = tempfile.TemporaryDirectory(prefix="cadmill-fuzz-")
        self._log = Path(self._folder.name, "worker.log")
        self._worker: subprocess.Popen[bytes] | None = None

    def answer(self, mutant: Mutant, look: Look) -> Answer:
        """What the worker says to the mutant, or that it died or fell silent, which ends it."""
        path = Path(self._folder.name, "mutant")
        path.write_bytes(mutant.data)
        asked = {"path": str(path), "name": mutant.name if look.named else "", "draw": look.draw, "both_ways": look.both_ways}
        worker = self._worker or self._start()
        assert worker.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died since the last file: reading finds out
            worker.stdin.write(json.dumps(asked).encode() + b"\n")
            worker.stdin.flush()
        told = self._read(worker)
        if told is None:
            end = worker.poll()
            self._end()
            return Answer("WORKER_DEATH", {"exit": end}, words=self._last_words())
        return Answer(**told)

    def close(self) -> None:
        if self._worker is not None and self._worker.stdin is not None:
            self._worker.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._worker.wait(10)
        self._end()
        self._folder.cleanup()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        boxes = Path(self._folder.name, "boxes")
        boxes.mkdir(exist_ok=True)
        argv = [sys.executable, "-m", "tests.fuzz.worker", json.dumps({"sandbox": self.limits.model_dump(mode="json")})]
        variables = {**os.environ, "TMPDIR": str(boxes)}
        with self._log.open("ab") as log:
            self._worker = subprocess.Popen(
                argv, cwd=TESTS.parent, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        return self._worker

    def _read(self, worker: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        """One line, None if it does not come."""
        assert worker.stdout is not None
        line, handle = b"", worker.stdout.fileno()
        with selectors.DefaultSelector() as selector:
            selector.register(handle, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(self.limits.wall_seconds + _PATIENCE):
                    return None
                part = os.read(handle, 1 << 16)
                if not part:
                    return None
                line += part
        return dict(json.loads(line))

    def _end(self) -> None:
        worker, self._worker = self._worker, None
        if worker is None:
            return
        worker.kill()
        worker.wait()
        for stream in (worker.stdin, worker.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _last_words(self) -> str:
        return self._log.read_bytes()[-4000:].decode(errors="replace")
