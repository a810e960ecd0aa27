"""A receiver of webhooks that writes down what it gets and answers as it is told."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Receiver:
    """Answers the first requests with `answers`, one each, and all later ones with 204. The answer 0 is none at all."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.ids: list[str] = []
        self.told: list[dict[str, Any]] = []  # the bodies, in the same order
        self._end = threading.Event()
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status = receiver._note(self.headers["webhook-id"], body)
                if status == 0:
                    receiver._end.wait()
                    return
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/told"

    def _note(self, webhook_id: str, body: dict[str, Any]) -> int:
        with self._lock:
            self.ids.append(webhook_id)
            self.told.append(body)
            return self.answers.pop(0) if self.answers else 204

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()
