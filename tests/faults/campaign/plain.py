"""The campaign against plain Celery: the same amount of work, the same faults as far as they exist there, the same judge's words.

Each item is a message and each result a row without a unique key, so that what is lost and what is done twice both show.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import redis
from kombu.exceptions import OperationalError
from sqlalchemy import Engine, text

from tests.faults.campaign import plain_worker, plan
from tests.faults.campaign.fleet import LEASE_SECONDS, database
from tests.faults.campaign.injuries import children
from tests.stack import ROOT, RedisServer

_WORKERS = ("one", "two")
_OPEN_MAX = 100  # no more than the other campaign has open while a fault strikes
_QUIET_SECONDS = 3 * plain_worker.VISIBILITY_SECONDS


@dataclass(slots=True)
class Plain:
    """What came of it. `accepted`: items whose publish did not fail; `lost`: those of them without a result at the end."""

    items: int
    bit: int
    accepted: int
    lost: int
    twice: int
    rerun: int
    seconds: float


@dataclass(slots=True)
class _Workers:
    folder: Path
    redis: RedisServer
    database_url: str
    resting: bool = False
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def spawn(self, name: str) -> None:
        variables = {
            "PLAIN_BROKER": self.redis.url, "PLAIN_DATABASE": self.database_url, "PLAIN_EXECUTIONS": str(self.folder / "executions.log"),
        }  # fmt: skip
        command = "celery -A tests.faults.campaign.plain_worker worker --loglevel WARNING --without-mingle --without-gossip -P prefork -c 2"
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", *command.split(), "-n", f"{name}@%h"],
                cwd=ROOT, env=os.environ | variables, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def tend(self) -> None:
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                self._end(process)
                self.spawn(name)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def kill(self, name: str) -> None:
        self._end(self.running[name])
        time.sleep(0.3)
        self.spawn(name)

    def send_home(self, name: str) -> None:
        process = self.running[name]
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        self._end(process)
        self.spawn(name)

    def freeze(self, name: str, seconds: float) -> None:
        group = self.running[name].pid
        os.killpg(group, signal.SIGSTOP)

        def wake() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGCONT)

        threading.Timer(seconds, wake).start()

    def stop(self) -> None:
        for process in self.running.values():
            self._end(process)


def campaign(seed: int, items: int, faults: int, dialect: str, folder: Path) -> Plain:
    """Run it; everything is in `folder`, nothing is left running."""
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    server = RedisServer(folder / "redis").start()
    plain_worker.app.conf.broker_url = server.url
    try:
        with database(dialect, folder) as store:
            engine = plain_worker.engine(store.url)
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE results (item INTEGER)"))
            workers = _Workers(folder, server, store.url)
            for name in _WORKERS:
                workers.spawn(name)
            try:
                accepted, bit = _send_and_strike(workers, engine, seed, items, faults)
                _wait_until_quiet(workers, engine, len(accepted))
            finally:
                workers.stop()
            with engine.begin() as connection:
                results = Counter(connection.execute(text("SELECT item FROM results")).scalars())
            engine.dispose()
    finally:
        server.kill()
    log = folder / "executions.log"
    runs = Counter(log.read_text().split()) if log.exists() else Counter()
    return Plain(
        items=items,
        bit=bit,
        accepted=len(accepted),
        lost=len(accepted - set(results)),
        twice=sum(1 for count in results.values() if count > 1),
        rerun=sum(runs.values()) - len(runs),
        seconds=time.monotonic() - started,
    )


def _done(engine: Engine) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text("SELECT count(DISTINCT item) FROM results")).scalar_one())


def _send_and_strike(workers: _Workers, engine: Engine, seed: int, items: int, faults: int) -> tuple[set[int], int]:
    """Publish item after item, in a closed loop, and strike in between. Answers the items accepted and how many faults bit."""
    times = [asking.ms for asking in plan.work(seed, items) for _ in range(asking.items)]
    blows = list(plan.schedule(seed, items, faults, plan.PLAIN).blows)
    accepted: set[int] = set()
    bit, gone = 0, 0
    for number, ms in enumerate(times):
        if number % 20 == 0:
            done, since = _done(engine), time.monotonic()
            while len(accepted) - gone - done > _OPEN_MAX:
                workers.tend()
                time.sleep(0.2)
                before, done = done, _done(engine)
                since = time.monotonic() if done > before else since
                if time.monotonic() - since > 2:  # what was lost never comes: do not wait for it
                    gone = len(accepted) - done
            workers.tend()
        with contextlib.suppress(OperationalError, redis.RedisError, OSError):
            plain_worker.item.apply_async((number, ms), retry_policy={"max_retries": 3, "interval_start": 0.2})
            accepted.add(number)
        while blows and blows[0].at_items <= number:
            blow = blows.pop(0)
            bit += bool(_INJURIES[blow.kind](workers, random.Random(blow.seed)))
    return accepted, bit


def _wait_until_quiet(workers: _Workers, engine: Engine, wanted: int) -> None:
    """Until every result is there, or none has come for several visibility timeouts."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < _QUIET_SECONDS:
        workers.tend()
        done = _done(engine)
        if done >= wanted:
            return
        if done != last:
            last, since = done, time.monotonic()
        time.sleep(0.5)


def _held(workers: _Workers) -> int:
    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(workers.redis.url) as client:
        return int(client.llen("plain")) + int(client.hlen("unacked"))
    return 0


def _kill_child(workers: _Workers, dice: random.Random) -> bool:
    victims = children(workers.running[dice.choice(_WORKERS)].pid)
    if victims:
        with contextlib.suppress(ProcessLookupError):
            os.kill(dice.choice(victims), signal.SIGKILL)
    return bool(victims and _held(workers))


def _kill_worker(workers: _Workers, dice: random.Random) -> bool:
    held = _held(workers)
    workers.kill(dice.choice(_WORKERS))
    return held > 0


def _kill_redis(workers: _Workers, dice: random.Random) -> bool:
    held = _held(workers)
    workers.redis.kill()
    time.sleep(dice.uniform(0, 2))
    workers.redis.start()
    return held > 0


def _flush(workers: _Workers, dice: random.Random) -> bool:
    held = _held(workers)
    with redis.Redis.from_url(workers.redis.url) as client:
        client.flushall()
    return held > 0


def _freeze(workers: _Workers, dice: random.Random) -> bool:
    held = _held(workers)
    workers.freeze(dice.choice(_WORKERS), dice.uniform(2, 5) * LEASE_SECONDS)
    return held > 0


def _deploy(workers: _Workers, dice: random.Random) -> bool:
    for name in _WORKERS:
        workers.send_home(name)
    return True


def _fill(workers: _Workers, dice: random.Random) -> bool:
    with redis.Redis.from_url(workers.redis.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "1mb")
        time.sleep(dice.uniform(1, 3))
        client.config_set("maxmemory", "0")
    return True


_INJURIES: dict[str, Callable[[_Workers, random.Random], bool]] = {
    "F1": _kill_child,
    "F2": _kill_worker,
    "F4": _kill_redis,
    "F5": _flush,
    "F7": _freeze,
    "F16": _deploy,
    "F17": _fill,
}
