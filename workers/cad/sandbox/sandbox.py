"""The sandbox: files are read and measured in a process of its own, behind walls, and what it answers is not believed unseen.

A `Sandbox` is one chunk's hold on one child. A child serves the files of one chunk, so of one tenant, and none after the first failure.
"""

from __future__ import annotations

import contextlib
import json
import math
import selectors
import signal
import socket
import struct
import time
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from foundation.errors import CODES, Failure, Stage
from foundation.telemetry import logger
from ledger.previews import KINDS, SVG
from tasks.extraction import AS_THE_FILE_SAYS, ExtractionAnswer, UnitsAsked
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.cad.preview.previews import Previews
from workers.cad.sandbox.nursery import Child, Nursery
from workers.features.extraction import ENGINE_BUILD, Extraction

_LOOK_SECONDS = 0.2  # how often a wait looks whether it is still wanted
_LAST_BREATH_SECONDS = 2.0  # between closing its end and being dead
_CONTEXT_LETTERS = 4000
_LARGEST_INTEGER = 2**63
_PNG, _SVG = b"\x89PNG\r\n\x1a\n", b"<svg "
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
        try:
            file = path.open("rb")
        except FileNotFoundError as error:
            raise Failure("FILE_MISSING") from error
        request = (
            json.dumps({"name": name, "version": version.value, "draw": draw, "units": units.model_dump(mode="json")}).encode() + b"\n"
        )
        try:
            with file:
                return accepted(self._asked(request, file.fileno()), version, units)
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

    def _asked(self, request: bytes, handle: int) -> bytes:
        """The child's answer. Raises `Failure` when there is none."""
        try:
            child = self._child or self._born()
            with contextlib.suppress(BrokenPipeError):  # it died since the last file: reading finds out
                socket.send_fds(child.pipe, [request], [handle])
            return self._read(child, self._nursery.limits.wall_seconds)
        except TimeoutError as error:
            raise Failure(
                "ENGINE_TIMEOUT", {"limit": "CADMILL_SANDBOX_WALL_SECONDS", "allowed": self._nursery.limits.wall_seconds}
            ) from error
        except _Ended as error:
            raise self._judged() from error

    def _born(self) -> Child:
        self._child = self._nursery.birth()
        try:
            self._nursery.warn(json.loads(self._read(self._child, self._nursery.limits.start_seconds))["ready"])
        except (_Ended, TimeoutError) as error:
            raise Failure("SANDBOX_UNAVAILABLE", {"reason": "the child did not start"}) from error
        return self._child

    def _read(self, child: Child, seconds: float) -> bytes:
        """One line of the child's. Raises TimeoutError, _Ended, ENGINE_DEFECT for a line that is too long."""
        end, line = time.monotonic() + seconds, bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(child.pipe, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                self._wanted()
                left = end - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                if not selector.select(min(left, _LOOK_SECONDS)):
                    continue
                try:
                    part = child.pipe.recv(1 << 18)
                except ConnectionResetError:
                    part = b""
                if not part:
                    raise _Ended
                line += part
                if len(line) > self._nursery.limits.result_bytes:
                    raise Failure("ENGINE_DEFECT", {"limit": "CADMILL_SANDBOX_RESULT_BYTES", "allowed": self._nursery.limits.result_bytes})
        return bytes(line)

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


def accepted(line: bytes, version: FeatureVersion, units: UnitsAsked = AS_THE_FILE_SAYS) -> Extraction:
    """What a child answered, if it can be an answer. Raises the `Failure` it tells, or ENGINE_DEFECT."""
    try:
        told = json.loads(line)
        _check(told)
        if "failure" in told:
            raise _failure(told["failure"])
        return _extraction(told["result"], version, units, _previews(told["previews"]))
    except (ValueError, KeyError, TypeError, OverflowError, struct.error, RecursionError) as error:
        logger.warning("the engine's answer is refused: %s", type(error).__name__ if isinstance(error, ValidationError) else error)
        raise Failure("ENGINE_DEFECT", {"reason": "the answer has not the form of one"}) from error


def _check(value: Any) -> None:
    """Raise ValueError for what JSON, the ledger or a client could not carry on."""
    match value:
        case str():
            if "\0" in value:
                raise ValueError("a text holds NUL")
            value.encode()
        case float():
            if not math.isfinite(value):
                raise ValueError("a number is not finite")
        case int():
            if not -_LARGEST_INTEGER <= value < _LARGEST_INTEGER:
                raise ValueError("an integer is too large")
        case list():
            for one in value:
                _check(one)
        case dict():
            for key, one in value.items():
                _check(key)
                _check(one)


def _failure(told: dict[str, Any]) -> Failure:
    code, context = told["code"], told["context"]
    row = CODES[code]
    if row.stage not in (Stage.READ, Stage.FEATURES) or row.retryable:
        raise ValueError("a file cannot fail like that")
    if not isinstance(context, dict) or len(json.dumps(context)) > _CONTEXT_LETTERS:
        raise ValueError("the context is too long")
    return Failure(code, context)


def _previews(told: dict[str, str]) -> Previews | None:
    """Pictures that can be pictures: all kinds or none, each beginning as its kind does."""
    if not told:
        return None
    files = {kind: b64decode(text, validate=True) for kind, text in told.items()}
    if set(files) != set(KINDS) or not all(data.startswith(_SVG if kind == SVG else _PNG) for kind, data in files.items()):
        raise ValueError("a preview is not a picture")
    return Previews(files)


def _extraction(result: dict[str, Any], wanted: FeatureVersion, units: UnitsAsked, drawn: Previews | None) -> Extraction:
    answer = ExtractionAnswer.model_validate(result)
    if answer.model_dump(mode="json") != result:
        raise ValueError("a field has not its type")
    family, version, vector = Family(answer.family), answer.feature_version, answer.vector
    if answer.engine_build != ENGINE_BUILD or answer.units_asked != units:
        raise ValueError("the answer is not to this question")
    names, slots, missing = slot_names(family, wanted), answer.slots, answer.missing_slots
    if sorted([*slots, *missing]) != sorted(names) or version.width > wanted.width or missing.keys() & slot_names(family, version):
        raise ValueError("the slots are not those of the version")
    if (version is wanted) == bool(missing) or vector != [slots[name] for name in names[: version.width]]:
        raise ValueError("the vector has not the width of its version, or its slots say otherwise")
    if struct.unpack(f"<{len(vector)}f", struct.pack(f"<{len(vector)}f", *vector)) != tuple(vector):
        raise ValueError("a slot is not what the ledger can hold")
    return Extraction(family, version, vector, result, drawn)
