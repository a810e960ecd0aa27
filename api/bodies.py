"""The body of a request on its way in: counted, timed, and read for letters that are none."""

from __future__ import annotations

import asyncio
import re

from starlette.types import Message, Receive

from foundation.clock import Clock
from foundation.errors import Failure
from foundation.settings import UploadSettings

# Escapes of letters that are none: NUL, which PostgreSQL refuses, and halves of a pair, which no answer could hold.
_NO_LETTER = re.compile(
    rb"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F]\\u)[dD][c-fC-F])"
)
NO_LETTER = "a text may hold neither the letter NUL nor half of a surrogate pair"

_LINGER_SECONDS, _LINGER_BYTES = 2.0, 16_000_000
"""How long, and how much, of a body nobody wants is still read, so that its sender gets to read why."""


def _holds_no_letter(body: bytes) -> bool:
    """Whether a JSON text has such an escape. A backslash that is itself escaped begins none."""
    return b"\\u" in body and _NO_LETTER.search(body.replace(b"\\\\", b"  ")) is not None


class Body:
    """Of one request. A header may lie, so what arrives is counted. Files (`is_upload`) have a cap of their own and are not text."""

    def __init__(self, receive: Receive, clock: Clock, caps: UploadSettings, is_upload: bool, headers: dict[bytes, bytes]) -> None:
        self._receive, self._clock, self._caps = receive, clock, caps
        self._most = caps.max_body_bytes if is_upload else caps.max_json_bytes
        self._text: list[bytes] | None = None if is_upload else []
        self._announced = int(length) if (length := headers.get(b"content-length", b"")).isdigit() else 0
        self.ended = not self._announced and b"transfer-encoding" not in headers
        self._seen, self._waited = 0, 0.0

    def must_not_announce_too_much(self) -> None:
        """Raises BODY_TOO_LARGE before anything is read."""
        if self._announced > self._most:
            raise Failure("BODY_TOO_LARGE", {"limit_bytes": self._most})

    async def receive(self) -> Message:
        """The next piece. Only the sender's time counts, never what we take to write it down.

        Raises BODY_TOO_LARGE, BODY_TOO_SLOW, REQUEST_INVALID."""
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
        piece = message.get("body", b"")
        self._seen += len(piece)
        self.ended = message["type"] != "http.request" or not message.get("more_body")
        if self._seen > self._most:
            raise Failure("BODY_TOO_LARGE", {"limit_bytes": self._most})
        if self._text is not None:
            self._text.append(piece)
            if self.ended and _holds_no_letter(b"".join(self._text)):
                raise Failure("REQUEST_INVALID", {"fields": {"body": NO_LETTER}})
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
