"""The doorbell: publish ids of work that is ready, and look which ids the broker still holds.

A message carries an id and nothing else. A lost one is found by `held` and rung again by upkeep; a double one is
dropped by the claim. A publish error means "unknown", never "not sent".
"""

from __future__ import annotations

import base64
import binascii
import json
import queue
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from celery import Celery
from kombu.exceptions import KombuError
from redis import Redis, RedisError

from foundation import keyspace
from foundation.resilience.protection import Refused, guard
from foundation.telemetry import RingFailed, emit, logger
from tasks.catalogue import DELIVER, WEBHOOK_QUEUE
from tasks.vocabulary import Priority


@dataclass(frozen=True, slots=True)
class Ring:
    task: str
    id: str
    queue: str
    step: int


def of_chunks(ids: Iterable[str], name: str, step: int) -> list[Ring]:
    """Rings for chunks of one queue; a queue carries the name of its task."""
    return [Ring(name, chunk_id, name, step) for chunk_id in ids]


def of_deliveries(ids: Iterable[str]) -> list[Ring]:
    return [Ring(DELIVER, delivery_id, WEBHOOK_QUEUE, Priority.NORMAL.step) for delivery_id in ids]


class Doorbell:
    """Rings in the caller's thread; takes no longer than the broker's socket timeout."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def ring(self, rings: Sequence[Ring]) -> bool:
        """Publish in one batch. False: Redis did not take them all; upkeep rings again."""
        if not rings:
            return True
        try:
            with guard("broker"), self._app.producer_or_acquire() as producer, producer.batch():
                for one in rings:
                    self._app.send_task(one.task, args=(one.id,), queue=one.queue, priority=one.step, producer=producer, ignore_result=True)
        except (KombuError, RedisError, OSError) as error:
            emit(RingFailed(len(rings), type(error).__name__))
            return False
        except Refused as refused:
            emit(RingFailed(len(rings), refused.code))
            return False
        return True


class BackgroundDoorbell(Doorbell):
    """Rings in one thread of its own, so that no request ever waits for Redis. What does not fit is left to upkeep."""

    def __init__(self, app: Celery, room: int = 1000) -> None:
        super().__init__(app)
        self._waiting: queue.Queue[Sequence[Ring] | None] = queue.Queue(room)
        self._thread = threading.Thread(target=self._work, name="doorbell", daemon=True)
        self._thread.start()

    def ring(self, rings: Sequence[Ring]) -> bool:
        if not rings:
            return True
        try:
            self._waiting.put_nowait(rings)
        except queue.Full:
            emit(RingFailed(len(rings), "too many rings are waiting"))
            return False
        return True

    def close(self, seconds: float = 5.0) -> None:
        """Ring what is waiting, then stop; what takes longer is left to upkeep."""
        try:
            self._waiting.put(None, timeout=seconds)
        except queue.Full:
            return
        self._thread.join(seconds)

    def _warm(self) -> None:
        """Load what the first publish needs, so that no user's first job waits for it."""
        self._app.finalize()
        _ = self._app.amqp.queues, self._app.backend
        with suppress(KombuError, RedisError, OSError, Refused), guard("broker"), self._app.producer_or_acquire() as producer:
            producer.connection.ensure_connection(max_retries=1, timeout=1)

    def _work(self) -> None:
        self._warm()
        while (rings := self._waiting.get()) is not None:
            try:
                super().ring(rings)
            except Exception:  # noqa: BLE001 - the last resort of a thread that must not end
                logger.exception("the doorbell failed")  # and goes on: upkeep rings what this one did not


@dataclass(frozen=True, slots=True)
class Held:
    """Ids that the broker holds: `listed` wait in a queue, `fetched` were taken by a worker and not yet acknowledged."""

    listed: frozenset[str]
    fetched: frozenset[str]


def held(client: Redis, queues: Iterable[str]) -> Held:
    """Look into the queues, which the window keeps short. Raises `redis.RedisError`."""
    with client.pipeline(transaction=False) as pipe:
        for name in queues:
            for step in keyspace.STEPS:
                pipe.lrange(keyspace.queue_key(name, step), 0, -1)
        pipe.hvals(keyspace.UNACKED)
        *lists, unacked = pipe.execute()
    return Held(
        frozenset(_ids(json.loads(raw) for messages in lists for raw in messages)), frozenset(_ids(json.loads(raw)[0] for raw in unacked))
    )


def silence(client: Redis, queues: Iterable[str], ring_id: str) -> int:
    """Take the waiting rings of an id out of the queues; how many there were. Raises `redis.RedisError`."""
    gone = 0
    for key in [keyspace.queue_key(name, step) for name in queues for step in keyspace.STEPS]:
        for raw in client.lrange(key, 0, -1):
            if ring_id in _ids([json.loads(raw)]):
                gone += int(client.lrem(key, 1, raw))  # type: ignore[arg-type]
    return gone


def _ids(messages: Iterable[dict[str, str]]) -> Iterable[str]:
    """The first argument of each message. One that is not ours to read cannot be a ring of ours."""
    for message in messages:
        try:
            arguments = json.loads(base64.b64decode(message["body"]))[0]
        except (KeyError, IndexError, ValueError, binascii.Error, TypeError):
            continue
        if arguments:
            yield str(arguments[0])
