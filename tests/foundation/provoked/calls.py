"""Calls to a server that misbehaves, by several clients; sockets, name servers, TLS, gRPC."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import requests
import urllib3
import websockets.sync.client

from foundation.mapping import Provider
from tests.foundation.provoked.case import Case, Place, thrown

LINES = {
    "/garbage": b"this is no HTTP at all\r\n\r\n",
    "/silence": b"",
    "/cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
    "/chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "/packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    "/circle": b"HTTP/1.1 302 Found\r\nLocation: /circle\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "/elsewhere": b"HTTP/1.1 302 Found\r\nLocation: gopher://x/\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "/text": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello",
}


@contextlib.contextmanager
def misbehaving(certificate: Path | None = None) -> Iterator[int]:
    """A server that answers as the path says: `/503` a status, `/slow` nothing, else what stands in LINES. Answers its port."""
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    listener, stop = socket.create_server(("127.0.0.1", 0)), threading.Event()
    listener.settimeout(0.1)

    def answer(link: socket.socket) -> None:
        with contextlib.suppress(OSError), link:
            link.settimeout(5)
            line = context.wrap_socket(link, server_side=True) if context else link
            with line:
                asked = line.recv(65536)
                if asked[:1] == b"\x16":  # TLS, which a plain server takes for bad HTTP
                    line.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    return
                path = asked.split(b" ")[1].decode()
                if path == "/slow":
                    stop.wait(2)
                elif path[1:].isdigit():
                    line.sendall(f"HTTP/1.1 {path[1:]} X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n".encode())
                else:
                    line.sendall(LINES[path])

    def serve() -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        stop.set()
        thread.join(5)
        listener.close()


_CONTEXT = ssl.create_default_context()
"""Made once: it costs more than a call."""


def _httpx(path: str, **how: Any) -> Callable[[Place], Any]:
    def run(place: Place) -> None:
        with httpx2.Client(
            trust_env=False, verify=_CONTEXT, timeout=how.pop("timeout", 5), follow_redirects=True, max_redirects=3
        ) as client:
            answer = client.get(path if "://" in path else f"http://user:secret@127.0.0.1:{place.http}{path}", **how)
            answer.raise_for_status()
            answer.json()

    return run


def _requests(path: str, **how: Any) -> Callable[[Place], Any]:
    def run(place: Place) -> None:
        with requests.Session() as session:
            session.trust_env = False
            session.get(path if "://" in path else f"http://127.0.0.1:{place.http}{path}", timeout=how.get("timeout", 5)).raise_for_status()

    return run


def _urllib(path: str, timeout: float = 5) -> Callable[[Place], Any]:
    def run(place: Place) -> None:
        address = path if "://" in path else f"http://127.0.0.1:{place.http}{path}"
        try:
            with urllib.request.urlopen(address, timeout=timeout) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            error.close()
            raise

    return run


def _plain(path: str) -> Callable[[Place], Any]:
    def run(place: Place) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", place.http, timeout=5)) as line:
            line.request("GET", path)
            with line.getresponse() as answer:
                answer.read()

    return run


def _urllib3(path: str, timeout: float = 5) -> Callable[[Place], Any]:
    def run(place: Place) -> None:
        with urllib3.PoolManager(retries=urllib3.Retry(1, backoff_factor=0), timeout=timeout) as pool:
            pool.request("GET", path if "://" in path else f"http://127.0.0.1:{place.http}{path}")

    return run


def _tls(host: str = "127.0.0.1") -> Callable[[Place], Any]:
    def run(place: Place) -> None:
        with socket.create_connection(("127.0.0.1", place.tls), 5) as line:
            ssl.create_default_context().wrap_socket(line, server_hostname=host)

    return run


def _tls_to_plain(place: Place) -> None:
    with socket.create_connection(("127.0.0.1", place.http), 5) as line:
        ssl.create_default_context().wrap_socket(line, server_hostname="localhost")


def _full_backlog(_: Place) -> None:
    """A listener that takes nobody any more: the connection does not come about."""
    with socket.socket() as listener, contextlib.ExitStack() as lines:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            line = lines.enter_context(socket.socket())
            line.setblocking(False)
            line.connect_ex(listener.getsockname())
        httpx2.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.2, trust_env=False)


def _call(place: Place) -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        channel.unary_unary("/x/y")(b"", timeout=2)


def _slow_call(_: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, grpc.insecure_channel(f"127.0.0.1:{listener.getsockname()[1]}") as channel:
        channel.unary_unary("/x/y")(b"", timeout=0.1)


def _websocket(path: str) -> Callable[[Place], Any]:
    return lambda place: websockets.sync.client.connect(f"ws://127.0.0.1:{place.http}{path}", open_timeout=5, proxy=None)


_STATUSES = (
    (400, "UPSTREAM_REFUSED", False), (401, "UPSTREAM_REFUSED", False), (403, "UPSTREAM_REFUSED", False), (404, "UPSTREAM_REFUSED", False),
    (405, "UPSTREAM_REFUSED", False), (408, "READ_TIMEOUT", True), (409, "UPSTREAM_REFUSED", False), (410, "UPSTREAM_REFUSED", False),
    (413, "UPSTREAM_REFUSED", False), (422, "UPSTREAM_REFUSED", False), (425, "UPSTREAM_FAILED", True), (429, "UPSTREAM_RATE_LIMIT", True),
    (500, "UPSTREAM_FAILED", True), (501, "UPSTREAM_REFUSED", False), (502, "UPSTREAM_FAILED", True), (503, "UPSTREAM_FAILED", True),
    (504, "READ_TIMEOUT", True), (505, "UPSTREAM_REFUSED", False),
)  # fmt: skip
_FAILED, _REFUSED, _AWAY = ("UPSTREAM_FAILED", True), ("UPSTREAM_REFUSED", False), ("CONNECTION_FAILED", True)
_TLS, _SLOW, _NAMELESS = ("TLS_FAILED", False), ("READ_TIMEOUT", True), ("NAME_UNRESOLVED", False)
_LATER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
_NEVER = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
_RECEIVER = Provider.RECEIVER


def _caused(outer: BaseException, cause: BaseException) -> BaseException:
    outer.__cause__ = cause
    return outer


CASES = [
    *(Case(f"httpx2 {status}", _httpx(f"/{status}"), code, again) for status, code, again in _STATUSES),
    *(Case(f"urllib {status}", _urllib(f"/{status}"), code, again) for status, code, again in _STATUSES if status in (403, 429, 503)),
    *(Case(f"requests {status}", _requests(f"/{status}"), code, again) for status, code, again in _STATUSES if status in (404, 429, 502)),
    Case("httpx2 garbage", _httpx("/garbage"), *_FAILED),
    Case("httpx2 silence", _httpx("/silence"), *_FAILED),
    Case("httpx2 cut", _httpx("/cut"), *_FAILED),
    Case("httpx2 bad chunks", _httpx("/chunks"), *_FAILED),
    Case("httpx2 not packed as it says", _httpx("/packed"), *_FAILED),
    Case("httpx2 in a circle", _httpx("/circle"), *_REFUSED),
    Case("httpx2 to another protocol", _httpx("/elsewhere"), *_REFUSED),
    Case("httpx2 not JSON", _httpx("/text"), "DATA_INVALID", False),
    Case("httpx2 slow", _httpx("/slow", timeout=0.1), *_SLOW),
    Case("httpx2 nobody listens", _httpx("http://user:secret@127.0.0.1:1/"), *_AWAY),
    Case("httpx2 not an address", _httpx("http://[::/"), *_REFUSED),
    Case("httpx2 connection takes too long", _full_backlog, "CONNECTION_TIMEOUT", True),
    Case("httpx2 no such host", thrown(_caused(httpx2.ConnectError("x"), _caused(RuntimeError(), _NEVER))), *_NAMELESS),
    Case("httpx2 bad certificate", lambda place: httpx2.get(f"https://127.0.0.1:{place.tls}/", trust_env=False), *_TLS),
    Case("httpx2 TLS to plain", lambda place: httpx2.get(f"https://127.0.0.1:{place.http}/200", trust_env=False, timeout=5), *_TLS),
    Case("requests garbage", _requests("/garbage"), *_FAILED),
    Case("requests silence", _requests("/silence"), *_AWAY),
    Case("requests cut", _requests("/cut"), *_FAILED),
    Case("requests bad chunks", _requests("/chunks"), *_FAILED),
    Case("requests slow", _requests("/slow", timeout=0.1), *_SLOW),
    Case("requests nobody listens", _requests("http://user:secret@127.0.0.1:1/"), *_AWAY),
    Case("requests in a circle", _requests("/circle"), *_REFUSED),
    Case("requests no protocol", _requests("nonsense://x"), *_REFUSED),
    Case("requests bad certificate", lambda place: requests.get(f"https://127.0.0.1:{place.tls}/", timeout=5), *_TLS),
    Case("urllib garbage", _urllib("/garbage"), *_FAILED),
    Case("urllib silence", _urllib("/silence"), *_AWAY),
    Case("urllib cut", _urllib("/cut"), *_FAILED),
    Case("urllib slow", _urllib("/slow", 0.1), *_SLOW),
    Case("urllib nobody listens", _urllib("http://127.0.0.1:1/"), *_AWAY),
    Case("http.client garbage", _plain("/garbage"), *_FAILED),
    Case("http.client silence", _plain("/silence"), *_AWAY),
    Case("http.client cut", _plain("/cut"), *_FAILED),
    Case("http.client bad chunks", _plain("/chunks"), *_FAILED),
    Case("http.client not a path", lambda _: http.client.HTTPConnection("x").request("GET", "/a b"), *_REFUSED),
    Case("urllib3 nobody listens", _urllib3("http://127.0.0.1:1/"), *_AWAY),
    Case("urllib3 slow", _urllib3("/slow", 0.1), *_SLOW),
    Case("urllib3 not an address", _urllib3("http://[::/"), *_REFUSED),
    Case("websocket refused", _websocket("/403"), *_REFUSED),
    Case("websocket overloaded", _websocket("/503"), *_FAILED),
    Case("websocket garbage", _websocket("/garbage"), *_FAILED),
    Case("gRPC nobody listens", _call, *_AWAY),
    Case("gRPC slow", _slow_call, *_SLOW),
    Case("TLS nobody vouches", _tls(), *_TLS),
    Case("TLS to a plain server", _tls_to_plain, *_TLS),
    Case("no such host", lambda _: socket.getaddrinfo("no host", 80, flags=socket.AI_NUMERICHOST), *_NAMELESS),
    Case("name server is away", thrown(_LATER), *_AWAY),
    Case("urllib name server is away", thrown(urllib.error.URLError(_LATER)), *_AWAY),
    Case("receiver refuses", _httpx("/403"), "RECEIVER_REFUSED", True, _RECEIVER),
    Case("receiver fails", _httpx("/500"), "RECEIVER_REFUSED", True, _RECEIVER),
    Case("receiver has enough", _httpx("/429"), "UPSTREAM_RATE_LIMIT", True, _RECEIVER),
    Case("receiver is slow", _httpx("/slow", timeout=0.1), "RECEIVER_UNREACHABLE", True, _RECEIVER),
    Case("receiver does not listen", _plain("/silence"), "RECEIVER_UNREACHABLE", True, _RECEIVER),
    Case("receiver talks garbage", _plain("/garbage"), "RECEIVER_REFUSED", True, _RECEIVER),
    Case("receiver has a bad certificate", _tls(), "RECEIVER_UNREACHABLE", True, _RECEIVER),
]
CLASSES = (
    httpx2.ConnectError,
    httpx2.ReadTimeout,
    requests.ConnectionError,
    urllib.error.URLError,
    urllib.error.HTTPError,
    ssl.SSLError,
    socket.gaierror,
)
