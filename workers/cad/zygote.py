"""The zygote: loads the engine once, in a process that knows no secret, and forks from itself the children that read files.

It is started by exec with an empty environment, never forked from a worker, which holds database connections and keys. The worker
asks for a birth or a burial on a socket; when that socket closes, the worker is gone and the zygote ends, its children with it.
"""

from __future__ import annotations

import array
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
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from foundation.errors import Failure
from foundation.settings import CadSettings, SandboxSettings, forget_environment
from tasks.vocabulary import FeatureVersion
from workers.cad import walls

_ROOT = Path(__file__).parents[2]
# what readers would load at the first file; a child may read these places, but it is slower there, once a chunk
_PRELOADED = ("ezdxf", "ezdxf.filemanagement", "ezdxf.recover")
_READABLE = [
    *(Path(place) for place in ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", sys.prefix, sys.base_prefix)),
    *(_ROOT / folder for folder in ("foundation", "tasks", "workers")),
]
_CHANNEL = 3
_COPY_BYTES = 1 << 20
_LAST_WORDS = 4000


class Extracted(Protocol):
    """What an engine answers."""

    result: dict[str, Any]


Engine = Callable[[Path, str, FeatureVersion, CadSettings], Extracted]


@dataclass(slots=True)
class _Child:
    folder: str
    words: IO[bytes]  # what it printed: the only trace that a crash leaves


def main(told: str) -> None:
    """Serve births and burials until the worker is gone."""
    orders = json.loads(told)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read while loading: a process with threads must not fork
        os.putenv(variable, "1")
    module, _, name = orders["engine"].rpartition(".")
    engine: Engine = getattr(importlib.import_module(module), name)
    for preloaded in _PRELOADED:
        importlib.import_module(preloaded)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.unsetenv(variable)
    forget_environment()
    os.umask(0o077)
    gc.freeze()  # children share these pages as long as nobody counts through them
    limits, cad = SandboxSettings(**orders["sandbox"]), CadSettings(**orders["cad"])
    control, children = socket.socket(fileno=orders["control"]), dict[int, _Child]()
    while True:
        message, handles, _, _ = socket.recv_fds(control, 4096, 1)
        if not message:
            break
        order = json.loads(message)
        if handles:
            pid, child = _birth(engine, limits, cad, handles[0], orders["directory"])
            children[pid] = child
            answer: dict[str, Any] = {"pid": pid}
        else:
            answer = _burial(order["pid"], children.pop(order["pid"]), order["patience"])
        control.send(json.dumps(answer).encode())
    for pid, child in children.items():
        _burial(pid, child, 0)


def _birth(engine: Engine, limits: SandboxSettings, cad: CadSettings, channel: int, directory: str) -> tuple[int, _Child]:
    folder = tempfile.mkdtemp(prefix="cadmill-", dir=directory)
    handle, name = tempfile.mkstemp(dir=folder)
    os.unlink(name)
    child, parent = _Child(folder, os.fdopen(handle, "w+b")), os.getpid()
    pid = os.fork()
    if pid == 0:
        _live(engine, limits, cad, channel, child, parent)
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
    return {"status": os.waitstatus_to_exitcode(status), "memory": used.ru_maxrss * 1024, "words": last}


def _live(engine: Engine, limits: SandboxSettings, cad: CadSettings, channel: int, child: _Child, parent: int) -> NoReturn:
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
        walls.limit(limits)
        missing = walls.enclose(Path(child.folder), _READABLE)
        _send({"ready": missing})
        _serve(engine, limits, cad)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is must not reach the code of the zygote
        traceback.print_exc()
    finally:
        os._exit(status)


def _serve(engine: Engine, limits: SandboxSettings, cad: CadSettings) -> None:
    """One file after the other, as long as somebody asks."""
    with socket.socket(fileno=_CHANNEL) as channel:
        while True:
            message, handles = _receive(channel)
            if not message:
                return
            walls.limit_cpu(limits.cpu_seconds)
            asked = json.loads(message)
            _send(_answer(engine, asked["name"], FeatureVersion(asked["version"]), cad, handles[0], limits))


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """One line and the file it speaks of."""
    handles = array.array("i")
    message = b""
    while not message.endswith(b"\n"):
        part, came, _, _ = socket.recv_fds(channel, 65536, 1)
        if not part:
            return b"", []
        message, handles = message + part, handles + array.array("i", came)
    return message, list(handles)


def _answer(engine: Engine, name: str, version: FeatureVersion, cad: CadSettings, handle: int, limits: SandboxSettings) -> dict[str, Any]:
    copy = Path("input").absolute()
    try:
        with os.fdopen(handle, "rb", buffering=0) as source, copy.open("wb", buffering=0) as target:
            while os.sendfile(target.fileno(), source.fileno(), None, _COPY_BYTES):  # readers want a name, and the store stays shut
                pass
        return {"result": engine(copy, name, version, cad).result}
    except Failure as failure:
        return {"failure": {"code": failure.code, "context": failure.context}}
    except MemoryError:
        return {"failure": {"code": "MEMORY_ERROR", "context": {"limit": "CADMILL_SANDBOX_MEMORY_BYTES", "allowed": limits.memory_bytes}}}
    except Exception as error:  # noqa: BLE001 - a defect of ours is told, with what is needed to mend it
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            context = {"limit": "CADMILL_SANDBOX_FILE_BYTES", "allowed": limits.file_bytes}
            return {"failure": {"code": "CAD_LIMIT", "context": context}}
        traceback.print_exc()
        return {"failure": {"code": "ENGINE_DEFECT", "context": {"reason": type(error).__name__}}}


def _send(answer: dict[str, Any]) -> None:
    data = memoryview(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
    while data:
        data = data[os.write(_CHANNEL, data) :]
