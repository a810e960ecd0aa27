"""One listener's end: what it listens to, what waits for it, and why it ended."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from foundation.clock import iso
from foundation.progress import Told


@dataclass(frozen=True, slots=True)
class Ending:
    """Why we end a connection: its word, WebSocket close code and sentence."""

    reason: str
    code: int
    sentence: str


LEFT = Ending("left", 1000, "The listener left.")
SLOW = Ending("slow", 4408, "You read too slowly, and more waits than is kept for you: come back with last_event_id.")
REVOKED = Ending("revoked", 1008, "Your key may not be used any more.")
UNVERIFIED = Ending("unverified", 1013, "Your key cannot be looked at again just now: come back later with last_event_id.")
CROWDED = Ending("crowded", 1013, "So many listen already: come back later.")
STOPPING = Ending("stopping", 1012, "The server stops: come back in a few seconds with last_event_id.")
ENDINGS = (LEFT, SLOW, REVOKED, UNVERIFIED, CROWDED, STOPPING)


@dataclass(frozen=True, slots=True)
class Message:
    """What a listener is told. `id` is where to resume after it (empty: it changes nothing); `text` is its JSON, made once for all."""

    type: str
    id: str
    data: dict[str, Any]
    text: str


def message(kind: str, after: str, at: float, data: dict[str, Any], job: str = "") -> Message:
    told: dict[str, Any] = {"type": kind, **({"id": after} if after else {}), "at": iso(at), **({"job": job} if job else {}), "data": data}
    return Message(kind, after, data, json.dumps(told, separators=(",", ":")))


def of_event(told: Told) -> Message:
    return message(told.event.type, told.id, told.at, dict(told.event.data), told.event.job_id)


@dataclass(eq=False, slots=True)
class Feed:
    """Belongs to one event loop. Its queue is bounded: a reader that is too slow is dropped, not waited for."""

    id: str
    tenant_id: str
    key_id: str
    door: str
    room: int  # messages that may wait
    most_asked: int  # and so many more, if they were asked for
    channels: set[str] = field(default_factory=set)
    ended: Ending | None = None
    _extra: int = 0  # asked for, since all that waited was taken
    _waiting: deque[Message] = field(default_factory=deque)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, *messages: Message) -> None:
        """Have messages told that the listener has asked for: they may be many, and make no reader slow."""
        self._extra += len(messages)
        self.offer(*messages)

    def offer(self, *messages: Message) -> None:
        """Have messages told, unless so many wait already that the listener is too slow."""
        if self.ended is not None:
            return
        if len(self._waiting) + len(messages) > self.room + min(self._extra, self.most_asked):
            self.end(SLOW)
            return
        self._waiting.extend(messages)
        self._changed.set()

    def end(self, ending: Ending) -> None:
        """Tell nothing more. The first reason stands."""
        if self.ended is None:
            self.ended = ending
            self._waiting.clear()
            self._changed.set()
            self.over.set()

    async def take(self, seconds: float | None = None) -> list[Message]:
        """What waits, or what comes first; nothing when the feed has ended, or after so many seconds of silence."""
        if not self._waiting and self.ended is None:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), seconds)
            except TimeoutError:
                return []
        taken = list(self._waiting)
        self._waiting.clear()
        self._extra = 0
        return taken
