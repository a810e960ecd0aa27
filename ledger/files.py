"""Bytes by their SHA-256, on disk. A file is there whole or not at all: written beside, synced, then renamed."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from foundation.resilience.protection import guard

_HEAD = 4096  # bytes kept for recognising the format
_ABANDONED_SECONDS = 24 * 3600.0


class Incoming:
    """A file on its way in: write, then `keep()`; whatever is not kept is removed."""

    def __init__(self, store: FileStore, max_bytes: int) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        handle, name = tempfile.mkstemp(dir=store.incoming)
        self._file = os.fdopen(handle, "wb", buffering=1 << 18)
        self._path = Path(name)
        self.bytes = 0
        self.head = b""

    def write(self, data: bytes | memoryview) -> None:
        """Raises FILE_TOO_LARGE as soon as the limit is passed, STORAGE_FULL, STORAGE_FAILED."""
        self.bytes += len(data)
        if self.bytes > self._max_bytes:
            raise Failure("FILE_TOO_LARGE", {"limit_bytes": self._max_bytes})
        if len(self.head) < _HEAD:
            self.head += bytes(data[: _HEAD - len(self.head)])
        self._digest.update(data)
        try:
            self._file.write(data)
        except OSError as error:
            raise failure_of(error, Provider.STORAGE) from error

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def read_back(self) -> BinaryIO:
        """What was written so far, opened to be read. Raises STORAGE_FULL, STORAGE_FAILED."""
        try:
            self._file.flush()
        except OSError as error:
            raise failure_of(error, Provider.STORAGE) from error
        return self._path.open("rb")

    def keep(self) -> str:
        """Make the file durable under its hash, which is returned. Raises STORAGE_FULL, STORAGE_FAILED."""
        target = self._store.path(self.sha256)
        with guard("files"):
            try:
                self._file.flush()
                if not _touched(target):
                    os.fsync(self._file.fileno())
                    target.parent.mkdir(exist_ok=True)
                    os.replace(self._path, target)
                    _sync_folder(target.parent)
            except OSError as error:
                raise failure_of(error, Provider.STORAGE) from error
        self._close()
        return self.sha256

    def _close(self) -> None:
        if not self._file.closed:
            self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()


class FileStore:
    """The folder of files of this machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "files"
        self.incoming = self.directory / "incoming"
        self._aside = self.directory / "aside"
        self.incoming.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        return Path(f"{self.directory}/{sha256[:2]}/{sha256}")  # two joins of paths take five times as long, and each file asks

    def receive(self, max_bytes: int) -> Incoming:
        return Incoming(self, max_bytes)

    def sweep(self, older_than_seconds: float = _ABANDONED_SECONDS) -> int:
        """Remove uploads that a dead process left half-way."""
        limit = time.time() - older_than_seconds
        old = [path for path in self.incoming.iterdir() if path.stat().st_mtime < limit]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    # removing

    def put_aside(self, sha256: str) -> None:
        """Take the bytes out of the way, not yet for good."""
        self._aside.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # lost before: then there is nothing to take
            os.utime(self.path(sha256))
            _move(self.path(sha256), self._aside / sha256)

    def must_hold(self, sha256: str) -> None:
        """See to it, before the commit of a row, that the bytes it names are there. Raises FILE_MISSING."""
        if self.path(sha256).exists():
            return
        with suppress(FileNotFoundError):  # somebody else was first, or they are gone
            _move(self._aside / sha256, self.path(sha256))
        if not self.path(sha256).exists():
            raise Failure("FILE_MISSING", {"sha256": sha256})

    def aside(self) -> list[str]:
        """Bytes that were put aside."""
        return [path.name for path in self._aside.iterdir()] if self._aside.exists() else []

    def empty_aside(self, older_than_seconds: float = _ABANDONED_SECONDS) -> None:
        """Remove for good what was put aside a day ago, with its previews."""
        limit = time.time() - older_than_seconds
        for sha256 in self.aside():
            with suppress(FileNotFoundError):  # put back meanwhile
                if (self._aside / sha256).stat().st_mtime < limit:
                    (self._aside / sha256).unlink()
                    pictures = () if self.path(sha256).exists() else (self.directory / "previews" / sha256[:2]).glob(f"{sha256}.*")
                    for picture in pictures:
                        picture.unlink(missing_ok=True)

    def old(self, before: float, folder: int) -> list[str]:
        """Stored bytes of one of the 256 folders that were last uploaded before a time."""
        place = self.directory / f"{folder:02x}"
        return [path.name for path in place.iterdir() if path.stat().st_mtime < before] if place.exists() else []

    def is_old(self, sha256: str, before: float) -> bool:
        """Whether these bytes are there and were last uploaded before a time."""
        try:
            return self.path(sha256).stat().st_mtime < before
        except FileNotFoundError:
            return False


def _move(old: Path, new: Path) -> None:
    os.replace(old, new)


def _touched(path: Path) -> bool:
    """Whether it is there; its time then says that somebody wants it, so that the doctor does not take it for a left-over."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
