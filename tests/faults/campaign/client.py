"""The clients: they ask for every job one to four times under one key, cancel some, and write down what they were told."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx2
from sqlalchemy import func, select

from foundation.errors import Failure
from ledger import rows
from ledger.session import Ledger
from tests.faults.campaign.plan import Asking

OPEN_ITEMS_MAX = 400  # a closed loop: faults shall meet work in every state, until the last
_PAUSE = 0.1


@dataclass(slots=True)
class Told:
    """What the clients were told of one asking: the job of every 202, and of a cancel whether it was accepted."""

    asking: Asking
    jobs: list[str] = field(default_factory=list)
    cancelled: bool = False


@dataclass(slots=True)
class Clients:
    """`run` sends everything and returns when every request has had a final answer; `accepted` counts items meanwhile.

    It waits while `allowed` items are accepted, so that there is work left for every fault."""

    url: str
    key: str
    ledger: Ledger
    callback_url: str
    parts: Sequence[str]
    pace: int = OPEN_ITEMS_MAX
    accepted: int = 0
    allowed: int = 0
    told: list[Told] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, askings: Sequence[Asking]) -> None:
        with httpx2.Client(base_url=self.url, headers={"X-API-Key": self.key}, timeout=20, trust_env=False) as http:
            with ThreadPoolExecutor(12) as pool:
                for asking in askings:
                    self._wait_for_room()
                    if self.stop.is_set():
                        return
                    told = Told(asking)
                    self.told.append(told)
                    first, *_ = [pool.submit(self._ask, http, told) for _ in range(asking.sends)]
                    first.result()
                    self.accepted += asking.items
                    if asking.cancel_after is not None and told.jobs:
                        pool.submit(self._cancel, http, told)

    def _wait_for_room(self) -> None:
        while not self.stop.is_set() and (self.accepted >= self.allowed or self._open_items() > self.pace):
            time.sleep(_PAUSE)

    def _open_items(self) -> int:
        job = rows.jobs.c
        waiting = select(func.coalesce(func.sum(job.total - job.succeeded - job.failed - job.cancelled), 0))
        try:
            with self.ledger.read() as tx:
                return tx.number(waiting.where(job.state.in_(("queued", "running"))))
        except Failure:  # the database was just restarted
            return self.pace + 1

    def _ask(self, http: httpx2.Client, told: Told) -> None:
        """Ask until there is a 202; what says "ask again" is asked again, anything else is a finding."""
        body = told.asking.body(self.parts, self.callback_url)
        while not self.stop.is_set():
            answer = self._post(http, "/api/v1/jobs", body, {"Idempotency-Key": told.asking.key})
            if answer is not None and answer.status_code == 202:
                with self._lock:
                    told.jobs.append(str(answer.json()["id"]))
                return
            time.sleep(_PAUSE)

    def _cancel(self, http: httpx2.Client, told: Told) -> None:
        time.sleep(told.asking.cancel_after or 0)
        while not self.stop.is_set():
            answer = self._post(http, f"/api/v1/jobs/{told.jobs[0]}/cancel", None, {})
            if answer is not None and answer.status_code in (200, 409):
                told.cancelled = answer.status_code == 200
                return
            time.sleep(_PAUSE)

    def _post(self, http: httpx2.Client, path: str, body: dict[str, Any] | None, headers: dict[str, str]) -> httpx2.Response | None:
        """One request. None: the connection broke, so nothing is known."""
        try:
            answer = http.post(path, json=body, headers=headers)
        except httpx2.TransportError as error:
            self._count(type(error).__name__)
            return None
        code = "" if answer.is_success else answer.json()["code"]
        self._count(f"{answer.status_code} {code}".strip())
        return answer

    def _count(self, what: str) -> None:
        with self._lock:
            self.answers[what] += 1
