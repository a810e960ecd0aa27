"""The receiver of a campaign's webhooks: refuses some on purpose, and writes down what it accepted."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

REFUSED_SHARE = 0.1


class Ear:
    """`accepted`: for each job, how often each message was accepted; `states`: what they said of the job;
    `times`: when each acceptance was, by the monotonic clock."""

    def __init__(self, seed: int) -> None:
        self.accepted: dict[str, Counter[str]] = {}
        self.states: dict[str, set[str]] = {}
        self.times: dict[str, list[float]] = {}
        self._dice = random.Random(f"ear {seed}")
        self._lock = threading.Lock()
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.send_response(ear._note(self.headers["webhook-id"], body))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A sender that was killed in the middle is what this is about."""

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/told"

    def _note(self, message: str, body: dict[str, Any]) -> int:
        with self._lock:
            if self._dice.random() < REFUSED_SHARE:
                return 500
            job = body["data"]
            self.accepted.setdefault(job["id"], Counter())[message] += 1
            self.states.setdefault(job["id"], set()).add(job["state"])
            self.times.setdefault(job["id"], []).append(time.monotonic())
            return 204

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
