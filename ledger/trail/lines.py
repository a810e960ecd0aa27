"""A file of lines that several processes append to, and that each of them reads on from where it was."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class Held:
    """The file while nobody else may write to it. `begun_anew`: it is not the one we knew, so everything in it is news."""

    def __init__(self, file: IO[bytes], begun_anew: bool, offset: int) -> None:
        self._file, self.begun_anew, self.offset = file, begun_anew, offset
        self._written = 0

    def news(self) -> Iterator[str]:
        """The lines that came since we last looked. A last line without an end was cut off by a crash: it goes."""
        self._file.seek(self.offset)
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(self.offset)
                break
            self.offset += len(line)
            yield line[:-1].decode("utf-8", "replace")

    def write(self, lines: Sequence[str]) -> None:
        """Append behind all that was read. On disk when this returns."""
        data = "".join(lines).encode()
        self._file.seek(self.offset + self._written)
        self._written += self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())


class Appended:
    """A file by its name: it may be moved away (logrotate), then the next line begins a new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode, self._offset = -1, 0

    @contextmanager
    def held(self) -> Iterator[Held]:
        """Raises OSError."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            found = os.fstat(file.fileno())
            anew = found.st_ino != self._inode or found.st_size < self._offset
            here = Held(file, anew, 0 if anew else self._offset)
            yield here
            self._inode, self._offset = found.st_ino, here.offset  # what we have written is read as news, too
