"""A webhook receiver for the demo: an HTTP server on loopback that verifies what it is sent (Standard Webhooks)."""

from __future__ import annotations

import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


class Receiver:
    """Use as a context manager. Deliveries with a wrong signature get 401 and are not counted as received."""

    def __init__(self, secret: str) -> None:
        received: queue.Queue[dict[str, Any]] = queue.Queue()

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                try:
                    Webhook(secret).verify(body, dict(self.headers))
                except WebhookVerificationError:
                    self.send_response(401)
                else:
                    received.put({"id": self.headers["webhook-id"], **json.loads(body)})
                    self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Not on the terminal: the demo prints the receipt itself."""

        self._received = received
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook"

    def wait(self, seconds: float) -> dict[str, Any] | None:
        """The next verified delivery, with its id; None when there is none in time."""
        try:
            return self._received.get(timeout=seconds)
        except queue.Empty:
            return None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)
