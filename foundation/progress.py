"""Live events over Redis, both ends: what is told while it happens, to whoever looks on.

The ledger is the truth and this is news of it: an event is published after its commit, losing one is harmless and never silent (`gap`).
One capped stream carries all of them: it fans out, since every API process reads it, and it remembers, so that a reader resumes by id.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from redis import Redis, RedisError

from foundation import keyspace
from foundation.clock import SYSTEM, Clock
from foundation.telemetry import LiveDropped, LivePublished, emit, logger

if TYPE_CHECKING:
    from redis.asyncio import Redis as AsyncRedis  # only the API reads, and pays for the import


class Topic(StrEnum):
    """What one may listen to across jobs: the whole list."""

    JOBS = "jobs"
    ITEMS = "items"
    DELIVERIES = "deliveries"
    DUPLICATES = "duplicates"
    QUEUES = "queues"
    ENGINE = "engine"
    ANNOUNCEMENTS = "announcements"


@dataclass(frozen=True, slots=True)
class EventType:
    """One row of the table of events. `thinned`: at most one in `THIN_SECONDS` for each job and process, the last one always."""

    name: str
    topic: Topic | None
    fields: tuple[str, ...]
    meaning: str
    thinned: bool = False


_TABLE = (
    EventType(
        "job.state",
        Topic.JOBS,
        ("id", "kind", "state", "priority", "generation", "counts", "paused_at", "created_at", "started_at", "finished_at", "error"),
        "a job was accepted, began, paused, went on, was retried or ended",
    ),
    EventType("job.progress", Topic.JOBS, ("id", "kind", "state", "generation", "counts"), "items of a job have ended", thinned=True),
    EventType(
        "items.failed", Topic.ITEMS, ("job_id", "failed", "items"), "items of a job failed; `items` shows some of them", thinned=True
    ),
    EventType("delivery.state", Topic.DELIVERIES, ("id", "job_id", "state", "attempt", "status", "error_code"), "a webhook was tried"),
    EventType("duplicates.changed", Topic.DUPLICATES, ("job_id",), "the report of duplicates can be asked for anew"),
    EventType("queue.state", Topic.QUEUES, ("name", "paused", "reason"), "a queue was paused, or goes on"),
    EventType("engine.state", Topic.ENGINE, ("degraded", "reason"), "a worker searches without its fast index, or has it back"),
    EventType("announcement", Topic.ANNOUNCEMENTS, ("text",), "whoever runs this server has something to say"),
    EventType("gap", None, (), "events before this one may be missing: what is not in a snapshot has to be asked for"),
)
TYPES: Mapping[str, EventType] = {row.name: row for row in _TABLE}

EVERYONE = ""
"""The tenant of an event that is for all tenants."""
THIN_SECONDS = 0.3
ITEMS_SHOWN = 20
"""Most failed items that one event shows."""

_GATHER_SECONDS = 0.004  # after the first event: meanwhile whoever told it rings, answers and goes on undisturbed
_BATCH_SECONDS = 0.02  # what happens together is sent together
_ROOM = 5_000  # events a process keeps while Redis does not take them; after that some are lost, and a gap is told
_WAITS = (0.5, 1.0, 2.0, 5.0)  # before Redis is tried again
_FIELD = "e"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was committed. `tenant_id`: whose it is; `user`: the key it is of; `directed`: for that key and nobody else."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)
    tenant_id: str = EVERYONE
    job_id: str = ""
    user: str = ""
    directed: bool = False

    @property
    def channels(self) -> tuple[str, ...]:
        """Where it is heard. A gap is heard everywhere."""
        mine = (f"user:{self.user}",) if self.user else ()
        if self.directed:
            return mine
        topic = TYPES[self.type].topic
        told = ("tenant", f"topic:{topic}") if topic else ()
        return told + ((f"job:{self.job_id}",) if self.job_id else ()) + mine


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it was read. `id` grows from event to event, `at` is when it was published."""

    id: str
    at: float
    event: Event


def order(event_id: str) -> tuple[int, int]:
    """What to compare ids by. Raises ValueError for one that no stream has given out."""
    time, dash, number = event_id.partition("-")
    if not (dash and time.isascii() and time.isdigit() and number.isascii() and number.isdigit() and len(event_id) <= 41):
        raise ValueError(event_id[:64])
    return int(time), int(number)


# -- the publishing end ------------------------------------------------------------------------------------------------


