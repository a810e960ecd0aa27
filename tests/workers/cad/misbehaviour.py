"""What a file might do to the process that reads it, by the name it comes under: the engine of the sandbox's tests."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foundation.engine_settings import CadSettings
from tasks.extraction import AS_THE_FILE_SAYS, UnitsAsked
from tasks.vocabulary import FeatureVersion
from workers.cad.sandbox.protocol import HEADER
from workers.features.extraction import Extraction
from workers.features.extraction import extract as honest

_PIPE = 3


def extract(
    path: Path, name: str, version: FeatureVersion, limits: CadSettings, draw: bool = False, units: UnitsAsked = AS_THE_FILE_SAYS
) -> Extraction:
    """Do what the name says before, or instead of, the honest work."""
    act = name.partition(" ")[0]
    extraction = honest(path, "file", version, limits, units=units)
    if act in ACTS:
        told = ACTS[act](name.partition(" ")[2])
        extraction.result["facts"] = {"told": told}
    return extraction


def _spin(_: str) -> None:
    while True:
        pass


def _nap(seconds: str) -> str:
    time.sleep(float(seconds.removesuffix(".stl")))
    return "awake"


def _deaf(_: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)


def _fork(_: str) -> list[str]:
    """Bounded, so that a sandbox without its wall costs twenty short-lived processes and not the machine."""
    answers = []
    for _turn in range(20):
        try:
            child = os.fork()
        except OSError as error:
            answers.append(type(error).__name__)
            continue
        if child == 0:
            time.sleep(20)
            os._exit(0)
        answers.append("forked")
    return sorted(set(answers))


def _allocate(_: str) -> None:
    held = []
    while True:
        held.append(bytearray(1 << 20))


def _abort(_: str) -> None:
    sys.stderr.write("terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.abort()


def _print(_: str) -> None:
    with open(1, "wb", buffering=0, closefd=False) as file:
        for _turn in range(5_000):
            file.write(bytes(1_000_000))


def _write(_: str) -> dict[str, str]:
    return {
        "own folder": _refused(lambda: Path("big").write_bytes(bytes(5_000))),
        "temporary": _refused(lambda: Path("/tmp/big").write_bytes(bytes(5_000))),
        "shared memory": _refused(lambda: Path("/dev/shm/big").write_bytes(bytes(5_000))),
        "folder": _refused(lambda: Path("more").mkdir()),
        "memory": _refused(lambda: os.memfd_create("more")),
    }


def _open_all(_: str) -> None:
    for _turn in range(1_000):
        os.dup(1)


def _refused(what: Callable[[], Any]) -> str:
    try:
        what()
    except OSError as error:
        return type(error).__name__
    return "done"


def _reach(port: str) -> dict[str, str]:
    return {
        "tcp": _refused(lambda: socket.create_connection(("127.0.0.1", int(port)), 1).close()),
        "udp": _refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()),
        "unix": _refused(lambda: socket.socketpair()),
    }


def _open(path: str) -> dict[str, str]:
    return {
        "read": _refused(lambda: Path(path).read_bytes()),
        "append": _refused(lambda: Path(path).open("ab").close()),
        "list": _refused(lambda: os.listdir(Path(path).parent)),
        "leave": _refused(lambda: os.symlink(path, "link")),
        "passwords": _refused(lambda: Path("/etc/passwd").read_bytes()),
        "parent": _refused(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
    }


def _strike(pid: str) -> dict[str, str]:
    return {
        "kill": _refused(lambda: os.kill(int(pid), 0)),
        "zygote": _refused(lambda: os.kill(os.getppid(), signal.SIGTERM)),
        "run": _refused(lambda: os.execv("/bin/true", ["true"])),
    }


def _look(_: str) -> dict[str, Any]:
    # only numbers: the links of /proc are not the child's to read
    handles = []
    for handle in range(256):
        with contextlib.suppress(OSError):
            os.fstat(handle)
            handles.append(handle)
    umask = os.umask(0)
    facts = {"environment": dict(os.environ), "handles": handles, "umask": umask, "folder": os.listdir("."), "session": os.getsid(0)}
    return facts | {"pid": os.getpid(), "threads": len(sys._current_frames())}


def _tell(number: int, body: bytes, size: int | None = None) -> None:
    """Say to the worker what no honest child says."""
    frame = HEADER.pack(number, len(body) if size is None else size) + body
    while frame:
        frame = frame[os.write(_PIPE, frame) :]


def _drip(_: str) -> None:
    _tell(1, b"", 100_000)
    while True:
        os.write(_PIPE, b" ")
        time.sleep(0.05)


_REFUSAL = b'{"told": "failed", "code": "FILE_CORRUPT", "context": {}}'


ACTS: dict[str, Callable[[str], Any]] = {
    "spin": _spin,
    "sleep": lambda _: time.sleep(600),
    "nap": _nap,
    "deaf": _deaf,
    "fork": _fork,
    "allocate": _allocate,
    "allocate_at_once": lambda _: len(np.ones(10**10)),
    "abort_without_memory": _abort,
    "abort": lambda _: os.abort(),
    "print": _print,
    "write": _write,
    "open_all": _open_all,
    "reach": _reach,
    "open": _open,
    "strike": _strike,
    "look": _look,
    "drip": _drip,
    "garbage": lambda _: _tell(1, b"\x00\xff{not json"),
    "deep": lambda _: _tell(1, b"[" * 50_000),
    "long": lambda _: _tell(1, b"x" * 300_000),
    "boast": lambda _: _tell(1, b"", 2**32 - 1),
    "empty": lambda _: _tell(1, b""),
    "foresee": lambda _: _tell(2, _REFUSAL),
    "answer_twice": lambda _: _tell(1, _REFUSAL + HEADER.pack(1, len(_REFUSAL)) + _REFUSAL, len(_REFUSAL)),
    "start_again": lambda _: _tell(1, b'{"told": "ready", "missing": []}'),
    "segv": lambda _: os.kill(os.getpid(), signal.SIGSEGV),
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "exit": lambda _: os._exit(0),
    "raise": lambda _: [].pop(),
    "recurse": lambda _: _recurse(),
    "close": lambda _: (os.close(_PIPE), time.sleep(600)),
}


def _recurse() -> None:
    _recurse()
