"""Cancels at random moments: `python -m tests.faults.cancels --cancels 5000 --seed 1 --database sqlite` (`make cancels`).

Real processes of every pool; jobs of several kinds, some of which do not look whether they are wanted. Judged afterwards: the state
that the database, the API and the webhook tell of each job must be one, a cancelled job may have no commit after its cancel, and the last
sign of work of a job (its attempts write one when they let go, or are ended) comes within 5 s of the answer to the cancel.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import quantiles
from typing import Any
from uuid import uuid4

from httpx2 import Response

from foundation.settings import DatabaseSettings
from ledger.session import Ledger
from tests.faults import pools
from tests.faults.campaign import table
from tests.faults.campaign.fleet import database
from tests.faults.evidence import Evidence
from tests.faults.receiver import Receiver
from tests.stack import ENDED, RedisServer, Stack, new_folder, wait_until

LIMIT_SECONDS = 5.0
_ACTS = ("sleep", "sleep", "spin", "deaf")  # a deaf one in a thread cannot be stopped, so it is short


@dataclass(frozen=True, slots=True)
class _Plan:
    """A job, and when to cancel it: `pause` seconds after it was sent, or after it began."""

    act: str
    items: int
    ms: float
    at_work: bool
    pause: float


@dataclass(frozen=True, slots=True)
class Cancel:
    """One cancel: its job, the status it was answered with, when, and how many chunks were running."""

    job: str
    status: int
    at: float


@dataclass(frozen=True, slots=True)
class Told:
    """What came of all cancels."""

    cancels: int
    states: dict[str, int]
    disagreeing: list[str]
    committed_after: list[str]
    stopped: list[float]  # seconds from the answer to the last sign of work, one for each job that was at work

    @property
    def p95(self) -> float:
        return quantiles(self.stopped, n=20)[-1] if len(self.stopped) > 1 else max(self.stopped, default=0.0)

    def public(self) -> dict[str, Any]:
        return {
            "cancels": self.cancels, "states": self.states, "disagreeing": len(self.disagreeing),
            "committed_after": len(self.committed_after),
            "at_work": len(self.stopped), "stop_p50": round(quantiles(self.stopped, n=2)[0], 2) if len(self.stopped) > 1 else None,
            "stop_p95": round(self.p95, 2), "stop_max": round(max(self.stopped, default=0.0), 2),
        }  # fmt: skip


def cancel_many(stack: Stack, evidence: Evidence, receiver: Receiver, cancels: int, seed: int, at_once: int = 12) -> Told:
    """Submit jobs, cancel each at a random moment, and judge."""
    chance = random.Random(seed)
    plans = [
        _Plan(chance.choice(_ACTS), chance.choice((1, 3, 12)), chance.uniform(100, 1500), chance.random() < 0.7, chance.uniform(0, 2.5))
        for _ in range(cancels)
    ]
    stack.http.get("/health/live")  # one client for all threads

    def one(plan: _Plan) -> Cancel:
        asked = {"items": plan.items, "ms": plan.ms, "act": plan.act}
        body = {"kind": "probe", "input": asked, "callback_url": receiver.url}
        job = _answered(stack, "/api/v1/jobs", body).json()["id"]
        if plan.at_work:
            wait_until(lambda: stack.job(job)["state"] != "queued", 120)
        time.sleep(plan.pause)
        answer = _answered(stack, f"/api/v1/jobs/{job}/cancel")
        return Cancel(job, answer.status_code, time.time())

    with ThreadPoolExecutor(at_once) as clients:
        done = list(clients.map(one, plans))
    wait_until(lambda: len({each["data"]["id"] for each in receiver.told}) >= cancels, 120, 0.2)
    return _judged(stack, evidence, receiver, done)


def _answered(stack: Stack, path: str, body: dict[str, Any] | None = None) -> Response:
    """What the API says, asked again for up to two minutes while the database does not answer: with one key, so it happens once."""
    headers, end = {"Idempotency-Key": str(uuid4())}, time.monotonic() + 120
    while True:
        answer = stack.http.post(path, json=body, headers=headers)
        if answer.status_code != 503 or time.monotonic() > end:
            return answer
        time.sleep(0.2)


def _judged(stack: Stack, evidence: Evidence, receiver: Receiver, done: list[Cancel]) -> Told:
    told = {each["data"]["id"]: each for each in receiver.told}
    disagreeing, committed_after, stopped, states = list[str](), list[str](), list[float](), Counter[str]()
    for cancel in done:
        job = stack.job(cancel.job)
        states[job["state"]] += 1
        trail = [row.action.partition(".")[2] for state in ENDED for row in evidence.trail(cancel.job, f"job.{state}")]
        one = {job["state"], evidence.job_state(cancel.job), told[cancel.job]["type"].partition(".")[2], *trail}
        expected = job["state"] == "cancelled" if cancel.status == 200 else job["state"] != "cancelled"
        if len(one) != 1 or len(trail) != 1 or not expected or told[cancel.job]["data"]["counts"] != job["counts"]:
            disagreeing.append(cancel.job)
        if cancel.status != 200:
            continue
        ended = evidence.trail(cancel.job, "job.cancelled")[0].seq
        if any(row.seq > ended for row in evidence.trail(cancel.job, "chunk.done")):
            committed_after.append(cancel.job)
        working = [chunk.id for chunk in evidence.chunks(cancel.job, "cancelled") if chunk.owner is not None and chunk.attempt > 0]
        if working:
            _let_go(evidence, cancel.job, len(working))
            last = max(row.at for row in evidence.trail(cancel.job, "chunk.stale"))
            stopped.append(max(0.0, last - cancel.at))
    return Told(len(done), dict(states), disagreeing, committed_after, stopped)


def _let_go(evidence: Evidence, job: str, chunks: int) -> None:
    wait_until(lambda: len(evidence.trail(job, "chunk.stale")) >= chunks)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make cancels", description="Cancel jobs at random moments and judge what came of it.")
    parser.add_argument("--cancels", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/guarantees.md")
    given = parser.parse_args()
    with new_folder() as folder, database(given.database, folder) as store, Receiver() as receiver:
        redis = RedisServer(folder / "redis").start()
        stack = Stack(folder / "stack", redis.url, store.url, CADMILL_QUEUE_LEASE_SECONDS=60)
        evidence = Evidence(Ledger(store.url, DatabaseSettings()))
        try:
            stack.start("api", "courier")
            for pool, concurrency in (("prefork", 4), ("threads", 4), ("solo", 1)):
                pools.start(stack, pool, concurrency)
            told = cancel_many(stack, evidence, receiver, given.cancels, given.seed)
        finally:
            evidence.ledger.close()
            stack.stop()
            redis.kill()
    row = {"what": "cancels", "dialect": given.database, "seed": given.seed} | told.public()
    print(json.dumps(row))
    if given.write:
        table.add(row)
    return 0 if not told.disagreeing and not told.committed_after and told.p95 <= LIMIT_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
