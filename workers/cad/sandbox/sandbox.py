"""The sandbox: files are read and measured in a process of its own, behind walls, and what it answers is not believed unseen.

A `Sandbox` is one chunk's hold on one child. A child serves files of one job, so of one tenant, and none after the first failure.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from array import array
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

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
_AHEAD_SECONDS = 0.05  # that files asked for together take
_MOST_OF_A_CHILD = 1_000  # files, of more chunks than one: what libraries leave in memory must not add up to the limit
_PATIENCE_SECONDS = 2.0  # with files asked for together; whoever is slow is then waited for alone
_SIGNALS = {number.value: number.name for number in signal.Signals}


class _Ended(Exception):
    """The child closed its end."""


class Reading(NamedTuple):
    """A file, what its owner calls it, and what is wanted of it."""

    path: Path
    name: str
    version: FeatureVersion
    draw: bool = False
    units: UnitsAsked = AS_THE_FILE_SAYS

    @property
    def question(self) -> Question:
        return Question(self.name, self.version, self.draw, UnitsSaid(self.units.units, self.units.default_units))


class Sandbox:
    """One chunk's child, born at the first file, or the one that served the last chunk of the same job here. `wanted` is called while
    waiting; what it raises ends the child.

    Where it is told which files are `expected`, in their order, some small ones are read ahead: a child that is asked for one at a time
    wakes its worker for each, and both find the processor's caches full of the other's.
    """

    def __init__(
        self, nursery: Nursery, wanted: Callable[[], None] = lambda: None, expected: Iterable[Reading] = (), job_id: str = ""
    ) -> None:
        self._nursery = nursery
        self._job_id = job_id  # empty: the child ends with the chunk
        self._wanted = wanted
        self._expected = deque(expected)
        self._answers = deque[tuple[Reading, Extraction | Failure]]()  # to the file at hand and those that were read ahead
        self._alone = 0  # how many are to be asked for one at a time, because one of them did no good to the others
        self._child: Child | None = None

    def extract(
        self, path: Path, name: str, version: FeatureVersion, draw: bool = False, units: UnitsAsked = AS_THE_FILE_SAYS
    ) -> Extraction:
        """As the engine's own `extract`. Raises `Failure` besides: ENGINE_TIMEOUT, MEMORY_ERROR, ENGINE_CRASH, ENGINE_DEFECT,
        SANDBOX_UNAVAILABLE, and whatever `wanted` raises.
        """
        asked = Reading(path, name, version, draw, units)
        if not self._answers or self._answers[0][0] != asked:
            self._answers = deque(self._read(asked))
        _, told = self._answers.popleft()
        if isinstance(told, Failure):
            raise told
        return told

    def close(self) -> None:
        """End the child, whatever it does."""
        child, self._child = self._child, None
        if child is not None:
            self._bury(child, 0.0)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._child is not None and error is None and self._job_id and self._child.questions < _MOST_OF_A_CHILD:
            self._nursery.rest(self._child, self._job_id)
            self._child = None
        self.close()

    def _read(self, asked: Reading) -> list[tuple[Reading, Extraction | Failure]]:
        """The answer to `asked`, and those to files that follow it. Raises `Failure`."""
        together, files = self._opened(asked)
        started, limits = time.monotonic(), self._nursery.limits
        try:
            told = self._told(together, files, limits.wall_seconds if len(together) == 1 else min(limits.wall_seconds, _PATIENCE_SECONDS))
            if self._child is not None:
                self._child.ahead = max(1, min(protocol.MOST_QUESTIONS, int(_AHEAD_SECONDS * len(told) / (time.monotonic() - started))))
            return list(zip(together, told, strict=False))
        except (TimeoutError, _Ended, Failure) as error:
            if len(together) > 1:
                self.close()
                self._alone = len(together)
                self._expected.appendleft(asked)
                return self._read(asked)
            failure = self._judged(error)
            self.close()
            raise failure from error
        except BaseException:
            self.close()
            raise

    def _opened(self, asked: Reading) -> tuple[list[Reading], list[int]]:
        """What is asked for together, and its files. Raises FILE_MISSING for the first one."""
        while self._expected and self._expected.popleft() != asked:
            pass  # answered in another way, or not at all
        together, files = list[Reading](), list[int]()
        most = 1 if self._alone or self._child is None else self._child.ahead
        self._alone = max(0, self._alone - 1)
        try:
            for one in (asked, *islice(self._expected, most - 1)):
                files.append(os.open(one.path, os.O_RDONLY | os.O_CLOEXEC))
                together.append(one)
        except OSError as error:
            if not together:
                if isinstance(error, FileNotFoundError):
                    raise Failure("FILE_MISSING") from error
                raise
        return together, files

    def _told(self, together: Sequence[Reading], files: Sequence[int], seconds: float) -> list[Extraction | Failure]:
        """The child's answers up to the first failure, which is its end. Closes `files`. Raises `Failure`, _Ended, TimeoutError."""
        questions = [one.question for one in together]
        child = self._ask(questions, files)
        heard, end, told = bytearray(), time.monotonic() + seconds, list[Extraction | Failure]()
        for number, question in enumerate(questions, child.questions - len(questions) + 1):
            body = self._frame(child, number, heard, end)
            if number == child.questions and heard:
                raise Failure("ENGINE_DEFECT", {"reason": "more than one answer"})
            try:
                told.append(accepted(body, question))
            except Failure as failure:
                self.close()
                told.append(failure)
                break
        return told

    def _ask(self, questions: Sequence[Question], files: Sequence[int]) -> Child:
        """The child that now has the questions and the files. Raises `Failure`, _Ended, TimeoutError."""
        try:
            child = self._child or self._born()
            frames = [protocol.framed(number, question) for number, question in enumerate(questions, child.questions + 1)]
            child.questions += len(questions)
            child.pipe.sendmsg(frames, [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", files))])
        except BrokenPipeError as error:  # it died since the last file
            raise _Ended from error
        except BlockingIOError as error:  # it has left too many questions unread
            raise TimeoutError from error
        finally:
            for file in files:
                os.close(file)  # at once, not after the answer: the code that does it is still in the cache
        return child

    def _born(self) -> Child:
        if self._job_id and (rested := self._nursery.rested(self._job_id)):
            self._child = rested
            return rested
        seconds = self._nursery.limits.start_seconds
        self._child = self._nursery.birth()
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):  # the kernel counts: `settimeout` would poll before each call
            self._child.pipe.setsockopt(socket.SOL_SOCKET, option, _LOOK)
        try:
            match protocol.answer(self._frame(self._child, 0, bytearray(), time.monotonic() + seconds)):
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

    def _frame(self, child: Child, wanted: int, heard: bytearray, end: float) -> bytearray:
        """The body of the frame that answers a question, taken off what was heard. Raises TimeoutError, _Ended, and ENGINE_DEFECT for any
        other frame."""
        while len(heard) < HEADER.size:
            heard += self._part(child, end)
        number, size = HEADER.unpack_from(heard)
        if size > self._nursery.limits.result_bytes:
            raise Failure("ENGINE_DEFECT", {"limit": "CADMILL_SANDBOX_RESULT_BYTES", "allowed": self._nursery.limits.result_bytes})
        if number != wanted:
            raise Failure("ENGINE_DEFECT", {"reason": "the answer is not to the question"})
        while len(heard) < HEADER.size + size:
            heard += self._part(child, end)
        body = heard[HEADER.size : HEADER.size + size]
        del heard[: HEADER.size + size]
        return body

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

    def _judged(self, error: TimeoutError | _Ended | Failure) -> Failure:
        """Why there was no answer."""
        limits = self._nursery.limits
        if isinstance(error, Failure):
            return error
        if isinstance(error, TimeoutError):
            return Failure("ENGINE_TIMEOUT", {"limit": "CADMILL_SANDBOX_WALL_SECONDS", "allowed": limits.wall_seconds})
        child, self._child = self._child, None
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
