"""The supervisor, with real processes that have children of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]


@contextmanager
def small_stack(folder: Path, *rows: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(HERE / "small_stack.py"), str(folder), *rows]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}) as stack:
        try:
            yield stack
        finally:
            stack.kill()


def pids(folder: Path, *names: str) -> list[int]:
    """Process and grandchild of each name, once they are there."""
    eventually(lambda: all((folder / f"{name}.pids").exists() for name in names))
    return [int(pid) for name in names for pid in (folder / f"{name}.pids").read_text().split()]


def alive(pid: int) -> bool:
    """A zombie counts as gone: only its own parent can still remove it, and in a container nobody may do so."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def eventually(met: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_sigterm_stops_everything_in_order_and_leaves_nothing(tmp_path: Path) -> None:
    with small_stack(tmp_path, "redis:4", "api:2", "compute:3", "beat:1") as stack:
        everyone = pids(tmp_path, "redis", "api", "compute", "beat")
        assert all(alive(pid) for pid in everyone)
        stack.send_signal(signal.SIGTERM)
        told, _ = stack.communicate(timeout=10)
        assert stack.returncode == 0
        assert told.splitlines()[-1] == "stopped"
    assert (tmp_path / "order").read_text().split() == ["beat", "api", "compute", "redis"]
    assert not [pid for pid in everyone if alive(pid)]


def test_kill_9_of_the_supervisor_leaves_nothing_not_even_grandchildren(tmp_path: Path) -> None:
    with small_stack(tmp_path, "redis:4", "stubborn:3") as stack:
        everyone = pids(tmp_path, "redis", "stubborn")
        stack.kill()
        stack.wait(timeout=5)
        eventually(lambda: not any(alive(pid) for pid in everyone))


def test_a_killed_child_is_started_again_and_its_own_children_end_with_it(tmp_path: Path) -> None:
    with small_stack(tmp_path, "compute:3") as stack:
        process, grandchild = pids(tmp_path, "compute")
        os.kill(process, signal.SIGKILL)
        eventually(lambda: pids(tmp_path, "compute")[0] != process)
        assert not alive(grandchild)
        assert alive(pids(tmp_path, "compute")[0])
        stack.send_signal(signal.SIGINT)
        told, _ = stack.communicate(timeout=10)
    assert "compute ended (killed by SIGKILL); it starts again in 0.5 s" in told


def test_a_process_that_cannot_stay_up_ends_the_start_with_its_last_words(tmp_path: Path) -> None:
    with small_stack(tmp_path, "redis:4", "broken:2") as stack:
        redis = pids(tmp_path, "redis")
        told, _ = stack.communicate(timeout=15)
        assert stack.returncode == 1
    assert told.splitlines()[-1].startswith("PROCESS_FAILED broken exit code 7")
    assert "these are my last words" in told.splitlines()[-1]
    assert not [pid for pid in redis if alive(pid)]


def test_a_second_signal_does_not_wait_for_the_stubborn(tmp_path: Path) -> None:
    with small_stack(tmp_path, "stubborn:3") as stack:
        everyone = pids(tmp_path, "stubborn")
        stack.send_signal(signal.SIGTERM)
        eventually(lambda: (tmp_path / "order").exists())
        begun = time.monotonic()
        stack.send_signal(signal.SIGTERM)
        stack.communicate(timeout=10)
    assert time.monotonic() - begun < 3
    assert not [pid for pid in everyone if alive(pid)]
