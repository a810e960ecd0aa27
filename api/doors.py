"""What stands before every route: a request id, the caller, rate limits, caps on the body, a measure of the answer."""

from __future__ import annotations

from collections.abc import Collection

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import limits
from api.bodies import NO_LETTER, Body
from api.limits import Limits
from api.peers import Network, origin
from api.problems import answer_to, route_of
from foundation import caller
from foundation.clock import Clock
from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from foundation.settings import UploadSettings
from foundation.telemetry import RequestAnswered, emit, logger

REFUSED = "cadmill_refused"
"""In the scope of a call: the failure that stands in its way already."""


class Doors:
    """ASGI middleware."""

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
        body = Body(receive, self._clock, self._caps, scope["path"] in self._uploads, headers)
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
                if REFUSED in scope:
                    raise scope[REFUSED]
                if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                    raise Failure("REQUEST_INVALID", {"fields": {"address": NO_LETTER}})
                body.must_not_announce_too_much()
                await self._limits.enter(scope["method"], scope["path"], headers.get(b"x-api-key", b"").decode("latin-1"))
                await self._app(scope, body.receive, watched_send)
            except Failure as failure:
                if status:
                    raise
                await answer_to(Request(scope), failure)(scope, receive, watched_send)
            except Exception as defect:  # the last resort: within the versions, so that a defect too is told as the version has it
                if status:
                    raise
                logger.error("request %s failed", request_id, exc_info=defect)
                await answer_to(Request(scope), failure_of(defect, Provider.API, request_id=request_id))(scope, receive, watched_send)
            finally:
                emit(RequestAnswered(route_of(scope), scope["method"], status, self._clock.tick() - started))
