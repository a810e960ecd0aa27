"""Nothing outlives `cadmill up`, not even when it is killed with -9.

Two nets. `die_with_parent` has the kernel kill a child when its parent dies; but that reaches the direct child only, and a Celery
worker has children of its own. So a guardian, a tiny process of its own, is told every process group; when the pipe to it closes
without a goodbye, it kills what is left. This file is both ends: run as a script it is the guardian (standard library only,
so that it starts at once).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(signal_number: int) -> Callable[[], None]:
    """What a child calls between fork and exec to receive `signal_number` when its parent dies (Linux; elsewhere nothing).

    Python has no call for prctl, hence ctypes; the library is loaded before the fork, because loading after it could deadlock.
    """
    parent = os.getpid()

    def tie() -> None:
        if _LIBC is None:
            return
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # the parent died before the call above could count
            os.kill(os.getpid(), signal_number)

    return tie


def kill_group(group: int) -> None:
    """Kill a process group; one that is gone already is what we want."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


class Guardian:
    """Our end of the pipe."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).absolute())], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def watch(self, group: int) -> None:
        self._tell(f"watch {group}")

    def forget(self, group: int) -> None:
        self._tell(f"forget {group}")

    def remove_later(self, folder: Path) -> None:
        """Have a temporary folder removed at the end, however we end."""
        self._tell(f"remove {folder}")

    def close(self) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # as below
            self._process.stdin.close()
        self._process.wait(timeout=10)

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        # Somebody killed the guardian: the stack works without it, and the other net still holds.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()


def guard(lines: Iterable[str]) -> None:
    """The other end: remember until the pipe closes, then kill and remove what is still known."""
    groups: set[int] = set()
    folders: list[str] = []
    for line in lines:
        verb, _, what = line.rstrip("\n").partition(" ")
        if verb == "watch":
            groups.add(int(what))
        elif verb == "forget":
            groups.discard(int(what))
        elif verb == "remove":
            folders.append(what)
    for group in groups:
        kill_group(group)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)  # it may be gone already, and nobody is left to be told otherwise


if __name__ == "__main__":
    guard(sys.stdin)
