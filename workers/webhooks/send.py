"""One try of one delivery: sign it, send it to a judged address, and say in an `Attempt` what came of it.

The receiver is chosen by a user and trusted with nothing. One look-up, judged; the socket goes to a judged address while
certificate, SNI and Host keep the name. No redirect is followed, no proxy of the environment is asked, nothing is unpacked,
at most 64 kB are read, and one deadline holds for the whole try. No word the receiver wrote reaches `Attempt.detail`:
otherwise callbacks could be used to read what inner servers answer.
"""

from __future__ import annotations

import http.client
import io
import math
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from standardwebhooks.webhooks import Webhook

from foundation.clock import Clock
from foundation.errors import Failure
from foundation.settings import WebhookSettings
from tasks.addresses import Callback, read_url
from workers.webhooks.address import OPEN, Wire, connected

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_ANSWER = 65_536
LONGEST_RETRY_AFTER = 86_400.0
JITTER = 0.2
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one try. `accepted`: a whole 2xx answer in time and in bounds. `gone`: 410, never call again."""

    status: int | None
    seconds: float
    error_code: str | None
    detail: str
    retry_after: float | None
    gone: bool
    accepted: bool


def sign(secrets: Sequence[str], message_id: str, timestamp: datetime, body: str) -> dict[str, str]:
    """The three headers of Standard Webhooks; with several secrets a signature of each, and one that is good is enough.

    Each secret is base64, with or without the `whsec_` before it.

    Two traps of the library are closed here: bytes would be signed as the text "b'...'", and a time of another zone would be
    taken for UTC.
    """
    if not isinstance(body, str):
        raise TypeError("a webhook body is signed as str")
    if timestamp.tzinfo is None:
        raise ValueError("a webhook timestamp needs a time zone")
    moment = timestamp.astimezone(UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(math.floor(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, moment, body) for secret in secrets),
    }


def next_wait(attempt: int, schedule: tuple[float, ...], retry_after: float | None, dice: float) -> float | None:
    """Seconds to wait before the try after `attempt` tries, None when no try is left. `dice` is in 0..1.

    The jitter is only ever added: a receiver that named a time is never called before it.
    """
    if attempt >= len(schedule):
        return None
    return max(schedule[attempt], retry_after or 0.0) * (1 + JITTER * dice)


@dataclass(slots=True)
class _Answer:
    """Filled while the answer arrives, so that its status is known when the connection breaks in its body."""

    status: int | None = None
    retry_after: float | None = None


class _TooLong(Exception):
    """The answer went past LONGEST_ANSWER."""


def send(url: str, body: str, headers: Mapping[str, str], settings: WebhookSettings, clock: Clock, wire: Wire = OPEN) -> Attempt:
    """Try one delivery. Never raises for what the network or the receiver does."""
    started = clock.tick()
    limit = settings.timeout_seconds

    def left() -> float:
        remaining = started + limit - clock.tick()
        if remaining <= 0:
            raise TimeoutError("the time of this try is used up")
        return remaining

    answer = _Answer()
    fault: tuple[str, str] | None = None
    try:
        callback = read_url(url, settings.allow_private)
        with closing(connected(callback, settings.allow_private, wire, left)) as line:
            _exchange(callback, body, headers, line, left, clock, answer)
    except Failure as failure:
        fault = failure.code, str(failure.context.get("reason", failure.message))
    except (OSError, http.client.HTTPException, _TooLong) as error:
        fault = _fault(error, limit)
    accepted = fault is None and _good(answer.status)
    if fault is None and not accepted:
        fault = "RECEIVER_REFUSED", "redirects are not followed" if answer.status in _REDIRECTS else "only 2xx counts as accepted"
    code, reason = fault or (None, "")
    if answer.status is not None:
        said = f"answered {answer.status} {http.client.responses.get(answer.status, '')}".rstrip()
        reason = f"{said}; {reason}" if reason else said
    return Attempt(
        status=answer.status,
        seconds=clock.tick() - started,
        error_code=code,
        detail=_printable(reason),
        retry_after=None if accepted else answer.retry_after,
        gone=answer.status == 410,
        accepted=accepted,
    )


def _exchange(
    callback: Callback, body: str, headers: Mapping[str, str], line: socket.socket, left: Callable[[], float], clock: Clock, answer: _Answer
) -> None:
    connection = http.client.HTTPConnection(callback.host, callback.port)
    connection.sock = _Line(line, left)
    given = {name.lower(): value for name, value in headers.items()}
    ours = {"host": callback.authority, "user-agent": _user_agent(), "connection": "close"}
    connection.request("POST", callback.target, body.encode(), {"content-type": "application/json", **given, **ours})
    try:
        with connection.getresponse() as response:
            answer.status = response.status
            answer.retry_after = _retry_after(response.getheader("Retry-After"), clock.now())
            if not _good(response.status):
                return  # the status says it all
            response.read(LONGEST_ANSWER)
            cut = bool(response.length)
    except ValueError as error:
        # http.client lets these out for some malformed answers, such as chunks of negative size
        raise http.client.HTTPException("malformed answer") from error
    if cut:
        raise ConnectionError("the connection ended within the answer")


class _Line:
    """As much of a socket as http.client uses. Its own timeout counts for each call; here time and bytes count for the whole try."""

    def __init__(self, line: socket.socket, left: Callable[[], float]) -> None:
        self._line, self._left = line, left

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._line.settimeout(self._left())
            rest = rest[self._line.send(rest) :]

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._line, self._left))

    def close(self) -> None:
        """http.client closes before it reads a last answer to its end; `send` closes the socket itself."""


class _Reader(io.RawIOBase):
    def __init__(self, line: socket.socket, left: Callable[[], float]) -> None:
        self._line, self._left, self._room = line, left, LONGEST_ANSWER

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        if not self._room:
            raise _TooLong
        self._line.settimeout(self._left())
        count = self._line.recv_into(memoryview(buffer)[: self._room])
        self._room -= count
        return count


def _good(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


def _fault(error: Exception, limit: float) -> tuple[str, str]:
    """Code and reason, in our words and the operating system's only."""
    if isinstance(error, _TooLong):
        return "RECEIVER_REFUSED", f"the answer is longer than {LONGEST_ANSWER} bytes"
    if isinstance(error, TimeoutError):
        return "RECEIVER_UNREACHABLE", f"no whole answer within {limit:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "RECEIVER_UNREACHABLE", f"the certificate is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "RECEIVER_UNREACHABLE", f"TLS failed: {error.reason}"
    if isinstance(error, socket.gaierror):
        return "RECEIVER_UNREACHABLE", "the name cannot be resolved"
    if isinstance(error, OSError | http.client.IncompleteRead):
        told = isinstance(error, OSError) and error.strerror
        return "RECEIVER_UNREACHABLE", told or "the connection ended before the answer was whole"
    return "RECEIVER_REFUSED", "the answer is not good HTTP"


def _retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait, from seconds or an HTTP date. What cannot be read counts as not said."""
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
        until = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return min(max(until - now, 0.0), LONGEST_RETRY_AFTER)


def _printable(text: str) -> str:
    """Fit for one line of a log or a page."""
    return text.encode("unicode_escape").decode("ascii")[:200]


@lru_cache(maxsize=1)
def _user_agent() -> str:
    return f"cadmill-webhooks/{version('cadmill')}"
