"""What stands before every route: a request id, rate limits, caps on the body and on how long it may take, a measure of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import limits
from api.limits import Limits
from api.peers import Network, origin
from api.problems import answer
from foundation import caller
from foundation.clock import Clock
from foundation.errors import Failure
from foundation.settings import UploadSettings
from foundation.telemetry import RequestAnswered, emit

_LINGER_SECONDS, _LINGER_BYTES = 2.0, 16_000_000
"""How long, and how much, of a body nobody wants is still read, so that its sender gets to read why."""


class Doors:
    """ASGI middleware. Bodies are counted as they arrive: a header may lie. Uploads have a cap of their own."""

    def __init__(
        self, app: ASGIApp, clock: Clock, caps: UploadSettings, limits: Limits, uploads: Collection[str], proxies: tuple[Network, ...] = ()
    ) -> None:
        self._app, self._clock, self._caps, self._limits, self._uploads, self._proxies = app, clock, caps, limits, uploads, proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id = self._clock.tick(), self._clock.new_id("req")
        scope["cadmill_request_id"] = request_id
        headers = dict(scope["headers"])
        most = self._caps.max_body_bytes if scope["path"] in self._uploads else self._caps.max_json_bytes
        body = _Body(receive, self._clock, self._caps, most, headers)
        status = 0
        with caller.asking(origin(scope, self._proxies), request_id) as asker:

            async def watched_send(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = int(message["status"])
                    told = [(b"x-request-id", request_id.encode()), *limits.headers(asker.limits)]
                    if asker.rotation_hint:
                        told.append((b"x-next-rotation-hint", asker.rotation_hint.encode()))
                    if not body.ended:
                        told.append((b"connection", b"close"))
                    message = {**message, "headers": [*message.get("headers", ()), *told]}
                elif not message.get("more_body") and not body.ended:
                    await send({**message, "more_body": True})
                    await body.drain()
                    message = {"type": "http.response.body", "body": b""}
                await send(message)

            try:
                body.must_not_announce_too_much()
                await self._limits.enter(scope["method"], scope["path"], headers.get(b"x-api-key", b"").decode("latin-1"))
                await self._app(scope, body.receive, watched_send)
            except Failure as failure:
                if status:
                    raise
                await answer(failure)(scope, receive, watched_send)
            finally:
                route = getattr(scope.get("route"), "path", "none")
                emit(RequestAnswered(route, scope["method"], status, self._clock.tick() - started))


class _Body:
    """The body of one request on its way in."""

    def __init__(self, receive: Receive, clock: Clock, caps: UploadSettings, most: int, headers: dict[bytes, bytes]) -> None:
        self._receive, self._clock, self._caps, self._most = receive, clock, caps, most
        self._announced = int(length) if (length := headers.get(b"content-length", b"")).isdigit() else 0
        self.ended = not self._announced and b"transfer-encoding" not in headers
        self._seen, self._waited = 0, 0.0

    def must_not_announce_too_much(self) -> None:
        """Raises BODY_TOO_LARGE before anything is read."""
        if self._announced > self._most:
            raise Failure("BODY_TOO_LARGE", {"limit_bytes": self._most})

    async def receive(self) -> Message:
        """The next piece. Raises BODY_TOO_LARGE, BODY_TOO_SLOW: only the sender's time counts, never what we take to write it down."""
        if self.ended:
            return await self._receive()
        caps, started = self._caps, self._clock.tick()
        patience = min(caps.idle_seconds, caps.idle_seconds + self._seen / caps.min_bytes_per_second - self._waited)
        try:
            async with asyncio.timeout(max(0.0, patience)):
                message = await self._receive()
        except TimeoutError as error:
            told = {"received_bytes": self._seen, "idle_seconds": caps.idle_seconds, "min_bytes_per_second": caps.min_bytes_per_second}
            raise Failure("BODY_TOO_SLOW", told) from error
        self._waited += self._clock.tick() - started
        self._seen += len(message.get("body", b""))
        self.ended = message["type"] != "http.request" or not message.get("more_body")
        if self._seen > self._most:
            raise Failure("BODY_TOO_LARGE", {"limit_bytes": self._most})
        return message

    async def drain(self) -> None:
        """Read on for a moment and throw it away: a connection that is closed on unread bytes takes the answer with it."""
        seen = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self.ended and seen < _LINGER_BYTES:
                    message = await self._receive()
                    seen += len(message.get("body", b""))
                    self.ended = message["type"] != "http.request" or not message.get("more_body")
        except TimeoutError:
            return
