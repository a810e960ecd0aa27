"""How each version says what the routes answer. No route knows of it.

A JSON answer whose length is known is rendered; what is streamed (tables, lines, documents, pictures, events) and what has no body
passes as it is. Rendering wraps the bytes the route made and reads nothing of them, so it costs the same for every size but a copy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import versions
from api.doors import REFUSED
from api.versions import Asked, Feature, Table
from foundation.errors import Failure

_JSON, _PROBLEM = b"application/json", b"application/problem+json"


def bare(body: bytes, _problem: bool, call: Asked, _request_id: str) -> bytes:
    """v1: the body itself; a page ends with its cursor."""
    if call.next_cursor is False:
        return body
    return body[:-1] + b',"next_cursor":' + json.dumps(call.next_cursor).encode() + b"}"


def enveloped(body: bytes, problem: bool, call: Asked, request_id: str) -> bytes:
    """v2: what was asked for in `data`, what is said of the answer in `meta`, what went wrong in `errors`."""
    meta: dict[str, Any] = {"request_id": request_id, "version": call.version.name}
    if call.next_cursor is not False and not problem:
        meta["next_cursor"] = call.next_cursor
    about = b',"meta":' + json.dumps(meta, separators=(",", ":")).encode() + b',"errors":['
    return b'{"data":null' + about + body + b"]}" if problem else b'{"data":' + body + about + b"]}"


def renderer(call: Asked) -> Callable[[bytes, bool, Asked, str], bytes]:
    return enveloped if call.version.has(Feature.ENVELOPE) else bare


class Versioned:
    """ASGI middleware, the outermost: takes the version out of the path, tells it to all within, and renders what comes back."""

    def __init__(self, app: ASGIApp, table: Table) -> None:
        self._app, self._table = app, table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] not in ("http", "websocket") or not path.startswith(versions.PREFIX + "/"):
            await self._app(scope, receive, send)
            return
        try:
            version, rest = self._table.choose(path, versions.headed(scope["headers"]))
        except Failure as failure:
            await self._refuse(failure, path, scope, receive, send)
            return
        inner = {**scope, "path": rest, "raw_path": rest.encode("utf-8", "surrogateescape")}
        told = self._table.headers(version, rest)
        if rest == path or path.removesuffix("/") == rest:
            told.append(("Vary", versions.HEADER))  # the address alone does not say which version this is
        with versions.asking(version) as call:
            if scope["type"] == "websocket":
                await self._app(inner, receive, send)
            else:
                await self._app(inner, receive, _Answer(inner, call, _encoded(told), send))

    async def _refuse(self, failure: Failure, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        """There is no version to say it in: it is plain RFC 9457, from the door within; a WebSocket does not get its handshake."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": failure.code})
            return
        ended = failure.code == "VERSION_SUNSET"
        version = self._table.named(str(failure.context["version"])) if ended else self._table.current
        headers = _encoded(self._table.headers(version, versions.unversioned(path)))

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self._app({**scope, REFUSED: failure}, receive, told)


def _encoded(headers: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]


class _Answer:
    """One answer on its way out. The start of one that is rendered waits for its body, for its length changes."""

    def __init__(self, scope: Scope, call: Asked, headers: list[tuple[bytes, bytes]], send: Send) -> None:
        self._scope, self._call, self._headers, self._send = scope, call, headers, send
        self._start: Message | None = None
        self._body: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *self._headers]}
            if self._is_rendered(message):
                self._start = message
                return
        if self._start is None or message["type"] != "http.response.body":
            await self._send(message)
            return
        self._body.append(message.get("body", b""))
        if not message.get("more_body", False):
            await self._finish(self._start)

    def _is_rendered(self, start: Message) -> bool:
        headers = dict(start["headers"])
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip()
        sized = int(headers.get(b"content-length", b"0")) > 0
        if not sized or self._scope["method"] == "HEAD" or kind not in (_JSON, _PROBLEM):
            return False
        return self._call.version.has(Feature.ENVELOPE) or (kind == _JSON and self._call.next_cursor is not False)

    async def _finish(self, start: Message) -> None:
        problem = dict(start["headers"])[b"content-type"].startswith(_PROBLEM)
        body = renderer(self._call)(b"".join(self._body), problem, self._call, self._scope.get("cadmill_request_id", ""))
        changed = {b"content-length": str(len(body)).encode()} | ({b"content-type": _JSON} if problem else {})
        self._start = None
        await self._send({**start, "headers": [(name, changed.get(name, value)) for name, value in start["headers"]]})
        await self._send({"type": "http.response.body", "body": body})
