"""The sandbox: files are read and measured in a process of its own, behind walls, and what it answers is not believed unseen.

A `Sandbox` is one chunk's hold on one child. A child serves the files of one chunk, so of one tenant, and none after the first failure.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from foundation.errors import Failure
from foundation.telemetry import logger
from tasks.extraction import AS_THE_FILE_SAYS, UnitsAsked
from tasks.vocabulary import FeatureVersion
from workers.cad.sandbox import protocol
from workers.cad.sandbox.answers import accepted
from workers.cad.sandbox.nursery import Child, Nursery
from workers.cad.sandbox.protocol import HEADER, Question, Ready, UnitsSaid
from workers.features.extraction import Extraction

_LOOK = struct.pack("@ll", 0, 200_000)  # struct timeval: how often a wait looks whether it is still wanted
_LAST_BREATH_SECONDS = 2.0  # between closing its end and being dead
_PART_BYTES = 1 << 16
_SIGNALS = {number.value: number.name for number in signal.Signals}


class _Ended(Exception):
    """The child closed its end."""


class Sandbox:
    """One chunk's child, born at the first file. `wanted` is called while waiting; what it raises ends the child."""

    def __init__(self, nursery: Nursery, wanted: Callable[[], None] = lambda: None) -> None:
        self._nursery = nursery
        self._wanted = wanted
        self._child: Child | None = None

    def extract(
        self, path: Path, name: str, version: FeatureVersion, draw: bool = False, units: UnitsAsked = AS_THE_FILE_SAYS
    ) -> Extraction:
        """As the engine's own `extract`. Raises `Failure` besides: ENGINE_TIMEOUT, MEMORY_ERROR, ENGINE_CRASH, ENGINE_DEFECT,
        SANDBOX_UNAVAILABLE, and whatever `wanted` raises.
        """
        question = Question(name, version, draw, UnitsSaid(units.units, units.default_units))
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise Failure("FILE_MISSING") from error
        try:
            return accepted(self._asked(question, file), question)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the child, whatever it does."""
        child, self._child = self._child, None
        if child is not None:
            self._bury(child, 0.0)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _asked(self, question: Question, file: int) -> bytearray:
        """The child's answer; closes `file`. Raises `Failure` when there is none."""
        limits = self._nursery.limits
        try:
            return self._read(self._told(question, file), limits.wall_seconds)
        except TimeoutError as error:
            raise Failure("ENGINE_TIMEOUT", {"limit": "CADMILL_SANDBOX_WALL_SECONDS", "allowed": limits.wall_seconds}) from error
        except _Ended as error:
            raise self._judged() from error

    def _told(self, question: Question, file: int) -> Child:
        """The child that now has the question and the file. Raises `Failure`, _Ended, TimeoutError."""
        try:
            child = self._child or self._born()
            child.questions += 1
            handle = (socket.SOL_SOCKET, socket.SCM_RIGHTS, file.to_bytes(4, sys.byteorder))
            child.pipe.sendmsg([protocol.framed(child.questions, question)], [handle])
        except BrokenPipeError as error:  # it died since the last file
            raise _Ended from error
        except BlockingIOError as error:  # it has left too many questions unread
            raise TimeoutError from error
        finally:
            os.close(file)  # at once, not after the answer: the code that does it is still in the cache
        return child

    def _born(self) -> Child:
        seconds = self._nursery.limits.start_seconds
        self._child = self._nursery.birth()
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # the kernel counts: `settimeout` would poll before each call
            self._child.pipe.setsockopt(socket.SOL_SOCKET, option, _LOOK)
        try:
            match protocol.answer(self._read(self._child, seconds)):
                case Ready(missing):
                    self._nursery.warn(missing)
                    return self._child
                case _:
                    raise Failure("SANDBOX_UNAVAILABLE", {"reason": "the child did not say that it is ready"})
        except _Ended as error:
            raise Failure("SANDBOX_UNAVAILABLE", {"reason": "the child did not start"}) from error
        except TimeoutError as error:
            limit = {"limit": "CADMILL_SANDBOX_START_SECONDS", "allowed": seconds}
            raise Failure("SANDBOX_UNAVAILABLE", {"reason": "the child did not start in time", **limit}) from error

    def _read(self, child: Child, seconds: float) -> bytearray:
        """The body of the frame that answers the last question. Raises TimeoutError, _Ended, and ENGINE_DEFECT for any other frame."""
        end, frame = time.monotonic() + seconds, bytearray()
        while len(frame) < HEADER.size:
            frame += self._part(child, end)
        number, size = HEADER.unpack_from(frame)
        if size > self._nursery.limits.result_bytes:
            raise Failure("ENGINE_DEFECT", {"limit": "CADMILL_SANDBOX_RESULT_BYTES", "allowed": self._nursery.limits.result_bytes})
        while len(frame) < HEADER.size + size:
            frame += self._part(child, end)
        if number != child.questions or len(frame) != HEADER.size + size:
            raise Failure("ENGINE_DEFECT", {"reason": "the answer is not to the question, or more than one"})
        del frame[: HEADER.size]
        return frame

    def _part(self, child: Child, end: float) -> bytes:
        """What the child says next. Raises TimeoutError, _Ended."""
        while True:
            self._wanted()
            if time.monotonic() >= end:
                raise TimeoutError
            try:
                part = child.pipe.recv(_PART_BYTES)
            except BlockingIOError:  # nothing yet
                continue
            except ConnectionResetError:
                part = b""
            if not part:
                raise _Ended
            return part

    def _judged(self) -> Failure:
        """Why the child ended without an answer."""
        child, self._child = self._child, None
        limits = self._nursery.limits
        end = self._bury(child, _LAST_BREATH_SECONDS) if child else None
        if end is None:
            return Failure("SANDBOX_UNAVAILABLE", {"reason": "the zygote was lost"})
        status = int(end["status"])
        if status == -signal.SIGXCPU:
            return Failure("ENGINE_TIMEOUT", {"limit": "CADMILL_SANDBOX_CPU_SECONDS", "allowed": limits.cpu_seconds})
        # C++ aborts when memory ends, C often dies of a null pointer: only the last words, or how full it was, tell this from a crash
        full = end["memory"] > limits.memory_bytes / 2
        if status < 0 and (full or any(word in end["words"] for word in ("bad_alloc", "MemoryError", "annot allocate memory"))):
            return Failure("MEMORY_ERROR", {"limit": "CADMILL_SANDBOX_MEMORY_BYTES", "allowed": limits.memory_bytes})
        if status < 0:
            return Failure("ENGINE_CRASH", {"signal": _SIGNALS.get(-status, str(-status))})
        return Failure("ENGINE_DEFECT", {"reason": "no answer", "exit": status})

    def _bury(self, child: Child, patience: float) -> dict[str, Any] | None:
        try:
            end = self._nursery.burial(child, patience)
        except Failure as failure:
            logger.warning("the zygote was lost: %s", failure)
            return None
        if end["words"]:
            logger.warning("last words of the engine, which may be a stranger's: %r", end["words"])
        return end
