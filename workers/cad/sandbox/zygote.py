"""The zygote: loads the engine once, in a process that knows no secret, and forks from itself the children that read files.

It is started by exec with an empty environment, never forked from a worker, which holds database connections and keys. The worker
asks for a birth or a burial on a socket; when that socket closes, the worker is gone and the zygote ends, its children with it.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from foundation.engine_settings import CadSettings, SandboxSettings
from foundation.errors import Failure
from foundation.settings import forget_environment
from tasks.extraction import UnitsAsked
from tasks.vocabulary import FeatureVersion, LengthUnit
from workers.cad.brep.kernel import need_kernel
from workers.cad.preview.previews import Previews
from workers.cad.sandbox import protocol, walls
from workers.cad.sandbox.protocol import HEADER, Question

_ROOT = Path(__file__).parents[3]
# what readers load only when a file asks for it: a child would load it anew in every chunk, if its user may read it at all
_CODE_PAGES = ("cp874", "cp932", "gbk", "cp949", "cp950", *(f"cp{number}" for number in range(1250, 1259)), "utf_8_sig", "utf_16")
_PRELOADED = ("ezdxf.filemanagement", "ezdxf.recover", "numpy.ma", *(f"encodings.{page}" for page in _CODE_PAGES))
_READABLE = [
    *(Path(place) for place in ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", sys.prefix, sys.base_prefix)),
    *(_ROOT / folder for folder in ("foundation", "tasks", "workers")),
]
_SINGLE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # read while loading: a process with threads must not fork
_CHANNEL = 3
_COPY_BYTES = 1 << 20
_QUESTION_BYTES = 1 << 14
_HANDLE_SPACE = socket.CMSG_LEN(4 * protocol.MOST_QUESTIONS)
_LAST_WORDS = 4000
_LIMITS = {errno.EFBIG: "file_bytes", errno.EMFILE: "open_files", errno.EAGAIN: "processes"}  # what the kernel says when one is reached


class Extracted(Protocol):
    """What an engine answers."""

    result: dict[str, Any]
    previews: Previews | None


Engine = Callable[[Path, str, FeatureVersion, CadSettings, bool, UnitsAsked], Extracted]


@dataclass(slots=True)
class _Child:
    folder: str
    words: IO[bytes]  # what it printed: the only trace that a crash leaves


@dataclass(frozen=True, slots=True)
class _Orders:
    """What the worker wants of every child."""

    engine: Engine
    limits: SandboxSettings
    cad: CadSettings
    directory: str


def main(told: str) -> None:
    """Serve births and burials until the worker is gone."""
    gc.disable()  # while all is loaded and nothing is garbage, collections are a fifth of the time
    words = json.loads(told)
    orders = _Orders(_loaded(words["engine"]), SandboxSettings(**words["sandbox"]), CadSettings(**words["cad"]), words["directory"])
    forget_environment()
    os.umask(0o077)
    gc.enable()
    gc.freeze()  # children share these pages as long as nobody counts through them
    control, children = socket.socket(fileno=words["control"]), dict[int, _Child]()
    while True:
        message, handles, _, _ = socket.recv_fds(control, 4096, 1)
        if not message:
            break
        order = json.loads(message)
        if handles:
            pid, child = _birth(orders, handles[0])
            children[pid] = child
            answer: dict[str, Any] = {"pid": pid}
        else:
            answer = _burial(order["pid"], children.pop(order["pid"]), order["patience"])
        control.send(json.dumps(answer).encode())
    for pid, child in children.items():
        _burial(pid, child, 0)
    shutil.rmtree(orders.directory, ignore_errors=True)  # the worker does this too, unless it was killed


def _loaded(dotted: str) -> Engine:
    for variable in _SINGLE_THREAD:
        os.putenv(variable, "1")
    module, _, name = dotted.rpartition(".")
    engine: Engine = getattr(importlib.import_module(module), name)
    for preloaded in _PRELOADED:
        importlib.import_module(preloaded)
    with contextlib.suppress(Failure):  # each file that needs the kernel tells what is missing
        need_kernel()
        importlib.import_module("workers.cad.brep.rehearsal").rehearse()  # loaded only after the kernel
    for variable in _SINGLE_THREAD:
        os.unsetenv(variable)
    return engine


def _birth(orders: _Orders, channel: int) -> tuple[int, _Child]:
    folder = tempfile.mkdtemp(dir=orders.directory)
    handle, name = tempfile.mkstemp(dir=folder)
    os.unlink(name)
    child, parent = _Child(folder, os.fdopen(handle, "w+b")), os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(orders, channel, child, parent)
    os.close(channel)
    return pid, child


def _burial(pid: int, child: _Child, patience: float) -> dict[str, Any]:
    """The end of a child: how it ended if it does so within `patience` seconds, by force if not; nothing of it stays."""
    end = time.monotonic() + patience
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None and time.monotonic() < end:
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):  # no group yet if it was only just born
        os.killpg(pid, signal.SIGKILL)  # before it is reaped: until then the number is its own
    os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    with child.words as words:
        words.seek(max(0, words.seek(0, os.SEEK_END) - _LAST_WORDS))
        last = words.read(_LAST_WORDS).decode(errors="replace")
    shutil.rmtree(child.folder, ignore_errors=True)
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # what it was born with is not what it took
    taken = max(0, used.ru_maxrss - inherited) * 1024
    return {"status": os.waitstatus_to_exitcode(status), "memory": taken, "words": last}


def _live(orders: _Orders, channel: int, child: _Child, parent: int) -> NoReturn:
    """The whole life of a child. It leaves by os._exit: what the zygote would do at its end is not the child's to do."""
    status = 1
    try:
        os.setsid()
        walls.die_with_parent(parent)
        nothing = os.open(os.devnull, os.O_RDONLY)
        words = os.dup(child.words.fileno())
        for handle, place in ((nothing, 0), (words, 1), (words, 2), (os.dup(channel), _CHANNEL)):
            os.dup2(handle, place, inheritable=False)
        os.closerange(_CHANNEL + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        faulthandler.enable(2)
        os.chdir(child.folder)
        copy = os.memfd_create("input")
        walls.limit(orders.limits)
        missing = walls.enclose([Path(child.folder), *_READABLE])
        _send(protocol.framed(0, protocol.ready(missing)))
        _serve(orders, copy)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is must not reach the code of the zygote
        traceback.print_exc()
    finally:
        os._exit(status)


def _serve(orders: _Orders, copy: int) -> None:
    """One file after the other, as long as somebody asks and up to the first failure. Each is copied into `copy`: readers want a name, and
    the store stays shut. Answers wait for each other as long as there are questions."""
    path, used = Path(f"/proc/self/fd/{copy}"), -1
    heard, files, answers = bytearray(), deque[int](), bytearray()
    with socket.socket(fileno=_CHANNEL) as channel:
        while True:
            asked = _question(heard)
            if asked is None:
                _send(answers)
                answers.clear()
                if not _receive(channel, heard, files):
                    return
                continue
            used = walls.limit_cpu(orders.limits.cpu_seconds, used)
            answer, failed = _answer(orders, *asked, files.popleft(), copy, path)
            answers += answer
            if failed:
                _send(answers)
                return


def _question(heard: bytearray) -> tuple[int, Question] | None:
    """The number of the next question and the question, taken off what was heard; None if that holds no whole one."""
    if len(heard) < HEADER.size:
        return None
    number, size = HEADER.unpack_from(heard)
    if len(heard) < HEADER.size + size:
        return None
    question = protocol.question(heard[HEADER.size : HEADER.size + size])
    del heard[: HEADER.size + size]
    return number, question


def _receive(channel: socket.socket, heard: bytearray, files: deque[int]) -> bool:
    """Wait for more of questions, and for the files they speak of. False: nobody asks any more."""
    part, came, _, _ = channel.recvmsg(_QUESTION_BYTES, _HANDLE_SPACE)
    heard += part
    for _, _, data in came:
        files.extend(array("i", data))
    return bool(part)


def _answer(orders: _Orders, number: int, asked: Question, file: int, copy: int, path: Path) -> tuple[bytearray, bool]:
    """The answer, and whether it tells of a failure."""
    try:
        _copied(file, copy)
        units = _units(asked.units.units, asked.units.default_units)
        extracted = orders.engine(path, asked.name, asked.version, orders.cad, asked.draw, units)
        drawn = extracted.previews.files if extracted.previews else {}
        return protocol.framed(number, protocol.extracted(extracted.result, drawn)), False
    except Failure as failure:
        told = protocol.failed(failure.code, failure.context)
    except MemoryError:
        told = protocol.failed("MEMORY_ERROR", {"limit": "CADMILL_SANDBOX_MEMORY_BYTES", "allowed": orders.limits.memory_bytes})
    except Exception as error:  # noqa: BLE001 - a defect of ours is told, with what is needed to mend it
        limit = _LIMITS.get(error.errno or 0) if isinstance(error, OSError) else None
        if limit:
            allowed = getattr(orders.limits, limit)
            told = protocol.failed("CAD_LIMIT", {"limit": f"CADMILL_SANDBOX_{limit.upper()}", "allowed": allowed})
        else:
            traceback.print_exc()
            told = protocol.failed("ENGINE_DEFECT", {"reason": type(error).__name__})
    return protocol.framed(number, told), True


@cache
def _units(units: LengthUnit | None, default_units: LengthUnit | None) -> UnitsAsked:
    """Those of a chunk are the same for all its files."""
    return UnitsAsked(units=units, default_units=default_units)


def _copied(file: int, copy: int) -> None:
    """Make `copy` what `file` is, over what it was: pages that stay need not be made anew. Closes `file`."""
    try:
        os.lseek(copy, 0, os.SEEK_SET)
        size = 0
        while part := os.sendfile(copy, file, None, _COPY_BYTES):
            size += part
        os.ftruncate(copy, size)
    finally:
        os.close(file)


def _send(frame: bytearray) -> None:
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(_CHANNEL, rest) :]
