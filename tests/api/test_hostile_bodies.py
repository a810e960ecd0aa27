"""Bodies that lie, drip or never end, over real sockets: each gets its answer, and nobody else notices."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.conftest import CAPS, THREADS
from tests.stack import Stack

BODY, IDLE = int(CAPS["MAX_BODY_BYTES"]), CAPS["IDLE_SECONDS"]


def head(capped: Stack, *lines: str, path: str = "/api/v1/parts?name=x") -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", f"X-API-Key: {capped.key}", *lines, "", ""]).encode()


def answer(line: socket.socket) -> bytes:
    """Everything until the server closes."""
    told = b""
    with contextlib.suppress(ConnectionResetError, TimeoutError):
        while data := line.recv(65536):
            told += data
    return told


@contextlib.contextmanager
def connected(capped: Stack) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", capped.port), timeout=20) as line:
        yield line


def memory(capped: Stack) -> int:
    """Resident bytes of the API."""
    status = Path(f"/proc/{capped.pid('api')}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def test_a_chunked_body_without_end_is_cut_off_and_the_connection_closed(capped: Stack) -> None:
    capped.http.post("/api/v1/parts?name=x", content=bytes(1_000_000))
    before, sent, piece = memory(capped), 0, b"40000\r\n" + bytes(0x40000) + b"\r\n"
    with connected(capped) as line:
        line.sendall(head(capped, "Transfer-Encoding: chunked"))
        with contextlib.suppress(ConnectionError, TimeoutError):
            while sent < 40 * BODY:
                line.sendall(piece)
                sent += len(piece)
        told = answer(line)
    assert b"413" in told.split(b"\r\n")[0] or sent < 40 * BODY
    assert sent <= BODY + 16_000_000 + 40_000_000  # the cap, what is read on for courtesy, and what the kernel holds
    assert memory(capped) - before < 30_000_000


@pytest.mark.parametrize("length", ["-5", "99999999999999999999999", "5, 6", "0x10", "+5"])
def test_a_length_that_is_none_is_refused(capped: Stack, length: str) -> None:
    with connected(capped) as line:
        line.sendall(head(capped, f"Content-Length: {length}") + b"hello")
        status = answer(line).split(b"\r\n")[0]
    assert status.split()[1] in (b"400", b"413"), status


def test_a_body_that_announces_too_much_is_refused_before_it_is_sent(capped: Stack) -> None:
    with connected(capped) as line:
        line.sendall(head(capped, f"Content-Length: {BODY + 1}"))
        line.settimeout(10)
        assert b"413" in line.recv(65536).split(b"\r\n")[0]


def test_a_body_shorter_than_it_says_is_given_up_after_the_idle_time(capped: Stack) -> None:
    began = time.monotonic()
    with connected(capped) as line:
        line.sendall(head(capped, "Content-Length: 1000") + b"half of it")
        told = answer(line)
    assert b"408" in told.split(b"\r\n")[0]
    assert b"BODY_TOO_SLOW" in told
    assert time.monotonic() - began < IDLE + 10


def test_a_slow_drip_ends_by_its_rate_and_holds_no_thread(capped: Stack) -> None:
    """Ten times as many drippers as the API has threads; others are answered while more of them drip than there are threads."""
    lines = [socket.create_connection(("127.0.0.1", capped.port), timeout=20) for _ in range(40)]
    ended: set[int] = set()
    began = time.monotonic()
    for line in lines:
        line.sendall(head(capped, "Content-Length: 1000000"))
        line.setblocking(False)
    answered_meanwhile = 0
    while len(ended) < len(lines) and time.monotonic() - began < 20:
        for number, line in enumerate(lines):
            if number not in ended:
                with contextlib.suppress(BlockingIOError):
                    try:
                        line.send(b"x")
                        if b"408" in line.recv(65536):
                            ended.add(number)
                    except ConnectionError:
                        ended.add(number)
        assert capped.http.get("/api/v1/queues").status_code == 200
        answered_meanwhile += len(ended) < len(lines) - THREADS
        time.sleep(0.1)
    for line in lines:
        line.close()
    assert len(ended) == len(lines)
    assert answered_meanwhile


def multipart(*parts: bytes) -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"


FILE = b'Content-Disposition: form-data; name="files"; filename="a.dxf"\r\n\r\nx'
LABELS = b'Content-Disposition: form-data; name="labels"\r\n\r\n'


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (multipart(*[FILE] * 100_000), 413, "BODY_TOO_LARGE"),
        (multipart(*[LABELS] * 100_000), 413, "BODY_TOO_LARGE"),
        (multipart(b"X-Long: " + b"a" * 1_000_000 + b"\r\n" + FILE), 400, "UPLOAD_INVALID"),
        (multipart(b"X: y\r\n" * 100_000 + FILE), 400, "UPLOAD_INVALID"),
        (multipart(LABELS + b"{" * 1_000_000), 400, "UPLOAD_INVALID"),
    ],
    ids=["100000 files", "100000 fields", "a header of 1 MB", "100000 headers", "labels of 1 MB"],
)
def test_a_multipart_body_that_is_all_overhead_is_refused(capped: Stack, body: bytes, status: int, code: str) -> None:
    before = memory(capped)
    told = capped.http.post("/api/v1/parts", content=body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert (told.status_code, told.json()["code"]) == (status, code)
    assert memory(capped) - before < 30_000_000


def test_a_json_body_is_capped_as_it_comes(capped: Stack) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 10_000

    told = capped.http.post("/api/v1/jobs", content=endless(), headers={"content-type": "application/json"})
    assert (told.status_code, told.json()["code"]) == (413, "BODY_TOO_LARGE")


def test_the_event_loop_lives_while_many_uploads_are_cut_off(capped: Stack) -> None:
    lag: list[float] = []
    done = threading.Event()

    def flood() -> None:
        piece = b"40000\r\n" + bytes(0x40000) + b"\r\n"
        with connected(capped) as line, contextlib.suppress(ConnectionError, TimeoutError):
            line.sendall(head(capped, "Transfer-Encoding: chunked"))
            while not done.is_set():
                line.sendall(piece)

    floods = [threading.Thread(target=flood) for _ in range(4)]
    for each in floods:
        each.start()
    for _ in range(15):
        asked = time.monotonic()
        assert capped.http.get("/health/live").status_code == 200
        lag.append(time.monotonic() - asked)
    done.set()
    for each in floods:
        each.join()
    assert sorted(lag)[len(lag) // 2] < 1.0
