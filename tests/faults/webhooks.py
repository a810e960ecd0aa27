"""Webhooks to a hostile receiver while couriers are killed: `python -m tests.faults.webhooks --messages 1000 --database sqlite`
(`make webhooks`).

Real processes. Every job is told to three endpoints (accepted, started, ended) and to its callback. Judged afterwards from the
receiver's log and the database: nothing missing, attempts without a gap, the order of each job kept, every signature good (one
endpoint changes its secret half-way, and its receiver goes on with the old one), and nothing received again after it was accepted
unless a late answer or a kill explains it. Voided if no courier died with a message in its hands.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import select

from api.setup import prepare
from foundation.settings import DatabaseSettings, Settings, StorageSettings
from ledger.session import Ledger
from ledger.webhook_rows import deliveries, tries
from tests.faults.campaign.fleet import database
from tests.faults.hostile_receiver import Heard, HostileReceiver
from tests.stack import RedisServer, Stack, new_folder, wait_until

LIMIT = 1.0  # seconds that couriers wait
MARGIN = 5.0  # by which a claim outlives the longest try: a busy machine must not take a living courier for a dead one
SCHEDULE = [0, *[0.3] * 7]
WANTED = ("job.accepted", "job.started", "job.succeeded")
PER_JOB = 3 * len(WANTED) + 1
CALLBACK, STEADY, ROTATED, DEAD_END = "/callback", "/steady", "/rotated", "/dead-end"
_COURIERS = ("courier", "courier2")
_AFTER_A_KILL = LIMIT + MARGIN + 10  # seconds within which upkeep finds what the killed courier had in its hands


@dataclass
class Verdict:
    """What was found; the lists hold what is wrong."""

    messages: int = 0
    delivered: int = 0
    dead_after_the_last_try: int = 0
    requests: int = 0
    attempts: int = 0
    kills: int = 0
    attempts_killed: int = 0
    attempts_overtaken: int = 0  # their courier lives, but was slower than its lease
    repeated_after_late_answer: int = 0
    repeated_after_lost_attempt: int = 0
    seconds: float = 0.0
    missing: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    disorder: list[str] = field(default_factory=list)
    unsigned: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)

    @property
    def bad(self) -> list[str]:
        return [*self.missing, *self.gaps, *self.disorder, *self.unsigned, *self.unexplained]


def variables() -> dict[str, Any]:
    """Settings of the stack: the schedule in seconds, and retries that no budget slows down."""
    return {
        "CADMILL_WEBHOOK_TIMEOUT_SECONDS": LIMIT,
        "CADMILL_WEBHOOK_MARGIN_SECONDS": MARGIN,
        "CADMILL_WEBHOOK_SCHEDULE_SECONDS": json.dumps(SCHEDULE),
        "CADMILL_QUEUE_RETRY_TOKENS": 10_000_000,
        "CADMILL_WEBHOOK_AT_ONCE": 16,  # all endpoints are on one host: every thread of both couriers may call there
        "CADMILL_QUEUE_TICK_SECONDS": 0.25,
        "CADMILL_QUEUE_RING_GRACE_SECONDS": 0.5,
        "CADMILL_QUEUE_RING_STUCK_SECONDS": 2,
    }


def run(stack: Stack, ledger: Ledger, jobs: int, kills: int, seed: int, patience: float = 1500.0, couriers: int = 2) -> Verdict:
    """Send the events of so many jobs through a stack with an API and a compute worker; judge them when all have ended."""
    begun = time.time()
    with HostileReceiver(seed, LIMIT, DEAD_END) as receiver:
        ids = {path: _endpoint(stack, receiver, path) for path in (STEADY, ROTATED, DEAD_END)}
        receiver.secrets[CALLBACK] = stack.http.get("/api/v1/webhooks/secret").json()["secret"]
        for name in _COURIERS[:couriers]:
            stack.spawn(name, _argv(stack, name))
        asked = [stack.submit("probe", {"items": 1}, callback_url=receiver.url + CALLBACK)["id"] for _ in range(jobs)]
        stack.http.post(f"/api/v1/webhooks/{ids[ROTATED]}/rotate").raise_for_status()
        killed = [_kill(stack, ledger, _COURIERS[turn % couriers]) for turn in range(kills)]
        wait_until(lambda: _over(ledger, jobs), patience, 0.5)
        verdict = judge(ledger, receiver.heard, asked, {path: ids.get(path) for path in (*ids, CALLBACK)}, killed)
    verdict.seconds = round(time.time() - begun, 1)
    return verdict


def _endpoint(stack: Stack, receiver: HostileReceiver, path: str) -> str:
    added = stack.http.post("/api/v1/webhooks", json={"url": receiver.url + path, "events": list(WANTED)})
    assert added.status_code == 201, added.text
    receiver.secrets[path] = added.json()["secret"]
    return str(added.json()["id"])


def _argv(stack: Stack, name: str) -> list[str]:
    return [word.replace("courier.", f"{name}.") for word in stack._table["courier"].argv]


def _kill(stack: Stack, ledger: Ledger, name: str) -> float:
    """kill -9 as soon as something is being sent; it is back at once. Answers when."""
    wait_until(lambda: _held(stack, ledger, name), 120, 0.01)
    at = time.time()
    stack.kill(name)
    stack.spawn(name, _argv(stack, name))
    time.sleep(1.0)
    return at


def _held(stack: Stack, ledger: Ledger, name: str) -> bool:
    """Stop a courier when something is being sent; it stays so if that is still true then, and if it is the only one, it has it."""
    if not _sending(ledger):
        return False
    stack.signal(name, signal.SIGSTOP)
    if _sending(ledger):
        return True
    stack.signal(name, signal.SIGCONT)
    return False


def _sending(ledger: Ledger) -> bool:
    with ledger.read() as tx:
        return tx.first(select(deliveries.c.id).where(deliveries.c.state == "sending").limit(1)) is not None


def _over(ledger: Ledger, jobs: int) -> bool:
    with ledger.read() as tx:
        states = Counter(tx.execute(select(deliveries.c.state)).scalars())
    return sum(states.values()) >= jobs * PER_JOB and set(states) <= {"delivered", "dead"}


def judge(ledger: Ledger, heard: list[Heard], asked: list[str], endpoints: dict[str, str | None], killed: list[float]) -> Verdict:
    """Compare what was owed, what the log of tries says, and what the receiver heard. `endpoints`: path to id; the callback has none."""
    with ledger.read() as tx:
        rows = {row.id: row for row in tx.execute(select(deliveries))}
        log: dict[str, list[Any]] = {name: [] for name in rows}
        for one in tx.execute(select(tries).order_by(tries.c.attempt)):
            log[one.delivery_id].append(one)
    verdict = Verdict(messages=len(rows), requests=len(heard), kills=len(killed), attempts=sum(row.attempt for row in rows.values()))
    for one in (one for found in log.values() for one in found if one.error_code == "ATTEMPT_LOST"):
        if any(kill <= one.at <= kill + _AFTER_A_KILL for kill in killed):
            verdict.attempts_killed += 1
        else:
            verdict.attempts_overtaken += 1
    by_id: dict[str, list[Heard]] = {}
    for one in heard:
        by_id.setdefault(one.id, []).append(one)
    paths = {endpoint: path for path, endpoint in endpoints.items()}
    owed = {(row.job_id, paths[row.endpoint_id], row.event): row for row in rows.values()}
    for job in asked:
        for path in endpoints:
            for seq, event in enumerate(WANTED[-1:] if path == CALLBACK else WANTED, 1):
                _judge_one(verdict, owed.get((job, path, event)), seq, by_id, f"{event} of {job} to {path}")
            _judge_order(verdict, [one for one in heard if (one.job, one.path) == (job, path)])
    for name, row in rows.items():
        if [one.attempt for one in log[name]] != list(range(1, row.attempt + 1)):
            verdict.gaps.append(f"{name}: attempts {[one.attempt for one in log[name]]} of {row.attempt}")
        _judge_repeats(verdict, name, log[name], by_id.get(name, []))
    verdict.unsigned = [f"{one.id} to {one.path}" for one in heard if not one.signed]
    return verdict


def _judge_one(verdict: Verdict, row: Any, seq: int, by_id: dict[str, list[Heard]], what: str) -> None:
    if row is None:
        verdict.missing.append(f"{what} is not owed")
    elif row.seq != seq:
        verdict.disorder.append(f"{what} has seq {row.seq}")
    elif row.state == "delivered":
        verdict.delivered += 1
        if not any(one.act == "accept" for one in by_id.get(row.id, [])):
            verdict.missing.append(f"{what} counts as delivered, but was never accepted")
    elif row.state == "dead" and row.attempt >= len(SCHEDULE):
        verdict.dead_after_the_last_try += 1
    else:
        verdict.missing.append(f"{what} is {row.state} after {row.attempt} attempts")


def _judge_order(verdict: Verdict, heard: list[Heard]) -> None:
    """Nothing of an earlier message is heard after anything of a later one."""
    seqs = [one.seq or 0 for one in heard]
    if seqs != sorted(seqs):
        verdict.disorder.append(f"{heard[0].job} to {heard[0].path} was told in the order {seqs}")


def _judge_repeats(verdict: Verdict, name: str, log: list[Any], heard: list[Heard]) -> None:
    """A message is heard again after its receiver said yes only as often as a yes came too late, or an attempt was lost."""
    late = sum(one.status is None and one.error_code == "RECEIVER_UNREACHABLE" for one in log)
    lost = sum(one.error_code == "ATTEMPT_LOST" for one in log)
    again = sum(one.act in ("accept", "late") for one in heard[:-1])
    verdict.repeated_after_late_answer += min(again, late)
    verdict.repeated_after_lost_attempt += min(max(0, again - late), lost)
    if again > late + lost:
        verdict.unexplained.append(f"{name} was accepted {again} times too often; {late} answers were late, {lost} attempts were lost")
    if any(one.accepted for one in log[:-1]):
        verdict.unexplained.append(f"{name} was sent again after its acceptance was written down")


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.webhooks", description=__doc__)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    asked = parser.parse_args()
    with new_folder() as folder, database(asked.database, folder) as store:
        redis = RedisServer(folder / "redis").start()
        stack = Stack(folder / "stack", redis.url, store.url, **variables())
        prepare(Settings(storage=StorageSettings(directory=stack.directory), database=DatabaseSettings(url=store.url)))
        ledger = Ledger(store.url, DatabaseSettings())
        try:
            stack.start("api", "compute")
            verdict = run(stack, ledger, -(-asked.messages // PER_JOB), asked.kills, asked.seed)
        finally:
            stack.stop()
            ledger.close()
            redis.kill()
    told = {name: value if not isinstance(value, list) else len(value) for name, value in asdict(verdict).items()}
    print(json.dumps({"database": asked.database, "seed": asked.seed, **told}))
    for line in verdict.bad[:40]:
        print(f"    {line}")
    if not verdict.attempts_killed:
        print("void: no kill hit a message in flight")
    return 1 if verdict.bad or not verdict.attempts_killed else 0


if __name__ == "__main__":
    sys.exit(main())
