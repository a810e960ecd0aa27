"""Live events as server-sent events, for curl and for what speaks no WebSocket."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.live.feed import Feed, Message
from api.live.hub import Hub

_RETRY_MS = (1000, 4000)  # spread, so that not all come back at once when a server was started anew


class LiveStream(StreamingResponse):
    """Owns its feed: whatever ends the response closes it."""

    def __init__(self, hub: Hub, feed: Feed) -> None:
        super().__init__(_told(hub, feed), media_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._hub, self._feed = hub, feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._hub.close(self._feed)


async def _told(hub: Hub, feed: Feed) -> AsyncIterator[str]:
    yield f"retry: {random.randint(*_RETRY_MS)}\n\n"
    last = ""
    while feed.ended is None:
        told = await feed.take(hub.limits.heartbeat_seconds)
        if told:
            last = told[-1].id or last
            yield "".join(map(_text, told))
        elif feed.ended is None:
            yield ": still here\n\n"
    ending = feed.ended
    yield f'event: closing\ndata: {{"reason":"{ending.reason}","message":"{ending.sentence}","last_event_id":"{last}"}}\n\n'


def _text(told: Message) -> str:
    return (f"id: {told.id}\n" if told.id else "") + f"event: {told.type}\ndata: {told.text}\n\n"
