"""Starts, watches and stops a table of processes. One thread, no events: a loop that looks every tenth of a second."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from api.cli.guardian import Guardian, die_with_parent, kill_group
from api.cli.processes import Process
from foundation.clock import SYSTEM, Clock
from foundation.errors import Failure

_LOOK_SECONDS = 0.1
_BACKOFF_FIRST, _BACKOFF_LIMIT = 0.5, 30.0
_STEADY_SECONDS = 60.0
"""A process that was up this long starts its backoff afresh when it dies."""
_DEATHS_BEFORE_READY = 3
_LOG_KEEP_BYTES = 20_000_000


class Stopped(Exception):
    """SIGINT, SIGTERM or SIGHUP arrived: leave whatever you do and let the `with` block stop the stack."""


@dataclass(slots=True)
class _Child:
    process: Process
    running: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    due: float = 0.0


def say(line: str) -> None:
    """Print a line at once. The stack outlives its reader (`cadmill up | head`), so a closed pipe is no reason to fall."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        sys.stdout = sys.stderr


class Supervisor:
    """Use as a context manager: leaving the block stops every process, in order, whatever the reason."""

    def __init__(self, logs: Path, environment: Mapping[str, str], cwd: Path, clock: Clock = SYSTEM) -> None:
        self.ready = False
        self._logs, self._environment, self._cwd, self._clock = logs, dict(environment), cwd, clock
        self._children: list[_Child] = []
        self._signals = 0

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup wants hang-ups ignored
                signal.signal(number, self._note)
        self.guardian = Guardian()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._stop()
        finally:
            self.guardian.close()

    def start(self, processes: Sequence[Process]) -> None:
        """Start processes in this order and keep them up from now on."""
        for process in processes:
            child = _Child(process)
            self._children.append(child)
            self._launch(child)
            self._check_signals()

    def run(self, process: Process, seconds: float) -> None:
        """Run a process that ends by itself; PROCESS_FAILED with its last lines when it ends badly or not in time."""
        child = _Child(process)
        self._children.append(child)
        self._launch(child)
        running, deadline = child.running, self._clock.tick() + seconds
        assert running is not None
        while running.poll() is None:
            if self._clock.tick() > deadline:
                raise self._failure(process, f"not finished after {seconds:g} s")
            self._look_around(besides=child)
        self._children.remove(child)
        self._bury(running)
        if running.returncode:
            raise self._failure(process, f"exit code {running.returncode}")

    def wait_until(self, met: Callable[[], bool], seconds: float, process: Process) -> None:
        """Tend the processes until `met`; PROCESS_FAILED of `process` when that takes too long."""
        deadline = self._clock.tick() + seconds
        while not met():
            if self._clock.tick() > deadline:
                raise self._failure(process, f"not ready after {seconds:g} s")
            self._look_around()

    def watch(self) -> None:
        """Tend the processes until a signal arrives (raises Stopped)."""
        while True:
            self._look_around()

    # one look

    def _look_around(self, besides: _Child | None = None) -> None:
        self._check_signals()
        for child in self._children:
            if child is not besides:
                self._tend(child)
        self._clock.sleep(_LOOK_SECONDS)

    def _tend(self, child: _Child) -> None:
        now = self._clock.tick()
        if child.running is None:
            if now >= child.due:
                self._launch(child)
        elif (code := child.running.poll()) is not None:
            self._bury(child.running)
            child.running = None
            child.deaths = 1 if now - child.started > _STEADY_SECONDS else child.deaths + 1
            if not self.ready and child.deaths >= _DEATHS_BEFORE_READY:
                raise self._failure(child.process, _ending(code))
            wait = min(_BACKOFF_LIMIT, _BACKOFF_FIRST * 2 ** (child.deaths - 1))
            child.due = now + wait
            say(f"{child.process.name} ended ({_ending(code)}); it starts again in {wait:g} s")

    def _launch(self, child: _Child) -> None:
        process = child.process
        try:
            with self._log_of(process).open("ab") as log:
                child.running = subprocess.Popen(
                    process.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=self._environment,
                    cwd=self._cwd,
                    start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and the group can be killed as a whole
                    pass_fds=process.keep,
                    preexec_fn=die_with_parent(signal.SIGKILL),
                )
        except OSError as error:
            raise Failure("PROCESS_FAILED", {"process": process.name, "reason": str(error)}) from error
        child.started = self._clock.tick()
        self.guardian.watch(child.running.pid)

    def _bury(self, running: subprocess.Popen[bytes]) -> None:
        """A process has ended: its own children, which only it could command, end with it."""
        kill_group(running.pid)
        self.guardian.forget(running.pid)

    # the end

    def _stop(self) -> None:
        for step in sorted({child.process.stop for child in self._children}):
            self._stop_step(
                [(child.process, child.running) for child in self._children if child.process.stop is step and child.running is not None]
            )

    def _stop_step(self, group: list[tuple[Process, subprocess.Popen[bytes]]]) -> None:
        for _, running in group:
            running.terminate()  # the process alone, not its group: a Celery worker wants to end its children itself
        begun = self._clock.tick()
        for process, running in group:
            while running.poll() is None and self._clock.tick() - begun < process.grace and self._signals < 2:
                self._clock.sleep(_LOOK_SECONDS / 2)
            kill_group(running.pid)
            running.wait()
            self.guardian.forget(running.pid)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals += 1

    def _check_signals(self) -> None:
        if self._signals:
            raise Stopped

    # logs

    def _log_of(self, process: Process) -> Path:
        path = self._logs / f"{process.name}.log"
        if path.exists() and path.stat().st_size > _LOG_KEEP_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path

    def _failure(self, process: Process, reason: str) -> Failure:
        path = self._logs / f"{process.name}.log"
        lines = path.read_text(errors="replace").splitlines()[-20:]
        return Failure("PROCESS_FAILED", {"process": process.name, "reason": reason, "log": str(path), "last_lines": lines})


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
