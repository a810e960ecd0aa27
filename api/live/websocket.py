"""The life of one WebSocket: who it is, what it wants to hear, and how it ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect

from api.live.feed import CROWDED, STOPPING, Ending, Feed, Message
from api.live.hub import Hub
from api.peers import origin
from api.policy import Credentials, Scope, admit
from api.problems import note, problem
from api.versions import link
from foundation import caller
from foundation.errors import Failure
from foundation.telemetry import logger
from ledger.tenants import Tenant

_GOODBYE_SECONDS = 10.0  # how long a slow reader may take to read why it is dropped
_ASKED = ("hello", "subscribe", "unsubscribe", "ping")
_POLICY = 1008


async def serve(socket: WebSocket, hub: Hub) -> None:
    """Admit, then tell and listen until either side ends it. The key comes by header, or in the first message: never in the address."""
    key = socket.headers.get("x-api-key")
    with caller.asking(origin(socket.scope, hub.house.settings.api.proxies()), hub.house.clock.new_id("req")):
        if key is not None:
            tenant = await _admitted(hub, key)  # a failure ends the handshake, as HTTP
            await socket.accept()
            await _Session(socket, hub).run(tenant, {})
            return
        await socket.accept()
        if hub.strangers >= hub.limits.max_strangers:
            await _refuse(
                socket, Failure("LIVE_CROWDED", {"limit": "sockets without a key", "allowed": hub.limits.max_strangers}), CROWDED.code
            )
            return
        hub.strangers += 1
        try:
            hello = await asyncio.wait_for(_object(socket), hub.limits.hello_seconds)
            if hello.get("type") != "hello" or not isinstance(hello.get("key"), str):
                raise Failure("API_KEY_MISSING", {"expected": {"type": "hello", "key": "..."}})
            tenant = await _admitted(hub, hello["key"])
        except TimeoutError:
            await _refuse(socket, Failure("API_KEY_MISSING", {"seconds": hub.limits.hello_seconds}), _POLICY)
            return
        except Failure as failure:
            await _refuse(socket, failure, _POLICY)
            return
        except WebSocketDisconnect:
            return
        finally:
            hub.strangers -= 1
        await _Session(socket, hub).run(tenant, hello)


async def _admitted(hub: Hub, key: str) -> Tenant:
    try:
        return await hub.ask(lambda: admit(hub.house, Credentials(key), Scope.READ))
    except Failure as failure:
        await _note(hub, failure)
        raise


async def _note(hub: Hub, failure: Failure) -> None:
    await hub.ask(lambda: note(hub.house, failure, f"WS {link('/live')}"))


async def _refuse(socket: WebSocket, failure: Failure, code: int) -> None:
    await socket.send_text(json.dumps({"type": "error", "data": problem(failure)}))
    await socket.close(code, failure.code)


async def _object(socket: WebSocket) -> dict[str, Any]:
    """The next message. Raises LIVE_MESSAGE_INVALID, WebSocketDisconnect."""
    received = await socket.receive()
    if received["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(received.get("code", 1005))
    try:
        told = json.loads(received.get("text") or "")
    except (ValueError, RecursionError) as error:
        raise Failure("LIVE_MESSAGE_INVALID", {"types": _ASKED}) from error
    if not isinstance(told, dict):
        raise Failure("LIVE_MESSAGE_INVALID", {"types": _ASKED})
    return told


class _Session:
    """An admitted connection: one task writes, this one reads, and the feed says when it is over."""

    def __init__(self, socket: WebSocket, hub: Hub) -> None:
        self._socket, self._hub = socket, hub
        self._last = ""  # id of the last message that was written

    async def run(self, tenant: Tenant, hello: dict[str, Any]) -> None:
        try:
            feed = self._hub.open(tenant, "websocket")
        except Failure as failure:
            await _refuse(self._socket, failure, CROWDED.code)
            return
        writing = asyncio.create_task(self._write(feed))
        reading = asyncio.create_task(self._read(feed, hello))
        over = asyncio.create_task(feed.over.wait())
        try:
            await asyncio.wait({writing, reading, over}, return_when=asyncio.FIRST_COMPLETED)
            writing.cancel()
            if feed.ended is not None and not reading.done():
                await self._say_goodbye(feed.ended)
                # A reader that never reads keeps its place until its socket is gone: it cannot fill the server with dead ones.
                await reading
        finally:
            for task in (writing, reading, over):
                task.cancel()
            for came in await asyncio.gather(writing, reading, return_exceptions=True):
                if isinstance(came, Exception) and not isinstance(came, WebSocketDisconnect | RuntimeError):
                    logger.error("a live connection failed", exc_info=came)
            self._hub.close(feed)

    async def _write(self, feed: Feed) -> None:
        while feed.ended is None:
            for told in await feed.take():
                await self._socket.send_text(told.text)
                self._last = told.id or self._last

    async def _read(self, feed: Feed, hello: dict[str, Any]) -> None:
        feed.offer(self._hub.welcome(feed))
        told = {**hello, "type": "subscribe"} if hello.get("channels") else None
        while True:
            try:
                if told is not None:
                    await self._heard(feed, told)
                told = await _object(self._socket)
            except WebSocketDisconnect:
                return
            except Failure as failure:
                await _note(self._hub, failure)
                told = None
                text = json.dumps({"type": "error", "data": problem(failure)})
                feed.offer(Message("error", "", {}, text))

    async def _heard(self, feed: Feed, told: dict[str, Any]) -> None:
        channels, after = told.get("channels"), told.get("last_event_id")
        match told.get("type"):
            case "subscribe" if isinstance(channels, list) and (after is None or isinstance(after, str)):
                await self._hub.subscribe(feed, channels, after)
            case "unsubscribe" if isinstance(channels, list):
                self._hub.unsubscribe(feed, channels)
            case "ping":
                feed.offer(Message("pong", "", {}, '{"type":"pong"}'))
            case _:
                raise Failure("LIVE_MESSAGE_INVALID", {"types": _ASKED})

    async def _say_goodbye(self, ending: Ending) -> None:
        """A last message with where to resume, then the close code."""
        data = {"code": ending.code, "reason": ending.reason, "message": ending.sentence, "last_event_id": self._last}

        async def goodbye() -> None:
            await self._socket.send_text(json.dumps({"type": "closing", "data": data}))
            await self._socket.close(ending.code, ending.reason)

        try:
            await asyncio.wait_for(goodbye(), 1.0 if ending is STOPPING else _GOODBYE_SECONDS)
        except (TimeoutError, WebSocketDisconnect, RuntimeError):
            return  # it does not read, or is gone already
