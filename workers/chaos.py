"""What a worker does to itself when chaos is asked of it. Imported only with CADMILL_CHAOS=1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from celery.worker import state as work
from celery.worker.control import control_command

from foundation import keyspace
from foundation.settings import settings
from foundation.telemetry import logger
from tasks.catalogue import UPKEEP_QUEUE
from tasks.chaos import COMMAND, MOST_SECONDS, Fault, first

_AFTER_SECONDS = 0.3  # the answer goes out before
# A process of its own session: it is not stopped with those it wakes.
_WAKE = (
    "import os, signal, sys, time; time.sleep(float(sys.argv[1])); target = int(sys.argv[2]); "
    "os.killpg(-target, signal.SIGCONT) if target < 0 else os.kill(target, signal.SIGCONT)"
)


@control_command(name=COMMAND, args=[("number", str), ("fault", str), ("seconds", float)])  # type: ignore[untyped-decorator]
def inflict(state: Any, number: str, fault: str, seconds: float) -> dict[str, str]:
    """Answers {"hit": what} when this worker takes the fault, else {"passed": why}."""
    here = "courier" if UPKEEP_QUEUE in state.app.amqp.queues.consume_from else "compute"
    wanted = "courier" if fault in (Fault.KILL_COURIER, Fault.PAUSE_COURIER) else "compute"
    if here != wanted:
        return {"passed": f"this is a {here}"}
    client = keyspace.client(settings().redis)
    try:
        if not first(client, number):
            return {"passed": "another one took it"}
    finally:
        client.close()
    what, act = _act(Fault(fault), state, min(seconds, MOST_SECONDS))
    logger.warning("chaos: %s hits %s", fault, what)
    threading.Timer(_AFTER_SECONDS, act).start()
    return {"hit": what}


def _act(fault: Fault, state: Any, seconds: float) -> tuple[str, Callable[[], None]]:
    if fault is Fault.KILL_CHILD:
        child = _a_child(state)
        return f"process {child}", lambda: os.kill(child, signal.SIGKILL)
    everybody = _everybody()
    if fault in (Fault.KILL_COMPUTE, Fault.KILL_COURIER):
        return f"process {os.getpid()}", lambda: _send(everybody, signal.SIGKILL)

    def pause() -> None:
        subprocess.Popen([sys.executable, "-c", _WAKE, str(seconds), str(everybody)], start_new_session=True)
        _send(everybody, signal.SIGSTOP)

    return f"process {os.getpid()} for {seconds:g} s", pause


def _a_child(state: Any) -> int:
    busy = [request.worker_pid for request in work.active_requests if request.worker_pid]
    return int(busy[0] if busy else state.consumer.pool.info["processes"][0])


def _everybody() -> int:
    """Our process group as a negative number, as kill(2) has it, where it is ours alone; else this process."""
    return -os.getpgrp() if os.getpgrp() == os.getpid() else os.getpid()


def _send(target: int, number: signal.Signals) -> None:
    if target < 0:
        os.killpg(-target, number)
    else:
        os.kill(target, number)
