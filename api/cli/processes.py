"""The table of processes `cadmill up` runs: name, command, what it is for, and when it is stopped."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

# The implementation that echoes twice as fast as the default. A frame is a short question: 64 kB. A connection is dead when two
# pings in a row had no answer. Events are short and many: deflating each for each reader costs more than it saves.
WEBSOCKETS = "--ws websockets-sansio --ws-max-size 65536 --ws-ping-interval 20 --ws-ping-timeout 40 --ws-per-message-deflate false"


class Stop(IntEnum):
    """The order of stopping: who only watches or asks goes first, who does the work later, what they stand on last."""

    WATCHERS = 1
    DOORS = 2
    WORKERS = 3
    REDIS = 4


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the stack. `grace` is how long it may take to end by itself, `keep` the file descriptors it inherits."""

    name: str
    purpose: str
    argv: tuple[str, ...]
    stop: Stop
    grace: float = 5.0
    keep: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Shape:
    """What one run of the stack is made of."""

    directory: Path
    listener: int
    port: int
    concurrency: int
    compute_queues: tuple[str, ...]
    courier_queues: tuple[str, ...]
    flower_port: int | None
    grpc_port: int = 0  # 0: no gRPC


def table(shape: Shape) -> tuple[Process, ...]:
    """All processes above Redis, in the order in which they start."""
    # The port is in the node names because two stacks on one machine may share one Redis, where names must differ.
    # Flower sees tasks only if workers send events, which costs throughput: so only when there is a Flower.
    events = "" if shape.flower_port is None else " -E"
    # No mingle, no gossip: workers have nothing to tell each other, and asking costs a second at every start.
    worker = "celery -A workers worker --loglevel INFO --without-mingle --without-gossip" + events
    # No proxy headers: uvicorn would believe anybody on this machine; whom to believe is CADMILL_API_TRUSTED_PROXIES (`api/peers.py`).
    api = (
        f"uvicorn api.app:create --factory --fd {shape.listener} --no-access-log --no-proxy-headers "
        f"--timeout-graceful-shutdown 5 {WEBSOCKETS}"
    )
    compute = f"{worker} -P prefork -c {shape.concurrency} -Q {','.join(shape.compute_queues)} -n compute.{shape.port}@%h"
    courier = f"{worker} -P threads -c 8 -Q {','.join(shape.courier_queues)} -n courier.{shape.port}@%h"
    # enable_events off: the workers send events already (-E); Flower would order them again every 5 seconds.
    flower = (
        f"celery -A tasks flower --address=127.0.0.1 --port={shape.flower_port} --persistent=False --read_only=True --enable_events=False"
    )
    rows = [
        Process("api", "answers HTTP", _python(api), Stop.DOORS, grace=8.0, keep=(shape.listener,)),
        Process("compute", "reads files, computes features, searches", _python(compute), Stop.WORKERS, grace=15.0),
        Process("courier", "delivers webhooks and keeps order, never behind long jobs", _python(courier), Stop.WORKERS, grace=25.0),
        Process("beat", "ticks", (*_python("celery -A tasks beat --pidfile= -s"), str(shape.directory / "beat-schedule")), Stop.WATCHERS),
    ]
    if shape.grpc_port:
        rows.append(Process("grpc", "answers gRPC", _python("api.grpc"), Stop.DOORS, grace=18.0))
    if shape.flower_port is not None:
        rows.append(Process("flower", "shows the Celery workers, read-only", _python(flower), Stop.WATCHERS))
    return tuple(rows)


def _python(command: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *command.split())
