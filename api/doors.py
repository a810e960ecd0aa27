"""What stands before every route: a request id, a cap on the body, a measure of the answer."""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problems import answer
from api.versions import PREFIX, link
from foundation import caller
from foundation.clock import Clock
from foundation.errors import Failure
from foundation.telemetry import RequestAnswered, emit, logger

# Escapes of letters that are none: NUL, which PostgreSQL refuses, and halves of a pair, which no answer could hold.
_NO_LETTER = re.compile(
    rb"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F]\\u)[dD][c-fC-F])"
)
_TOLD = "a text may hold neither the letter NUL nor half of a surrogate pair"


def _holds_no_letter(body: bytes) -> bool:
    """Whether a JSON text has such an escape. A backslash that is itself escaped begins none."""
    return b"\\u" in body and _NO_LETTER.search(body.replace(b"\\\\", b"  ")) is not None


REFUSED = "cadmill_refused"
"""In the scope of a call: the failure that stands in its way already."""


class Doors:
    """ASGI middleware. Bodies are counted as they arrive: a header may lie. Uploads have a cap of their own."""

    def __init__(self, app: ASGIApp, clock: Clock, max_json_bytes: int, uploads: str) -> None:
        self._app, self._clock, self._most, self._uploads = app, clock, max_json_bytes, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, request_id = self._clock.tick(), self._clock.new_id("req")
        scope["cadmill_request_id"] = request_id
        begun, seen = 0, 0
        whole: list[bytes] = []

        async def watched_send(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = int(message["status"])
                message = {**message, "headers": [*message.get("headers", ()), (b"x-request-id", request_id.encode())]}
            await send(message)

        async def capped_receive() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise Failure("BODY_TOO_LARGE", {"limit_bytes": self._most})
            whole.append(message.get("body", b""))
            if not message.get("more_body", False) and _holds_no_letter(b"".join(whole)):
                raise Failure("REQUEST_INVALID", {"fields": {"body": _TOLD}})
            return message

        capped = scope["path"] != self._uploads
        try:
            with caller.asking((scope.get("client") or ("",))[0], request_id):
                if REFUSED in scope:
                    raise scope[REFUSED]
                if "\0" in scope["path"] or b"%00" in scope["query_string"]:
                    raise Failure("REQUEST_INVALID", {"fields": {"address": _TOLD}})
                await self._app(scope, capped_receive if capped else receive, watched_send)
        except Failure as failure:
            if begun:
                raise
            await answer(failure)(scope, receive, watched_send)
        except Exception as defect:  # the last resort: within the versions, so that a defect too is told as the version has it
            if begun:
                raise
            logger.error("request %s failed", request_id, exc_info=defect)
            await answer(Failure("INTERNAL", {"request_id": request_id}))(scope, receive, watched_send)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            route = link(route) if scope["path"].startswith(PREFIX + "/") and route != "none" else route
            emit(RequestAnswered(route, scope["method"], begun, self._clock.tick() - started))
