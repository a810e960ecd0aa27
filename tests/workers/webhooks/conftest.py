"""Receivers on real loopback sockets: an honest one, a raw one that plays any script, and the certificates for TLS."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from foundation.settings import WebhookSettings

NAME = "hooks.example.com"


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class Receiver:
    """What it answers can be set; what it was sent can be read."""

    port: int
    status: int = 200
    answer_headers: dict[str, str] = field(default_factory=dict)
    answer_body: bytes = b"ok"
    requests: list[Request] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)


def _serve(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.requests.append(Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body.decode()))
            self.send_response(made.status)
            for name, value in made.answer_headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(made.answer_body)))
            self.end_headers()
            self.wfile.write(made.answer_body)

        def log_message(self, *_: object) -> None:
            """Keeps the test report readable."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that hang up, or refuse the certificate, are what many tests are about."""

    server = Server((host, port), Handler)
    made = Receiver(server.server_address[1])
    if tls:
        tls.sni_callback = lambda _line, name, _context: made.names.append(name)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join(2)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    yield from _serve()


@pytest.fixture
def canary(receiver: Receiver) -> Iterator[Receiver]:
    """The inner server nobody may reach: another loopback address, the same port."""
    yield from _serve(host="127.0.0.2", port=receiver.port)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not on this machine")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    command = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(file), "-out", str(file) + ".cert"]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    file.write_text(file.read_text() + Path(f"{file}.cert").read_text())
    return file


@pytest.fixture
def tls_receiver(certificate: Path) -> Iterator[Receiver]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    yield from _serve(context)


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    """A client that checks as strictly as any, and takes the test certificate for a good root."""
    return ssl.create_default_context(cafile=f"{certificate}.cert")


@pytest.fixture
def play() -> Iterator[Callable[[Callable[[socket.socket], None]], int]]:
    """Serves each connection with a script over the bare socket; gives the port."""
    servers: list[socket.socket] = []

    def start(script: Callable[[socket.socket], None]) -> int:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def serve() -> None:
            while True:
                try:
                    line, _ = server.accept()
                except OSError:
                    return  # the test is over
                with line:
                    line.settimeout(5)
                    try:
                        script(line)
                    except OSError:
                        continue  # the sender hung up, as it should on such a receiver

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


@pytest.fixture
def inner() -> WebhookSettings:
    """Settings of a machine of one's own. What a deadline cuts is told as unreachable: a bound shows by its code, not by a clock."""
    return WebhookSettings(allow_private=True, timeout_seconds=30.0)


@pytest.fixture
def hasty() -> WebhookSettings:
    return WebhookSettings(allow_private=True, timeout_seconds=0.4)


@pytest.fixture
def dns() -> Callable[..., Any]:
    """A look-up that gives one answer after the other and counts."""

    def make(*answers: list[str]) -> Any:
        def look_up(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
            look_up.asked.append(host)  # type: ignore[attr-defined]
            answer = answers[min(len(look_up.asked), len(answers)) - 1]  # type: ignore[attr-defined]
            return [(None, socket.SOCK_STREAM, 6, "", (address, port)) for address in answer]

        look_up.asked = []  # type: ignore[attr-defined]
        return look_up

    return make
