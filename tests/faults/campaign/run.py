"""One campaign from its seed to its verdict."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from foundation.errors import Failure
from ledger import rows
from tests.faults.campaign import moves, oracle, plan
from tests.faults.campaign.client import Clients
from tests.faults.campaign.ear import Ear
from tests.faults.campaign.fleet import Fleet, database
from tests.faults.campaign.injuries import INJURIES
from tests.faults.campaign.oracle import Verdict
from tests.faults.campaign.plan import Schedule, Struck
from tests.stack import SAMPLES, RedisServer


@dataclass(frozen=True, slots=True)
class Aim:
    """What is asked of a run: `deadline` is how long after the last fault everything must have ended."""

    seed: int
    items: int
    faults: int
    dialect: str = "sqlite"
    mutation: str = ""
    deadline: float = 600.0
    demand: tuple[str, ...] = ("rerun", "stale", "rung_again", "commits_asked")


@dataclass(slots=True)
class Outcome:
    aim: Aim
    struck: list[Struck]
    verdict: Verdict
    answers: Counter[str]
    seconds: float
    seconds_to_the_end: float
    deaths: int = 0
    by_kind: Counter[str] = field(default_factory=Counter)

    @property
    def bit(self) -> int:
        return sum(1 for struck in self.struck if struck.bite)


def campaign(aim: Aim, folder: Path) -> Outcome:
    """Run it. Everything it writes is in `folder`; nothing of it is left running."""
    folder.mkdir(parents=True, exist_ok=True)
    schedule, askings = plan.schedule(aim.seed, aim.items, aim.faults), plan.work(aim.seed, aim.items)
    if aim.items < plan.FEW:
        askings = plan.with_long_items(askings, schedule)
    print(f"seed {aim.seed}, {aim.dialect}: {len(askings)} jobs, {aim.items} items\n{schedule.told()}", flush=True)
    started = time.monotonic()
    redis = RedisServer(folder / "redis").start()
    try:
        with database(aim.dialect, folder) as store, Fleet(folder, store, redis, aim.mutation) as fleet, Ear(aim.seed) as ear:
            moves.watch(fleet.ledger)
            fleet.start()
            parts = [part["id"] for part in fleet.stack.upload(*(SAMPLES / name for name in plan.SAMPLES))]
            pace = max(60, min(400, aim.items // 4))
            clients = Clients(fleet.stack.url, fleet.stack.key, fleet.ledger, ear.url, parts, pace)
            asking = threading.Thread(target=clients.run, args=(askings,), name="clients")
            asking.start()
            try:
                struck = _strike(fleet, clients, asking, schedule)
                fleet.armoury.disarm()
                last = time.monotonic()
                fleet.wait(lambda: not asking.is_alive() and _settled(fleet), aim.deadline, 0.1)
            finally:
                clients.stop.set()
                asking.join(60)
            to_the_end = time.monotonic() - last
            for name in list(fleet.stack._running):
                fleet.stack.kill(name)
            verdict = oracle.judge(fleet, clients.told, ear, struck)
            deaths = fleet.deaths
    finally:
        redis.kill()
    outcome = Outcome(aim, struck, verdict, clients.answers, time.monotonic() - started, to_the_end, deaths)
    outcome.by_kind.update(one.blow.kind for one in struck if one.bite)
    _find_void(outcome)
    return outcome


def _strike(fleet: Fleet, clients: Clients, asking: threading.Thread, schedule: Schedule) -> list[Struck]:
    """Each blow when its time has come: that many items accepted, or everything asked for."""
    struck: list[Struck] = []
    clients.allowed = 1
    fleet.wait(lambda: _worked(fleet), 60)  # every process is up
    started = time.monotonic()
    for blow in schedule.blows:
        clients.allowed = blow.at_items

        def due(at: int = blow.at_items) -> bool:
            return clients.accepted >= at or not asking.is_alive()

        fleet.wait(due, 300)
        clients.allowed = schedule.next_after(blow)  # what this blow meets is asked for while it strikes
        began = time.monotonic()
        bite = INJURIES[blow.kind](fleet, random.Random(blow.seed))
        struck.append(Struck(blow, bite, began, time.monotonic()))
        said = bite or "DID NOT BITE"
        print(f"  {time.monotonic() - started:6.1f} s {blow.number:3} {blow.kind:12} at {clients.accepted:6} items: {said}", flush=True)
    clients.allowed = schedule.items
    return struck


def _worked(fleet: Fleet) -> bool:
    """Whether a first chunk has been done."""
    with fleet.ledger.read() as tx:
        return tx.first(select(rows.chunks.c.id).where(rows.chunks.c.state == "done").limit(1)) is not None


def _settled(fleet: Fleet) -> bool:
    try:
        return oracle.settled(fleet.ledger)
    except Failure:  # the database is just coming back
        return False


def _find_void(outcome: Outcome) -> None:
    """A run whose faults did not bite proves nothing, whatever its zeros say."""
    verdict = outcome.verdict
    verdict.void += [f"no {name}" for name in outcome.aim.demand if getattr(verdict, name) < 1]
    if outcome.bit < outcome.aim.faults:
        missed = [f"{one.blow.number} ({one.blow.kind})" for one in outcome.struck if not one.bite]
        if outcome.bit < 0.8 * outcome.aim.faults:
            verdict.void.append(f"only {outcome.bit} of {outcome.aim.faults} faults bit; not {', '.join(missed)}")