class Publisher:
    """Sends events from a thread of its own: `publish` never waits, never raises. Make one after the fork."""

    def __init__(self, client: Redis, keep: int, clock: Clock = SYSTEM) -> None:
        self._client, self._keep, self._clock = client, keep, clock
        self._room = min(_ROOM, keep // 2)  # more in one go would push the gap that is told before it out of the stream
        self._waiting: deque[Event] = deque()
        self._held: dict[tuple[str, str], Event] = {}  # thinned ones, by type and job
        self._last: dict[tuple[str, str], float] = {}  # when one of those was sent
        self._lost = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def publish(self, *events: Event) -> None:
        """Have events sent, in this order. Where there is no room left they are dropped, counted, and told as a gap."""
        with self._changed:
            for event in events:
                self._take(event)
            if self._thread is None and not self._closing:
                self._thread = threading.Thread(target=self._work, name="live events", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self, seconds: float = 2.0) -> None:
        """Send what waits, for at most so long, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def _take(self, event: Event) -> None:
        if TYPES[event.type].thinned:
            key = (event.type, event.job_id)
            before = self._held.get(key)
            self._held[key] = event if before is None else _merged(before, event)
            return
        if event.job_id:  # what is held of this job comes before, unless this says it better
            if event.type == "job.state":
                self._held.pop(("job.progress", event.job_id), None)
            self._let_go("job.progress", event.job_id)
            self._let_go("items.failed", event.job_id)
        self._queue(event)

    def _let_go(self, name: str, job_id: str) -> None:
        if (held := self._held.pop((name, job_id), None)) is not None:
            self._queue(held)

    def _queue(self, event: Event) -> None:
        if len(self._waiting) >= self._room:
            self._lost += 1
        else:
            self._waiting.append(event)

    def _due(self, now: float) -> float | None:
        """Queue what was held long enough; how long until there is more. None: nothing is held."""
        soonest: float | None = None
        for key in list(self._held):
            left = 0.0 if self._closing else self._last.get(key, -THIN_SECONDS) + THIN_SECONDS - now
            if left <= 0:
                self._last[key] = now
                self._queue(self._held.pop(key))
            else:
                soonest = left if soonest is None else min(soonest, left)
        if len(self._last) > _ROOM:
            self._last = {key: at for key, at in self._last.items() if now - at < THIN_SECONDS}
        return soonest

    def _work(self) -> None:
        failures = 0
        while True:
            with self._changed:
                soonest = self._due(self._clock.tick())
                while not self._waiting and not self._closing:
                    self._changed.wait(soonest)
                    soonest = self._due(self._clock.tick())
                if not self._waiting:
                    return
                self._changed.wait_for(lambda: self._closing, _GATHER_SECONDS)
                batch, lost = list(self._waiting), self._lost
                self._waiting.clear()
                self._lost = 0
            if self._send(batch, lost):
                failures = 0
                self._pause(_BATCH_SECONDS)
            else:
                failures += 1
                if self._closing:
                    return
                self._pause(_WAITS[min(failures, len(_WAITS)) - 1])

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._closing:
                self._changed.wait_for(lambda: self._closing, seconds)

    def _send(self, batch: Sequence[Event], lost: int) -> bool:
        """One round trip. What Redis does not take is lost, for whoever reads later looks into the ledger anyway."""
        entries = ([Event("gap")] if lost else []) + list(batch)
        try:
            with self._client.pipeline(transaction=False) as pipe:
                for event in entries:
                    pipe.xadd(keyspace.LIVE, {_FIELD: _packed(event, self._clock.now())}, maxlen=self._keep, approximate=True)
                pipe.execute()
        except (RedisError, OSError) as error:
            with self._changed:
                self._lost += lost + len(batch)
            emit(LiveDropped(len(batch), type(error).__name__))
            return False
        except Exception:  # noqa: BLE001 - the last resort of a thread that must not end
            logger.exception("live events could not be sent")
            with self._changed:
                self._lost += lost + len(batch)
            emit(LiveDropped(len(batch), "defect"))
            return False
        emit(LivePublished(len(batch)))
        return True


def nobody(*_events: Event) -> None:
    """A publisher for processes that have nobody to tell."""


def _merged(before: Event, event: Event) -> Event:
    """Two thinned events of one job as one: the later one, with the failed items of both."""
    if event.type != "items.failed":
        return event
    shown = [*before.data["items"], *event.data["items"]][:ITEMS_SHOWN]
    return replace(event, data={**event.data, "failed": before.data["failed"] + event.data["failed"], "items": shown})


def _packed(event: Event, now: float) -> str:
    head = {"type": event.type, "at": round(now, 4), "tenant": event.tenant_id, "job": event.job_id, "user": event.user}
    return json.dumps({**head, "directed": event.directed, "data": event.data}, separators=(",", ":"), default=str)


# -- the reading end ---------------------------------------------------------------------------------------------------


async def window(client: AsyncRedis, keep: int) -> tuple[list[Told], str]:
    """What the stream still holds, at most `keep` events, and the id after which none is missing. Raises `redis.RedisError`."""
    entries: list[Any] = list(reversed(await client.xrevrange(keyspace.LIVE, count=keep) or ()))
    found = _read(entries)
    added = 0
    if await client.exists(keyspace.LIVE):
        added = int((await client.xinfo_stream(keyspace.LIVE))["entries-added"])
    return found, "0-0" if added == len(entries) else _text(entries[0][0]) if entries else "0-0"


async def follow(client: AsyncRedis, after: str, patience: float = 1.0) -> AsyncIterator[list[Told]]:
    """Events after an id, as they come, in batches; an empty one after so many seconds without any. Raises `redis.RedisError`."""
    while True:
        answer = await client.xread({keyspace.LIVE: after}, count=1000, block=int(patience * 1000))
        entries = _entries(answer)
        if entries:
            after = _text(entries[-1][0])
        yield _read(entries)


def _entries(answer: Any) -> list[Any]:
    """The entries of the one stream that was asked for, in either form of the protocol."""
    if not answer:
        return []
    if isinstance(answer, dict):
        (batches,) = answer.values()
        return list(batches[0]) if batches and isinstance(batches[0], list) else list(batches)
    return list(answer[0][1])


def _read(entries: Sequence[Any]) -> list[Told]:
    """What cannot be read is none of ours, or of a newer release, and is passed over."""
    found: list[Told] = []
    for entry_id, fields in entries:
        try:
            told = json.loads(fields[_FIELD.encode()])
            event = Event(told["type"], told["data"], told["tenant"], told["job"], told["user"], told["directed"])
            at = float(told["at"])
        except (KeyError, TypeError, ValueError):
            continue
        if event.type in TYPES:
            found.append(Told(_text(entry_id), at, event))
    return found


def _text(raw: Any) -> str:
    return raw.decode() if isinstance(raw, bytes) else str(raw)
