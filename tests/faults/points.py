"""Named points at every place where something is written: database, broker, HTTP, files. Only entry modules of the tests set them.

The product knows nothing of them: an entry module wraps these functions before it runs the product, so no setting, variable or
request of a production process can reach one. An armed point is a file in a folder, named `<point>.<mode>.<number>`; the process that
removes it is the one it bites, once. A file that ends in `.always` stays and bites everybody until it is taken away.
Each bite is one line in a log that is only appended to.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import redis
from kombu import Producer
from sqlalchemy.engine import Connection, RootTransaction
from sqlalchemy.exc import OperationalError

from foundation.errors import Failure
from ledger import commits, files, previews
from ledger.files import Incoming
from ledger.inspection import disk
from tasks.ring import BackgroundDoorbell, Doorbell, Ring

Mode = Literal["done_told_failed", "undone_told_failed", "delay", "die", "twice"]
DELAY_SECONDS = 0.5
_NAMED = "campaign_named"


@dataclass(frozen=True, slots=True)
class Point:
    """A site: its name, the function of the product that writes there, and what may be done to it."""

    name: str
    place: str
    modes: tuple[Mode, ...]


TOLD: tuple[Mode, ...] = ("done_told_failed", "undone_told_failed", "delay")
POINTS = (
    Point("database.commit", "ledger/session.py:Ledger.write", (*TOLD, "die")),
    Point("broker.publish", "tasks/ring.py:Doorbell.ring", (*TOLD, "die")),
    Point("broker.double", "tasks/ring.py:Doorbell.ring", ("twice",)),
    Point("api.answer", "tasks/ring.py:BackgroundDoorbell.ring", ("die",)),  # between a commit and its answer
    Point("http.send", "workers/webhooks/send.py:_exchange", (*TOLD, "die")),
    Point("files.keep", "ledger/files.py:Incoming.keep", TOLD),
    Point("previews.keep", "ledger/previews.py:_replace", TOLD),
    Point("files.move", "ledger/files.py:_move", TOLD),  # aside and back
    Point("doctor.move", "ledger/inspection/disk.py:_move", TOLD),
)


class Link(Exception):
    """The driver's error of a link that broke, as an armed point tells it."""


class Armoury:
    """The folder in which points are armed, and the log of their bites."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder / "armed", folder / "bites.log"
        self.folder.mkdir(parents=True, exist_ok=True)

    def arm(self, point: str, mode: Mode, role: str = "") -> None:
        """Arm a point for one bite, of processes of one role only if one is named."""
        (self.folder / f"{point}{'@' + role if role else ''}!{mode}!{time.monotonic_ns()}").touch()

    def always(self, point: str, mode: Mode, on: bool) -> None:
        file = self.folder / f"{point}!{mode}!always"
        file.touch() if on else file.unlink(missing_ok=True)

    def disarm(self) -> int:
        """Take away what has not bitten; answers how many."""
        left = list(self.folder.iterdir())
        for file in left:
            file.unlink(missing_ok=True)
        return len(left)

    def bites(self) -> list[tuple[str, str]]:
        """(point, mode) of every bite so far."""
        if not self.log.exists():
            return []
        return [(line.split()[0], line.split()[1]) for line in self.log.read_text().splitlines()]

    def taken(self, point: str, role: str) -> str | None:
        """The mode in which this point bites now, or None."""
        for name in sorted(os.listdir(self.folder)):
            where, mode, number = name.split("!")
            if where not in (point, f"{point}@{role}"):
                continue
            if number != "always":
                try:
                    os.unlink(self.folder / name)
                except FileNotFoundError:  # another process was bitten by this one
                    continue
            note(self.log, f"{point} {mode} {role} {os.getpid()}")
            return mode
        return None


def note(log: Path, line: str) -> None:
    """Append a line in one write: lines of many processes do not mix, and what is written outlives its writer."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, f"{line}\n".encode())
    finally:
        os.close(handle)


def install(armoury: Armoury, role: str) -> None:
    """Wrap every point in this process. Call it before the product runs, and never from it."""
    set_commits(armoury, role)
    set_publishing(armoury, role)
    set_files(armoury, role)
    if role == "api":
        set_answering(armoury, role)
    if role == "courier":
        set_sending(armoury, role)


