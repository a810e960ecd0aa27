"""Receivers that drip, flood, lie or stay silent: each try ends in time, in bounds and without an exception."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from foundation.clock import SYSTEM
from foundation.settings import WebhookSettings
from tasks.addresses import Address
from workers.webhooks.address import OPEN, Wire, dial
from workers.webhooks.send import LONGEST_ANSWER, Attempt, send

Play = Callable[[Callable[[socket.socket], None]], int]


def _try(port: int, config: WebhookSettings, wire: Wire = OPEN, scheme: str = "http", body: str = "{}") -> Attempt:
    return send(f"{scheme}://localhost:{port}/", body, {}, config, SYSTEM, wire)


def _after_request(*pieces: bytes, pause: float = 0.0, again: int = 1) -> Callable[[socket.socket], None]:
    """Reads the request, then sends the pieces, the last of them `again` times."""

    def script(line: socket.socket) -> None:
        request = b""
        while not request.endswith(b"{}") and not request.startswith(b"\x16"):
            request += line.recv(65_536)
        for piece in [*pieces[:-1], *pieces[-1:] * again]:
            line.sendall(piece)
            time.sleep(pause)

    return script


class _Counting(socket.socket):
    received = 0

    def recv_into(self, *words: Any) -> int:
        count = super().recv_into(*words)
        self.received += count
        return count


@pytest.mark.parametrize(
    "pieces",
    [
        (b"H", b"T"),
        (b"HTTP/1.1 200 OK\r\n", b"A"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
    ],
    ids=["status line", "header", "headers", "endless body", "long body", "chunks", "100 Continue"],
)
def test_a_slow_drip_is_cut_at_the_deadline(play: Play, hasty: WebhookSettings, pieces: tuple[bytes, ...]) -> None:
    attempt = _try(play(_after_request(*pieces, pause=0.02, again=60)), hasty)
    assert not attempt.accepted
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert "no whole answer within 0.4 s" in attempt.detail
    assert 0.35 < attempt.seconds < 0.8


def test_a_silent_receiver_is_cut_at_the_deadline(play: Play, hasty: WebhookSettings) -> None:
    attempt = _try(play(lambda line: time.sleep(0.8)), hasty)
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert attempt.seconds < 0.8


def test_a_tls_handshake_that_drips_is_cut_at_the_deadline(play: Play, hasty: WebhookSettings) -> None:
    header = b"\x16\x03\x03\x40\x00"  # a handshake record of 16 kB is announced
    attempt = _try(play(_after_request(header, b"\x02", pause=0.02, again=60)), hasty, scheme="https")
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert attempt.seconds < 0.8


def test_a_receiver_that_reads_nothing_is_cut_at_the_deadline(play: Play, hasty: WebhookSettings) -> None:
    attempt = _try(play(lambda line: time.sleep(0.8)), hasty, body="x" * 30_000_000)
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert attempt.seconds < 0.8


def test_a_receiver_that_reads_slowly_is_cut_at_the_deadline(play: Play, hasty: WebhookSettings) -> None:
    def sip(line: socket.socket) -> None:
        for _ in range(150):
            line.recv(200_000)
            time.sleep(0.01)

    attempt = _try(play(sip), hasty, body="x" * 30_000_000)
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert attempt.seconds < 0.8


def test_a_name_server_that_does_not_answer_is_cut_at_the_deadline(hasty: WebhookSettings) -> None:
    over = threading.Event()

    def look_up(*_: object, **__: object) -> list[tuple[Any, ...]]:
        over.wait(5)
        return []

    attempt = _try(9, hasty, Wire(look_up=look_up))
    over.set()
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert attempt.seconds < 0.8


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3B9ACA00\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
    ],
    ids=["length", "no length", "one chunk", "chunk of size -1"],
)
def test_an_answer_of_a_gigabyte_is_cut_at_64_kb_and_counts_as_a_failure(play: Play, inner: WebhookSettings, head: bytes) -> None:
    lines: list[_Counting] = []

    def counting(address: Address, port: int, seconds: float) -> socket.socket:
        lines.append(_Counting(fileno=dial(address, port, seconds).detach()))
        return lines[-1]

    attempt = _try(play(_after_request(head, b"x" * 1_000_000, again=1000)), inner, Wire(dial=counting))
    assert (attempt.accepted, attempt.status, attempt.error_code) == (False, 200, "RECEIVER_REFUSED")
    assert lines[0].received <= LONGEST_ANSWER
    assert attempt.seconds < 2


@pytest.mark.parametrize(
    "flood",
    [b"x" * 100, b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 90 + b"c: " + b"x" * 70_000],
    ids=["status line", "100 Continue", "header"],
)
def test_an_endless_head_is_cut(play: Play, inner: WebhookSettings, flood: bytes) -> None:
    attempt = _try(play(_after_request(flood, again=5000)), inner)
    assert attempt.error_code == "RECEIVER_REFUSED"


def test_endless_headers_are_cut(play: Play, inner: WebhookSettings) -> None:
    attempt = _try(play(_after_request(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 100, again=1000)), inner)
    assert attempt.error_code == "RECEIVER_REFUSED"


def test_endless_trailers_are_cut(play: Play, inner: WebhookSettings) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
    attempt = _try(play(_after_request(head, b"a: b\r\n" * 1000, again=1000)), inner)
    assert attempt.error_code == "RECEIVER_REFUSED"


def test_a_410_stays_a_410_when_its_body_never_ends(play: Play, hasty: WebhookSettings) -> None:
    attempt = _try(play(_after_request(b"HTTP/1.1 410 Gone\r\nRetry-After: 7\r\n\r\n", b"x", pause=0.02, again=60)), hasty)
    assert attempt.gone
    assert attempt.status == 410
    assert attempt.retry_after == 7
    assert attempt.error_code == "RECEIVER_REFUSED"
    assert attempt.seconds < 0.3


def test_a_gzip_bomb_is_not_unpacked(receiver: Any, inner: WebhookSettings) -> None:
    receiver.answer_headers, receiver.answer_body = {"Content-Encoding": "gzip"}, gzip.compress(bytes(50_000_000))
    assert len(receiver.answer_body) < LONGEST_ANSWER
    tracemalloc.start()
    attempt = _try(receiver.port, inner)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert attempt.accepted
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", "RECEIVER_UNREACHABLE"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "RECEIVER_UNREACHABLE"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "RECEIVER_UNREACHABLE"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nab\r\n", "RECEIVER_REFUSED"),
        (b"SSH-2.0-OpenSSH_9.2 inner-secret\r\n", "RECEIVER_REFUSED"),
        (b"-ERR unknown command inner-secret\r\n", "RECEIVER_REFUSED"),
        (b"HTTP/9.9 200 inner-secret\r\n\r\n", "RECEIVER_REFUSED"),
        (b"HTTP/1.1 two inner-secret\r\n\r\n", "RECEIVER_REFUSED"),
        (b"HTTP/1.1 500 inner-secret\x1b[2J<script>\r\nX: inner-secret\r\n\r\ninner-secret", "RECEIVER_REFUSED"),
    ],
)
def test_no_word_of_a_receiver_that_lies_reaches_the_detail(play: Play, inner: WebhookSettings, answer: bytes, code: str) -> None:
    attempt = _try(play(_after_request(answer)), inner)
    assert attempt.error_code == code
    assert not attempt.accepted
    assert "inner" not in attempt.detail
    assert "script" not in attempt.detail
    assert attempt.detail.isascii()
    assert attempt.detail.isprintable()
    assert 0 < len(attempt.detail) <= 200


def test_a_reset_in_the_middle_is_unreachable(play: Play, inner: WebhookSettings) -> None:
    def reset(line: socket.socket) -> None:
        line.recv(10)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    assert _try(play(reset), inner).error_code == "RECEIVER_UNREACHABLE"


_PIECES = st.sampled_from(
    [b"HTTP/1.1 ", b"HTTP/1.0 ", b"200", b"410", b" OK", b"\r\n", b"\n", b"Content-Length: ", b"Transfer-Encoding: chunked",
     b"-1", b"5", b"0",
     b"Retry-After: ", b"Connection: keep-alive", b"Proxy-Connection: x", b"\xff\x00", b"ffffffffffffffffffff", b" ", b":", b"100 Continue"]
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.lists(st.one_of(_PIECES, st.binary(max_size=4)), max_size=25).map(b"".join)))
@example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n")
def test_whatever_bytes_come_back_a_try_ends_in_an_attempt(inner: WebhookSettings, answer: bytes) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        attempt = _try(80, inner, Wire(look_up=lambda *_, **__: [(None, None, 6, "", ("127.0.0.1", 80))], dial=lambda *_: ours))
    assert attempt.accepted == (attempt.error_code is None)
    assert attempt.detail.isprintable()
    assert ours.fileno() == -1, "the socket is closed"
