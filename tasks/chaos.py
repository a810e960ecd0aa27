"""The faults a user may inflict on a stack of their own, and how its processes hear of them. Imported only with CADMILL_CHAOS=1.

Broker faults are done where they are asked for. Those of workers are broadcast over Celery's remote control; the first
worker of the kind takes them, and each ends by itself after at most `MOST_SECONDS`.
"""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError
from pydantic import BaseModel, ConfigDict, Field
from redis import Redis, RedisError

from foundation import keyspace
from foundation.clock import SYSTEM
from foundation.errors import Failure
from foundation.resilience.protection import Refused, guard
from foundation.telemetry import logger
from tasks.catalogue import all_queues

COMMAND = "cadmill_chaos"
MOST_SECONDS = 60.0
_REPLY_SECONDS = 1.5
_DROP_EVERY_SECONDS = 0.02


class Fault(StrEnum):
    KILL_CHILD = "kill_child"
    KILL_COMPUTE = "kill_compute"
    KILL_COURIER = "kill_courier"
    PAUSE_COMPUTE = "pause_compute"
    PAUSE_COURIER = "pause_courier"
    EMPTY_QUEUES = "empty_queues"
    DROP_RINGS = "drop_rings"


MEANING = {
    Fault.KILL_CHILD: "kill -9 of one process of a compute worker, a busy one if there is one",
    Fault.KILL_COMPUTE: "kill -9 of a compute worker with all its children; whoever supervises it starts it again",
    Fault.KILL_COURIER: "kill -9 of a courier; likewise",
    Fault.PAUSE_COMPUTE: "SIGSTOP of a compute worker with all its children, SIGCONT after `seconds`",
    Fault.PAUSE_COURIER: "SIGSTOP of a courier, SIGCONT after `seconds`",
    Fault.EMPTY_QUEUES: "remove every message from cadmill's queues in Redis, and what workers have not acknowledged",
    Fault.DROP_RINGS: "do that again and again for `seconds`: rings get through only to workers that wait for one at that moment",
}


class ChaosRequest(BaseModel):
    """What `POST /chaos` takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    fault: Fault = Field(description="; ".join(f"{fault}: {meaning}" for fault, meaning in MEANING.items()))
    seconds: float = Field(5.0, gt=0, le=MOST_SECONDS, description="how long a pause or a drop lasts")


def inflict(app: Celery, client: Redis, request: ChaosRequest) -> dict[str, Any]:
    """Do it; answers who was hit. Raises BROKER_UNAVAILABLE, CHAOS_UNHEARD (no worker of the kind answered)."""
    try:
        if request.fault is Fault.EMPTY_QUEUES:
            return {"hit": "redis", "messages": empty_queues(client)}
        if request.fault is Fault.DROP_RINGS:
            threading.Thread(target=_drop, args=(client, request.seconds), name="chaos", daemon=True).start()
            return {"hit": "redis"}
        told = {"number": SYSTEM.new_id("chaos"), "fault": request.fault.value, "seconds": request.seconds}
        with guard("broker"):
            answers = app.control.broadcast(COMMAND, arguments=told, reply=True, timeout=_REPLY_SECONDS) or []
    except (KombuError, RedisError, OSError, Refused) as error:
        raise Failure("BROKER_UNAVAILABLE", {"reason": type(error).__name__}) from error
    hit = {name: said["hit"] for answer in answers for name, said in answer.items() if "hit" in said}
    if not hit:
        raise Failure("CHAOS_UNHEARD", {"fault": request.fault.value, "workers": sorted(name for answer in answers for name in answer)})
    return {"hit": hit}


def empty_queues(client: Redis) -> int:
    """Remove all messages of our queues; how many waited. Raises `redis.RedisError`."""
    keys = [keyspace.queue_key(name, step) for name in all_queues() for step in keyspace.STEPS]
    with client.pipeline(transaction=True) as pipe:
        for key in keys:
            pipe.llen(key)
        pipe.delete(*keys, keyspace.UNACKED, keyspace.UNACKED_INDEX)
        *lengths, _ = pipe.execute()
    return sum(lengths)


def first(client: Redis, number: str) -> bool:
    """Whether this process is the first to hear of a fault. Raises `redis.RedisError`."""
    return bool(client.set(keyspace.chaos_key(number), 1, nx=True, ex=round(2 * MOST_SECONDS)))


def _drop(client: Redis, seconds: float) -> None:
    end = SYSTEM.tick() + seconds
    while SYSTEM.tick() < end:
        try:
            empty_queues(client)
        except RedisError as error:
            logger.warning("chaos could not empty the queues: %s", error)
        SYSTEM.sleep(_DROP_EVERY_SECONDS)