def _pass(armoury: Armoury, point: str, role: str, write: Callable[[], Any], failed: Callable[[], Any], undo: Callable[[], Any]) -> Any:
    """Go through a point: do what it is there for, unless it is armed."""
    mode = armoury.taken(point, role)
    if mode == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "delay":
        time.sleep(DELAY_SECONDS)
    if mode == "undone_told_failed":
        undo()
        return failed()
    answer = write()
    return failed() if mode == "done_told_failed" else answer


def set_commits(armoury: Armoury, role: str, only_changes: bool = True) -> None:
    """Commits of `Ledger.write`; of those that change nothing only where they are asked for."""
    commit, name = RootTransaction.commit, commits.name

    def named(connection: Connection, before: int, now: float) -> commits.Named | None:
        connection.info[_NAMED] = found = name(connection, before, now)
        return found

    def wrapped(self: RootTransaction) -> None:
        def failed() -> None:
            raise OperationalError("COMMIT", None, Link("told failed"))

        written = "cadmill_begin" in self.connection.get_execution_options()
        if not written or (only_changes and self.connection.info.pop(_NAMED, None) is None):
            commit(self)
        else:
            _pass(armoury, "database.commit", role, lambda: commit(self), failed, self.rollback)

    RootTransaction.commit = wrapped  # type: ignore[method-assign]
    commits.name = named


def set_publishing(armoury: Armoury, role: str) -> None:
    """The batch of a doorbell: its messages are sent when the block ends. `twice` sends it reversed and then once more."""
    batch, ring = Producer.batch, Doorbell.ring

    @contextmanager
    def wrapped(self: Producer, *given: Any) -> Iterator[None]:
        def failed() -> None:
            raise redis.ConnectionError("told failed")

        whole = batch(self, *given)
        whole.__enter__()
        try:
            yield
        except BaseException as error:
            whole.__exit__(type(error), error, error.__traceback__)
            raise
        gone = redis.ConnectionError("told failed")

        def send() -> None:
            whole.__exit__(None, None, None)

        def undo() -> None:
            whole.__exit__(type(gone), gone, None)

        _pass(armoury, "broker.publish", role, send, failed, undo)

    def doubled(self: Doorbell, rings: Sequence[Ring]) -> bool:
        twice = bool(rings) and armoury.taken("broker.double", role) == "twice"
        return ring(self, [*reversed(rings), *rings] if twice else rings)

    Producer.batch = wrapped
    Doorbell.ring = doubled  # type: ignore[method-assign]


def set_answering(armoury: Armoury, role: str) -> None:
    """A request has committed and has not answered yet: it is about to ring."""
    ring = BackgroundDoorbell.ring

    def wrapped(self: BackgroundDoorbell, rings: Sequence[Ring]) -> bool:
        if armoury.taken("api.answer", role) == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        return ring(self, rings)

    BackgroundDoorbell.ring = wrapped  # type: ignore[method-assign]


def set_files(armoury: Armoury, role: str) -> None:
    keep = Incoming.keep

    def wrapped(self: Incoming) -> str:
        return str(_pass(armoury, "files.keep", role, lambda: keep(self), _full, _nothing))

    Incoming.keep = wrapped  # type: ignore[method-assign]
    for module, name, point in MOVES:
        _set_move(armoury, role, module, name, point)


MOVES: tuple[tuple[ModuleType, str, str], ...] = (
    (previews, "_replace", "previews.keep"), (files, "_move", "files.move"), (disk, "_move", "doctor.move"),
)  # fmt: skip


def _set_move(armoury: Armoury, role: str, module: ModuleType, name: str, point: str) -> None:
    move = getattr(module, name)

    def moved(*given: Any) -> None:
        _pass(armoury, point, role, lambda: move(*given), _full, _nothing)

    setattr(module, name, moved)


def _full() -> None:
    raise Failure("STORAGE_FULL")


def set_sending(armoury: Armoury, role: str) -> None:
    from workers.webhooks import send as sending

    exchange = sending._exchange

    def wrapped(*given: Any) -> None:
        def failed() -> None:
            raise ConnectionResetError(104, "told failed")

        _pass(armoury, "http.send", role, lambda: exchange(*given), failed, _nothing)

    sending._exchange = wrapped


def _nothing() -> None:
    """What has not begun needs no undoing."""
