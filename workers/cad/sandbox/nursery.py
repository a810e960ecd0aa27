"""The worker's hold on its zygote. Loads nothing native itself: a worker that only delivers webhooks owns one and never starts it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from foundation.errors import Failure
from foundation.resilience.protection import Refused, guard
from foundation.settings import Settings
from foundation.telemetry import logger

ENGINE = "workers.features.extraction.extract"
"""Where the zygote finds what its children do."""

_ROOT = Path(__file__).parents[3]
_REST_SECONDS = 5.0  # how long a child waits for the next chunk of its job
_LAST_BREATH_SECONDS = 2.0  # the zygote ends by itself when its socket closes


class Child:
    """A living child: its number, the worker's end of its pipe, the zygote that bore it, how many questions it was asked, and how many
    of those that come are to be asked together."""

    def __init__(self, pid: int, pipe: socket.socket, zygote: socket.socket) -> None:
        self.pid = pid
        self.pipe = pipe
        self.zygote = zygote
        self.questions = 0
        self.ahead = 1

    def waits(self) -> bool:
        """Whether it is there and says nothing unasked."""
        try:
            self.pipe.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


class Nursery:
    """The zygote of this process, started when first needed and again when it was lost. Threads may share it."""

    def __init__(self, settings: Settings, engine: str = ENGINE) -> None:
        self.limits = settings.sandbox
        self._cad = settings.cad
        self._engine = engine
        self._lock = threading.Lock()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._directory = ""
        self._warned = False
        self._resting: tuple[str, float, Child] | None = None  # of which job, since when

    def start(self) -> None:
        """Begin to load the engine, if that has not begun; does not wait for it."""
        with self._lock:
            self._started()

    def _started(self) -> socket.socket:
        if self._control is not None:
            return self._control
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(self.limits.start_seconds)
        self._directory = tempfile.mkdtemp(prefix="cadmill-")
        orders = {
            "control": theirs.fileno(),
            "engine": self._engine,
            "directory": self._directory,
            "sandbox": self.limits.model_dump(mode="json"),
            "cad": self._cad.model_dump(mode="json"),
        }
        program = "import sys; sys.path.insert(0, sys.argv[1]); from workers.cad.sandbox.zygote import main; main(sys.argv[2])"
        argv = [sys.executable, "-I", "-X", "utf8", "-c", program, str(_ROOT), json.dumps(orders)]
        with theirs:
            self._zygote = subprocess.Popen(
                argv, cwd="/", env={}, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        self._control = ours
        return ours

    def birth(self) -> Child:
        """A new child. Raises SANDBOX_UNAVAILABLE."""
        try:
            with guard("sandbox"):
                return self._birth()
        except Refused as refused:
            raise Failure("SANDBOX_UNAVAILABLE", {"reason": refused.code}) from refused

    def _birth(self) -> Child:
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._lock:
                zygote = self._started()
                return Child(self._told(zygote, {}, theirs)["pid"], ours, zygote)
        except BaseException:
            ours.close()
            raise

    def burial(self, child: Child, patience: float = 0.0) -> dict[str, Any]:
        """How the child ended by itself within `patience` seconds, or by force; it and its folder are gone then.

        Raises SANDBOX_UNAVAILABLE when its zygote is gone, and it with that."""
        with child.pipe, self._lock:
            if child.zygote is not self._control:
                raise Failure("SANDBOX_UNAVAILABLE", {"reason": "the zygote was lost"})
            return self._told(child.zygote, {"pid": child.pid, "patience": patience})

    def rest(self, child: Child, job_id: str) -> None:
        """Keep a child that failed nothing for the next chunk of the same job: birth and end take as long as some files. Only one rests."""
        with self._lock:
            before, self._resting = self._resting, (job_id, time.monotonic(), child)
        self._bury(before)

    def rested(self, job_id: str) -> Child | None:
        """The child that rests, if it is of this job and well; any other one ends."""
        with self._lock:
            resting, self._resting = self._resting, None
        if resting is not None and resting[0] == job_id and resting[2].waits():
            return resting[2]
        self._bury(resting)
        return None

    def tidy(self) -> None:
        """End a child that nothing came for."""
        with self._lock:
            resting = self._resting
            if resting is None or time.monotonic() - resting[1] < _REST_SECONDS:
                return
            self._resting = None
        self._bury(resting)

    def _bury(self, resting: tuple[str, float, Child] | None) -> None:
        if resting is not None:
            try:
                self.burial(resting[2])
            except Failure as failure:
                logger.warning("the zygote of a resting child was lost: %s", failure)

    def warn(self, missing: list[str]) -> None:
        """Say it once, if the kernel does not build every wall."""
        if missing and not self._warned:
            logger.warning("files are read with fewer walls than they should be; missing: %s", "; ".join(missing))
            self._warned = True

    def close(self) -> None:
        """End the zygote; its children end with it."""
        with self._lock:
            self._close()

    def _told(self, zygote: socket.socket, order: dict[str, Any], handle: socket.socket | None = None) -> dict[str, Any]:
        try:
            socket.send_fds(zygote, [json.dumps(order).encode()], [handle.fileno()] if handle else [])
            answer = zygote.recv(65536)
            if not answer:
                raise ConnectionResetError
            return dict(json.loads(answer))
        except OSError as error:
            self._close()
            raise Failure("SANDBOX_UNAVAILABLE", {"reason": type(error).__name__}) from error
        except BaseException:
            self._close()  # interrupted between question and answer: the next answer would be to this question
            raise

    def _close(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._zygote is not None:
            try:
                self._zygote.wait(_LAST_BREATH_SECONDS)
            except subprocess.TimeoutExpired:
                self._zygote.kill()
                self._zygote.wait()
            self._zygote = None
            shutil.rmtree(self._directory, ignore_errors=True)  # the zygote does this too, if it lives longer than its worker
