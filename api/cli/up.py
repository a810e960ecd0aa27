"""`cadmill up`: the whole stack of one machine, in the foreground."""

from __future__ import annotations

import errno
import fcntl
import http.client
import os
import secrets
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from api.cli.processes import Process, Shape, Stop, table
from api.cli.redis_server import RedisServer, embedded
from api.cli.supervisor import Stopped, Supervisor, say
from foundation.errors import Failure
from foundation.settings import environment, settings

ADMIN_TOKEN_FILE = "admin-token"
_READY_SECONDS = 90.0
_STUCK_MS = 60_000
_PREPARE = Process("setup", "migrates the database, writes the first key", (sys.executable, "-m", "api.setup"), Stop.DOORS)


def up(directory: Path, host: str, port: int, concurrency: int, flower_port: int | None, chaos: bool = False, grpc_port: int = 0) -> None:
    """Start everything, say so when it is ready, watch it, and stop everything at the first signal."""
    from tasks.catalogue import compute_queues, courier_queues

    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with one_run(directory), listening(host, port) as listener:
        port = listener.getsockname()[1]
        if flower_port is not None:
            flower_port = free_port("127.0.0.1", flower_port)
        if grpc_port:  # a taken port is told at once
            with listening(settings().grpc.host, grpc_port):
                pass
        redis = None if "CADMILL_REDIS_URL" in environment({}) else embedded(directory)
        queues = tuple(compute_queues()), tuple(courier_queues())
        shape = Shape(directory, listener.fileno(), port, concurrency, *queues, flower_port, grpc_port)
        with (
            _socket_removed(redis),
            Supervisor(directory / "logs", _variables(shape, host, redis, chaos), project_root()) as supervisor,
            suppress(Stopped),
        ):
            _start(supervisor, shape, host, redis)
            supervisor.watch()
    say("cadmill has stopped")


def _start(supervisor: Supervisor, shape: Shape, host: str, redis: RedisServer | None) -> None:
    if redis is not None:
        if redis.temporary is not None:
            supervisor.guardian.remove_later(redis.temporary)
        supervisor.start([redis.process])
        supervisor.wait_until(redis.answers, 30.0, redis.process)
    supervisor.run(_PREPARE, 120.0)
    processes = table(shape)
    supervisor.start(processes)
    supervisor.wait_until(lambda: is_ready(host, shape.port), _READY_SECONDS, processes[0])
    for process in processes:
        if process.name == "grpc":
            supervisor.wait_until(lambda: is_open(shape.grpc_port), _READY_SECONDS, process)
    supervisor.ready = True
    url = f"http://{address_to_call(host)}:{shape.port}"
    say(f"cadmill is ready at {url}")
    say(f"  key      {shape.directory / 'key'}")
    say(f"  page     {url}/  (sign in with the key)")
    say(f"  docs     {url}/docs")
    if shape.flower_port is not None:
        say(f"  flower   http://127.0.0.1:{shape.flower_port}")
    if shape.grpc_port:
        say(f"  gRPC     {address_to_call(settings().grpc.host)}:{shape.grpc_port}")
    say(f"  logs     {shape.directory / 'logs'}")
    say("  Ctrl-C stops it all")


def _variables(shape: Shape, host: str, redis: RedisServer | None, chaos: bool) -> dict[str, str]:
    """The environment of the children: what the user set (a database, a feature version, ...) and what this run decides."""
    changes: dict[str, object] = {
        "CADMILL_STORAGE_DIRECTORY": shape.directory,
        "CADMILL_API_HOST": host,
        "CADMILL_API_PORT": shape.port,
        "CADMILL_GRPC_PORT": shape.grpc_port,
        "PROMETHEUS_MULTIPROC_DIR": shape.directory / "metrics",
        "OMP_NUM_THREADS": 1,  # processes are our parallelism; threads of native libraries on top only fight over the cores
        "PYTHONUNBUFFERED": 1,  # the last words of a dying process must be in its log
    }
    if redis is not None:
        changes["CADMILL_REDIS_URL"] = redis.url
    if chaos:
        changes |= {"CADMILL_CHAOS": 1, "ADMIN_TOKEN": environment({}).get("ADMIN_TOKEN") or _admin_token(shape.directory)}
    shutil.rmtree(shape.directory / "metrics", ignore_errors=True)  # the numbers of processes that are no more
    (shape.directory / "metrics").mkdir()
    return environment(changes)


def _admin_token(directory: Path) -> str:
    """The admin token of a data directory, made when it is first needed, so that `cadmill chaos` beside it knows it."""
    file = directory / ADMIN_TOKEN_FILE
    if not file.exists():
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(secrets.token_urlsafe(32) + "\n")
    return file.read_text().strip()


@contextmanager
def _socket_removed(redis: RedisServer | None) -> Iterator[None]:
    try:
        yield
    finally:
        if redis is not None:
            redis.remove_socket()


@contextmanager
def one_run(directory: Path) -> Iterator[None]:
    """Hold the lock of a data directory. The kernel drops it with the process, so a crash leaves nothing to clean up."""
    with (directory / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Failure("DIRECTORY_IN_USE", {"--dir": str(directory), "process": file.read().strip()}) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The socket the API will serve. Bound here, so that a taken port is told at once and a restarting API refuses nobody."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except socket.gaierror as error:
        raise Failure("CONFIG_INVALID", {"--host": host, "reason": str(error)}) from error
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit this. uvicorn takes a passed socket for a unix one and would not set it: 40 ms an answer.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Who takes nothing for so long is gone as far as we care: else a reader that stopped reading would hold its socket for ever.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STUCK_MS)
        _bind(listener, host, port)
        listener.listen(1024)
        yield listener


def free_port(host: str, port: int) -> int:
    """`port` if it is free, or any free one for 0. For programs that cannot be given a socket."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _bind(probe, host, port)
        return int(probe.getsockname()[1])


def _bind(listener: socket.socket, host: str, port: int) -> None:
    try:
        listener.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Failure("PORT_TAKEN", {"port": port}) from error
        raise Failure("CONFIG_INVALID", {"--host": host, "--port": port, "reason": error.strerror}) from error


def is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(address_to_call(host).strip("[]"), port, timeout=2.0)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False  # not up yet, or dying: the supervisor sees which
    finally:
        connection.close()


def is_open(port: int) -> bool:
    """Whether somebody answers at the gRPC port: what it says then is TLS or HTTP/2, which is not asked here."""
    try:
        with socket.create_connection((address_to_call(settings().grpc.host).strip("[]"), port), timeout=2.0):
            return True
    except OSError:
        return False  # not up yet, or dying: the supervisor sees which


def address_to_call(host: str) -> str:
    """Where to call a server that listens on `host`: "all addresses" is nothing one can call."""
    if host in ("0.0.0.0", "::", ""):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def project_root() -> Path:
    """The folder of celeryconfig.py, where every process starts."""
    import tasks

    assert tasks.__file__ is not None
    return Path(tasks.__file__).absolute().parent.parent
