"""What processes of ours cost, and what everybody else took meanwhile (from /proc; where there is none, nothing is known)."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE, _WAITING = 3, 4  # columns of /proc/stat


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU seconds of the processes that did the work, and how many cores others kept busy meanwhile."""

    cpu: float
    others: float


class Meter:
    """Measures from its making until `read`: the CPU time of some processes and all they started."""

    def __init__(self, *roots: int) -> None:
        self._roots = roots
        self._started, self._begin = time.perf_counter(), self._look()

    def read(self) -> Cost | None:
        now = self._look()
        if now is None or self._begin is None:
            return None
        cpu, mine, everything = (after - before for after, before in zip(now, self._begin, strict=True))
        return Cost(cpu, max(0.0, everything - mine) / (time.perf_counter() - self._started))

    def _look(self) -> tuple[float, float, float] | None:
        try:
            columns = [int(word) for word in (_PROC / "stat").read_text().split(None, 9)[1:9]]
        except OSError:
            return None
        everything = (sum(columns) - columns[_IDLE] - columns[_WAITING]) / _TICKS
        return sum(_cpu(root) for root in self._roots), _cpu(os.getpid()), everything


def _cpu(root: int) -> float:
    """CPU seconds of a process and all under it, of the ended ones too as far as their parent has waited for them."""
    return sum(sum(int(word) for word in stat[11:15]) for pid in descendants(root) if (stat := _stat(pid))) / _TICKS


def _stat(pid: int) -> list[str]:
    """The words of /proc/PID/stat behind the name; none when the process has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def descendants(root: int) -> list[int]:
    """A process and all under it."""
    pids = [int(entry.name) for entry in _PROC.glob("[0-9]*")]
    parents = {pid: int(stat[1]) for pid in pids if (stat := _stat(pid))}
    found = [root]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def peak_mb(pid: int) -> int | None:
    """Peak resident memory, shared pages counted."""
    try:
        status = (_PROC / str(pid) / "status").read_text()
    except OSError:
        return None
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024 if "VmHWM:" in status else None


def command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""
