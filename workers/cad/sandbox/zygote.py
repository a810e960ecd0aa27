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
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, Protocol

from foundation.errors import Failure
from foundation.settings import CadSettings, SandboxSettings, forget_environment
from tasks.vocabulary import FeatureVersion
from workers.cad.brep.kernel import need_kernel
from workers.cad.preview.previews import Previews
from workers.cad.sandbox import walls

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
_LAST_WORDS = 4000


class Extracted(Protocol):
    """What an engine answers."""

    result: dict[str, Any]
    previews: Previews | None


Engine = Callable[[Path, str, FeatureVersion, CadSettings, bool], Extracted]


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
    words = json.loads(told)
    orders = _Orders(_loaded(words["engine"]), SandboxSettings(**words["sandbox"]), CadSettings(**words["cad"]), words["directory"])
    forget_environment()
    os.umask(0o077)
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
        importlib.import_module("workers.cad.brep.transfer")  # what is loaded only after the kernel
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
        missing = walls.enclose(Path(child.folder), _READABLE)
        _send({"ready": missing})
        _serve(orders, copy)
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is must not reach the code of the zygote
        traceback.print_exc()
    finally:
        os._exit(status)


def _serve(orders: _Orders, copy: int) -> None:
    """One file after the other, as long as somebody asks. Each is copied into `copy`: readers want a name, and the store stays shut."""
    with socket.socket(fileno=_CHANNEL) as channel:
        while True:
            message, handles = _receive(channel)
            if not message:
                return
            walls.limit_cpu(orders.limits.cpu_seconds)
            with os.fdopen(handles[0], "rb", buffering=0) as file:
                answer = _answer(orders, json.loads(message), file, copy)
            _send(answer)


def _receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """One line and the file it speaks of."""
    message, handles = b"", list[int]()
    while not message.endswith(b"\n"):
        part, came, _, _ = socket.recv_fds(channel, 65536, 1)
        if not part:
            return b"", []
        message, handles = message + part, [*handles, *came]
    return message, handles


def _answer(orders: _Orders, asked: dict[str, Any], file: IO[bytes], copy: int) -> dict[str, Any]:
    try:
        os.ftruncate(copy, 0)
        os.lseek(copy, 0, os.SEEK_SET)
        while os.sendfile(copy, file.fileno(), None, _COPY_BYTES):
            pass
        path, version = Path(f"/proc/self/fd/{copy}"), FeatureVersion(asked["version"])
        extracted = orders.engine(path, asked["name"], version, orders.cad, asked["draw"])
        drawn = extracted.previews.files if extracted.previews else {}
        return {"result": extracted.result, "previews": {kind: b64encode(data).decode() for kind, data in drawn.items()}}
    except Failure as failure:
        return _failed(failure.code, failure.context)
    except MemoryError:
        return _failed("MEMORY_ERROR", {"limit": "CADMILL_SANDBOX_MEMORY_BYTES", "allowed": orders.limits.memory_bytes})
    except Exception as error:  # noqa: BLE001 - a defect of ours is told, with what is needed to mend it
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return _failed("CAD_LIMIT", {"limit": "CADMILL_SANDBOX_FILE_BYTES", "allowed": orders.limits.file_bytes})
        traceback.print_exc()
        return _failed("ENGINE_DEFECT", {"reason": type(error).__name__})


def _failed(code: str, context: dict[str, Any]) -> dict[str, Any]:
    return {"failure": {"code": code, "context": context}}


def _send(answer: dict[str, Any]) -> None:
    data = memoryview(json.dumps(answer, ensure_ascii=False).encode() + b"\n")
    while data:
        data = data[os.write(_CHANNEL, data) :]
