"""A receiver of webhooks that refuses, resets, drips and answers too late, as its dice say, and writes down all it was sent."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

ACTS = {"accept": 55, "500": 12, "429": 10, "reset": 10, "drip": 6, "late": 7}  # out of a hundred


@dataclass(frozen=True, slots=True)
class Heard:
    """One request: when it had arrived whole, on which path, what it said, and what the receiver did about it."""

    at: float
    path: str
    id: str
    job: str | None
    seq: int | None
    event: str
    signed: bool
    act: str


class HostileReceiver:
    """`secrets` are by path. `limit` is how long senders wait: what is late or drips takes longer. On the path
    `dead_end` no `job.accepted` is ever accepted, so that each job's later messages there have to wait for its death."""

    def __init__(self, seed: int, limit: float, dead_end: str = "") -> None:
        self.heard: list[Heard] = []
        self.secrets: dict[str, str] = {}
        self._dice, self._lock, self._limit, self._dead_end = random.Random(seed), threading.Lock(), limit, dead_end
        receiver = self

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                act = receiver._note(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                with contextlib.suppress(OSError):  # who is made to wait hangs up
                    receiver._answers[act](self)

            def log_message(self, format: str, *args: Any) -> None:
                """Silence: the judge reads what was heard."""

        class Server(ThreadingHTTPServer):
            request_queue_size = 256

            def handle_error(self, *_: object) -> None:
                """Couriers that are killed hang up."""

        self._server = Server(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._answers: dict[str, Callable[[BaseHTTPRequestHandler], None]] = {
            "accept": lambda door: self._say(door, 204),
            "500": lambda door: self._say(door, 500),
            "429": lambda door: self._say(door, 429, {"Retry-After": "1"}),
            "reset": self._reset,
            "drip": self._drip,
            "late": self._late,
        }

    def _note(self, path: str, headers: dict[str, str], body: bytes) -> str:
        told = json.loads(body)
        try:
            Webhook(self.secrets[path]).verify(body, headers)
            signed = True
        except WebhookVerificationError:
            signed = False
        with self._lock:
            act = self._dice.choices(list(ACTS), list(ACTS.values()))[0]
            act = "500" if path == self._dead_end and told["type"] == "job.accepted" and act in ("accept", "late") else act
            job = told["data"].get("id")
            self.heard.append(Heard(time.time(), path, headers["webhook-id"], job, told.get("seq"), told["type"], signed, act))
        return act

    @staticmethod
    def _say(door: BaseHTTPRequestHandler, status: int, headers: dict[str, str] | None = None) -> None:
        door.send_response(status)
        for name, value in {"Content-Length": "0", **(headers or {})}.items():
            door.send_header(name, value)
        door.end_headers()

    @staticmethod
    def _reset(door: BaseHTTPRequestHandler) -> None:
        door.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        door.connection.close()

    def _drip(self, door: BaseHTTPRequestHandler) -> None:
        end = time.monotonic() + 1.5 * self._limit
        door.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while time.monotonic() < end:
            door.wfile.write(b"x")
            time.sleep(0.05)

    def _late(self, door: BaseHTTPRequestHandler) -> None:
        time.sleep(1.3 * self._limit)
        self._say(door, 200)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
