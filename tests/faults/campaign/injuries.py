"""The faults, by their numbers in `reliability.md`: each does its harm and answers how it is known that it bit, or "" if it did not."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import redis
from sqlalchemy import func, select

from foundation.errors import Failure
from ledger import rows
from tests.faults.campaign.fleet import COMPUTE, COURIERS, LEASE_SECONDS, RESTARTED_BY_A_DEPLOY, Fleet, PostgreSQL
from tests.faults.campaign.plan import LONG_MS
from tests.faults.points import Mode
from tests.stack import ROOT

_BITE_SECONDS = 10.0

_HOLDER = """
import sys, time
from sqlalchemy import text
from foundation.settings import DatabaseSettings
from ledger.session import Ledger
with Ledger(sys.argv[1], DatabaseSettings()).write() as tx:
    tx.execute(text("UPDATE jobs SET succeeded = succeeded + 1000"))
    print("held", flush=True)
    time.sleep(60)
"""


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _running(fleet: Fleet, name: str) -> int:
    """How many chunks a worker has in hand."""
    with contextlib.suppress(Failure), fleet.ledger.read() as tx:
        owned = rows.chunks.c.owner.endswith(f":{fleet.stack.pid(name)}")
        return tx.number(select(func.count()).select_from(rows.chunks).where(rows.chunks.c.state == "running", owned))
    return 0


def _busy(fleet: Fleet, dice: random.Random) -> str:
    """A compute worker with work in hand, if there is one within the time."""

    def found() -> str:
        names = list(COMPUTE)
        dice.shuffle(names)
        return next((name for name in names if _running(fleet, name)), "")

    return str(fleet.wait(found, _BITE_SECONDS, 0.01))


def kill_pool_child(fleet: Fleet, dice: random.Random) -> str:
    name = _busy(fleet, dice)
    victims = children(fleet.stack.pid(name)) if name else []
    if not victims:
        return ""
    with contextlib.suppress(ProcessLookupError):
        os.kill(dice.choice(victims), signal.SIGKILL)
    return f"a child of {name}, which had work"


def kill_worker(fleet: Fleet, dice: random.Random) -> str:
    if dice.random() < 0.25:
        name = dice.choice(COURIERS)
        fleet.kill(name)
        return name
    name = _busy(fleet, dice)
    if not name:
        return ""
    had = _running(fleet, name)
    fleet.kill(name)
    return f"{name} with {had} chunks" if had else ""


def kill_api_before_its_answer(fleet: Fleet, dice: random.Random) -> str:
    return _armed(fleet, "api.answer", ["die"], "")


def kill_redis(fleet: Fleet, dice: random.Random) -> str:
    held = fleet.wait(lambda: _messages(fleet), _BITE_SECONDS, 0.01)
    fleet.redis.kill()
    time.sleep(dice.uniform(0, 2))
    fleet.redis.start()
    return f"{held} messages gone" if held else ""


def flush_redis(fleet: Fleet, dice: random.Random) -> str:
    held = fleet.wait(lambda: _messages(fleet), _BITE_SECONDS, 0.01)
    with redis.Redis.from_url(fleet.redis.url) as client:
        client.flushall()
    return f"{held} messages gone" if held else ""


def _with_a_long_item(fleet: Fleet) -> str:
    """A compute worker that is at an item which outlasts a rescue, if there is one."""
    found = select(rows.chunks.c.owner, rows.jobs.c.input).join(rows.jobs, rows.jobs.c.id == rows.chunks.c.job_id)
    with contextlib.suppress(Failure), fleet.ledger.read() as tx:
        owners = {row.owner for row in tx.execute(found.where(rows.chunks.c.state == "running")) if row.input.get("ms", 0) >= LONG_MS}
        return next((name for name in COMPUTE if any(owner.endswith(f":{fleet.stack.pid(name)}") for owner in owners)), "")
    return ""


def _messages(fleet: Fleet) -> int:
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(fleet.redis.url) as client:
        lists = [key for key in client.scan_iter() if client.type(key) == b"list"]
        return sum(int(client.llen(key)) for key in lists) + int(client.hlen("unacked"))
    return 0


def hurt_database(fleet: Fleet, dice: random.Random) -> str:
    """PostgreSQL: immediate restart. SQLite: kill a writer that holds the lock, and a worker between its writes and its commit."""
    if isinstance(fleet.database, PostgreSQL):
        fleet.database.restart()
        return "restarted at once"
    holder = subprocess.Popen([sys.executable, "-c", _HOLDER, fleet.database.url], cwd=ROOT, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    held = holder.stdout.readline() == b"held\n"
    time.sleep(dice.uniform(0, 0.5))
    holder.kill()
    holder.wait(10)
    holder.stdout.close()
    worker = _armed(fleet, "database.commit", ["die"], "compute")
    return f"a writer with the lock, {worker}" if held and worker else ""


def freeze(fleet: Fleet, dice: random.Random) -> str:
    long = str(fleet.wait(lambda: _with_a_long_item(fleet), 6, 0.01))
    name = long or _busy(fleet, dice)
    if not name:
        return ""
    seconds = dice.uniform(4 if long else 2, 5) * LEASE_SECONDS
    fleet.freeze(name, seconds)
    had = _running(fleet, name)
    return f"{name} with {had} chunks for {seconds:.1f} s" if had else ""


def _told_failed(point: str, *roles: str) -> Callable[[Fleet, random.Random], str]:
    def injury(fleet: Fleet, dice: random.Random) -> str:
        modes: list[Mode] = ["done_told_failed"] * dice.randint(1, 3) + ["undone_told_failed"] + ["delay"] * dice.randint(0, 1)
        return _armed(fleet, point, modes, dice.choice(roles))

    return injury


def _armed(fleet: Fleet, point: str, modes: list[Mode], role: str) -> str:
    before = len(fleet.armoury.bites())
    for mode in modes:
        fleet.armoury.arm(point, mode, role)
    fleet.wait(lambda: len(fleet.armoury.bites()) >= before + len(modes), _BITE_SECONDS)
    fleet.armoury.disarm()
    bitten = [mode for where, mode in fleet.armoury.bites()[before:] if where == point]
    return f"{role or 'any'}: {point} {', '.join(bitten)}" if bitten else ""


def send_twice(fleet: Fleet, dice: random.Random) -> str:
    before = len(fleet.armoury.bites())
    fleet.armoury.always("broker.double", "twice", True)
    fleet.wait(lambda: len(fleet.armoury.bites()) >= before + 5, _BITE_SECONDS)
    fleet.armoury.always("broker.double", "twice", False)
    bitten = len(fleet.armoury.bites()) - before
    return f"{bitten} batches sent twice, backwards first" if bitten else ""


def deploy(fleet: Fleet, dice: random.Random) -> str:
    """One process after the other: SIGTERM, wait, start anew."""
    codes = {name: fleet.send_home(name) for name in RESTARTED_BY_A_DEPLOY}
    return f"exits {codes}"


def fill_redis(fleet: Fleet, dice: random.Random) -> str:
    with redis.Redis.from_url(fleet.redis.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        refused = ""
        try:
            client.set("campaign", "x" * 100_000)
        except redis.ResponseError as error:
            refused = str(error)[:40]
        time.sleep(dice.uniform(1, 3))
        client.config_set("maxmemory", "0")
    return refused


INJURIES: dict[str, Callable[[Fleet, random.Random], str]] = {
    "F1": kill_pool_child,
    "F2": kill_worker,
    "F3": kill_api_before_its_answer,
    "F4": kill_redis,
    "F5": flush_redis,
    "F6": hurt_database,
    "F7": freeze,
    "F11 commit": _told_failed("database.commit", "api", "compute", "compute", "", ""),
    "F11 publish": _told_failed("broker.publish", "api", "compute", ""),
    "F11 http": _told_failed("http.send", ""),
    "F12": send_twice,
    "F16": deploy,
    "F17": fill_redis,
}
NAMES = {
    "F1": "kill -9 of a pool process at work",
    "F2": "kill -9 of a worker with its children",
    "F3": "kill -9 of the API between commit and answer",
    "F4": "kill -9 of Redis, restart empty",
    "F5": "FLUSHALL",
    "F6": "PostgreSQL: immediate restart; SQLite: writers killed inside a transaction",
    "F7": "SIGSTOP of a worker for 2 to 5 leases, then SIGCONT",
    "F11 commit": "commits done but told failed, undone and told failed, delayed",
    "F11 publish": "the same of publishing",
    "F11 http": "the same of sending webhooks",
    "F12": "every message twice, backwards first",
    "F16": "rolling restart of workers and API",
    "F17": "Redis at maxmemory",
}
