"""The operating system: files, sockets, processes, memory."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import errno
import fcntl
import multiprocessing
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from foundation.mapping import Provider
from tests.foundation.provoked.case import Case, Place, thrown


@contextlib.contextmanager
def _limited(what: int, most: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def _full(_: Place) -> None:
    handle = os.open("/dev/full", os.O_WRONLY)
    try:
        os.write(handle, b"x")
    finally:
        os.close(handle)


def _too_large(place: Place) -> None:
    with _limited(resource.RLIMIT_FSIZE, 10), open(place.folder / "large", "wb", buffering=0) as file:
        file.write(b"x" * 10)
        file.write(b"x")


def _too_many_files(_: Place) -> None:
    with _limited(resource.RLIMIT_NOFILE, 3):
        os.open("/dev/null", os.O_RDONLY)


def _loop(place: Place) -> None:
    (place.folder / "loop").symlink_to(place.folder / "loop")
    (place.folder / "loop").read_bytes()


def _not_empty(place: Place) -> None:
    (place.folder / "kept" / "x").mkdir(parents=True)
    (place.folder / "kept").rmdir()


def _running(place: Place) -> None:
    program = shutil.copy("/bin/sleep", place.folder / "sleep")
    with subprocess.Popen([program, "20"]) as process:
        try:
            open(program, "r+b").close()
        finally:
            process.kill()


def _no_program(place: Place) -> None:
    (place.folder / "program").write_text("neither this nor that")
    (place.folder / "program").chmod(0o755)
    subprocess.run([place.folder / "program"], check=True)


def _reset(_: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as line:
        other, _ = listener.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        line.recv(1)


def _broken(_: Place) -> None:
    one, other = socket.socketpair()
    other.close()
    with one:
        one.send(b"x")


def _taken(_: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as again:
        again.bind(listener.getsockname())


def _with_socket(do: Callable[[socket.socket], Any], kind: int = socket.SOCK_STREAM) -> Callable[[Place], Any]:
    def run(_: Place) -> None:
        with socket.socket(type=kind) as line:
            line.settimeout(0.05)
            do(line)

    return run


def _nothing_yet(_: Place) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        one.recv(1)


def _slow(_: Place) -> None:
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(0.01)
        one.recv(1)


def _locked(place: Place) -> None:
    with open(place.folder / "lock", "w") as one, open(place.folder / "lock", "w") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _pool_dies(_: Place) -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        pool.submit(os._exit, 1).result(30)


def _pipe_ends(_: Place) -> None:
    one, other = multiprocessing.Pipe()
    other.close()
    with one:
        one.recv()


def _no_answer_in_time(_: Place) -> None:
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.result(0.01)


def _too_slow(_: Place) -> None:
    async def wait() -> None:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)

    asyncio.run(wait())


def _group(_: Place) -> None:
    async def both() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(asyncio.to_thread(os.open, "/dev/full/x", os.O_RDONLY))

    asyncio.run(both())


def _deep(_: Place) -> None:
    _deep(_)


def _after_the_end(_: Place) -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    pool.submit(print)


def _child(*words: str) -> Callable[[Place], Any]:
    return lambda _: subprocess.run([sys.executable, "-c", *words], check=True, timeout=30)


def _within_its_handling(_: Place) -> None:
    """A defect while something else is handled: the defect is what counts."""
    try:
        raise ConnectionResetError(errno.ECONNRESET, "reset")
    except ConnectionResetError:
        {}["nothing"]


def _made_of(outer: BaseException, cause: BaseException) -> Callable[[Place], Any]:
    def run(_: Place) -> None:
        raise outer from cause

    return run


_STORAGE, _FULL = ("STORAGE_FAILED", False), ("STORAGE_FULL", False)
_BUSY, _AWAY = ("RESOURCE_EXHAUSTED", True), ("CONNECTION_FAILED", True)
_DEFECT, _PROCESS, _SLOW = ("INTERNAL", False), ("PROCESS_FAILED", False), ("READ_TIMEOUT", True)

CASES = [
    Case("no room", _full, *_FULL),
    Case("file too large", _too_large, *_FULL),
    Case("too many open files", _too_many_files, *_BUSY),
    Case("no such file", lambda place: (place.folder / "none").read_bytes(), *_STORAGE),
    Case("no such file in the store", lambda place: (place.folder / "none").read_bytes(), "FILE_MISSING", False, Provider.STORAGE),
    Case("no such file to read", lambda place: (place.folder / "none").read_bytes(), "FILE_MISSING", False, Provider.READER),
    Case("a folder", lambda place: place.folder.read_bytes(), *_STORAGE),
    Case("not a folder", lambda _: os.listdir("/dev/null"), *_STORAGE),
    Case("there already", lambda place: place.folder.mkdir(), *_STORAGE),
    Case("not empty", _not_empty, *_STORAGE),
    Case("a link to itself", _loop, *_STORAGE),
    Case("name too long", lambda place: (place.folder / ("x" * 300)).touch(), *_STORAGE),
    Case("program is running", _running, *_BUSY),
    Case("not a program", _no_program, *_PROCESS),
    Case("no such program", lambda place: subprocess.run([place.folder / "none"], check=True), *_STORAGE),
    Case("not an open file", lambda _: os.read(99999, 1), *_DEFECT),
    Case("no place in a pipe", lambda _: os.lseek(os.pipe()[0], 0, 0), *_DEFECT),
    Case("lock is held", _locked, *_BUSY),
    Case("copy of itself", lambda _: shutil.copyfile("/dev/null", "/dev/null"), *_STORAGE),
    Case("connection refused", lambda _: socket.create_connection(("127.0.0.1", 1)), *_AWAY),
    Case("connection reset", _reset, *_AWAY),
    Case("broken pipe", _broken, *_AWAY),
    Case("not connected", _with_socket(lambda line: line.getpeername()), *_AWAY),
    Case("port taken", _taken, "PORT_TAKEN", False),
    Case("address is not ours", _with_socket(lambda line: line.bind(("203.0.113.1", 0))), *_BUSY),
    Case("broadcast without leave", _with_socket(lambda line: line.sendto(b"x", ("255.255.255.255", 9)), socket.SOCK_DGRAM), *_STORAGE),
    Case("no address family", lambda _: socket.socket(12345), *_DEFECT),
    Case("nothing yet", _nothing_yet, *_BUSY),
    Case("socket is slow", _slow, *_SLOW),
    Case("no such child", lambda _: os.waitpid(2**22 - 1, 0), *_PROCESS),
    Case("no such process", lambda _: os.kill(2**22 - 1, 0), *_PROCESS),
    *(Case(f"number {errno.errorcode[number]}", thrown(OSError(number, os.strerror(number), "/srv/secret")), *what) for number, what in (
        (errno.EDQUOT, _FULL), (errno.EIO, _STORAGE), (errno.EROFS, _STORAGE), (errno.EACCES, _STORAGE), (errno.EPERM, _STORAGE),
        (errno.EXDEV, _STORAGE), (errno.ESTALE, _STORAGE), (errno.ENODEV, _STORAGE), (errno.ENXIO, _STORAGE), (errno.EUCLEAN, _STORAGE),
        (errno.ENFILE, _BUSY), (errno.ENOMEM, _BUSY), (errno.EAGAIN, _BUSY), (errno.EBUSY, _BUSY), (errno.EINTR, _BUSY),
        (errno.EDEADLK, _BUSY), (errno.ENOLCK, _BUSY), (errno.ENOBUFS, _BUSY),
        (errno.ECONNABORTED, _AWAY), (errno.ENETUNREACH, _AWAY), (errno.EHOSTUNREACH, _AWAY), (errno.ENETDOWN, _AWAY),
        (errno.EHOSTDOWN, _AWAY), (errno.ESHUTDOWN, _AWAY), (errno.ETIMEDOUT, ("CONNECTION_TIMEOUT", True)), (errno.EINVAL, _DEFECT),
    )),
    Case("no memory", lambda _: bytearray(1 << 60), "MEMORY_ERROR", False),
    Case("no memory in a route", lambda _: bytearray(1 << 60), "RESOURCE_EXHAUSTED", True, Provider.API),
    Case("too deep", _deep, *_DEFECT),
    Case("too deep a file", _deep, "CAD_LIMIT", False, Provider.READER),
    Case("no more threads", thrown(RuntimeError("can't start new thread")), *_BUSY),
    Case("after the end of a pool", _after_the_end, "SERVER_STOPPING", True),
    Case("process fails", _child("raise SystemExit(3)"), *_PROCESS),
    Case("process crashes", _child("import os; os.abort()"), "ENGINE_CRASH", False, Provider.SANDBOX),
    Case("process is slow", lambda _: subprocess.run(["sleep", "5"], timeout=0.05, check=True), "ENGINE_TIMEOUT", False),
    Case("process of a pool dies", _pool_dies, "ENGINE_CRASH", False),
    Case("pipe of a process ends", _pipe_ends, "ENGINE_CRASH", False, Provider.SANDBOX),
    Case("future is late", _no_answer_in_time, *_SLOW),
    Case("asyncio is late", _too_slow, *_SLOW),
    Case("asyncio group", _group, *_STORAGE),
    Case("not a future", lambda _: asyncio.Future(loop=asyncio.new_event_loop()).result(), *_DEFECT),
    Case("defect while handling", _within_its_handling, *_DEFECT),
    Case("wrapped in words", _made_of(RuntimeError("it did not work"), OSError(errno.ENOSPC, "full")), *_FULL),
    Case("key of nothing", lambda _: {}["x"], *_DEFECT),
    Case("attribute of nothing", lambda _: None.x, *_DEFECT),  # type: ignore[attr-defined]
    Case("not a number", lambda _: int("x"), *_DEFECT),
    Case("division by zero", lambda _: 1 // 0, *_DEFECT),
    Case("no such module", lambda _: __import__("nothing_of_that_name"), *_DEFECT),
    Case("defect of a handler", lambda _: {}["x"], "ENGINE_DEFECT", False, Provider.ENGINE),
    Case("defect of a route", lambda _: {}["x"], *_DEFECT, Provider.API),
]  # fmt: skip
