"""`cadmill chaos`: real files through a running stack while a printed, seeded schedule of faults hurts it; then the doctor's verdict."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.cli import show, store_doctor, work
from api.cli.client import TERMINAL, Client
from api.cli.connection import ApiError
from api.cli.selection import choose
from api.cli.up import project_root
from foundation.clock import SYSTEM
from foundation.errors import Failure
from foundation.settings import Settings

_JOBS_AT_ONCE = 4
_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 5.0
_GAP_SECONDS = (4.0, 10.0)
_LASTING_SECONDS = (2.0, 8.0)
_PATIENCE_SECONDS = 600.0
"""How long after the last fault everything may take to end."""
_SAMPLES = ("dxf", "stl", "step", "iges", "bad")
_FAULTS = ("kill_child", "kill_compute", "kill_courier", "pause_compute", "pause_courier", "empty_queues", "drop_rings")
_TOLD_TWICE = ("end_told_twice", "done_twice")


@dataclass(frozen=True, slots=True)
class Blow:
    at: float
    fault: str
    seconds: float


@dataclass(slots=True)
class Log:
    """The client's own: what was accepted, and what hit."""

    accepted: dict[str, int] = field(default_factory=dict)
    hit: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)


def plan(minutes: float, seed: int) -> list[Blow]:
    """The schedule of a seed: the same each time."""
    dice, at, blows = random.Random(seed), 2.0, []
    while at < minutes * 60:
        # one round of all faults in a drawn order, then the next: a short run has each of them
        for fault in dice.sample(_FAULTS, len(_FAULTS)):
            blows.append(Blow(round(at, 1), fault, round(dice.uniform(*_LASTING_SECONDS), 1)))
            at += dice.uniform(*_GAP_SECONDS)
    return [blow for blow in blows if blow.at < minutes * 60]


def run(client: Client, admin_token: str, here: Settings, minutes: float, seed: int, files: Sequence[Path]) -> int:
    """The whole run; 0 when nothing was lost, nothing doubled, and the store is in order."""
    schedule = plan(minutes, seed)
    show.table(f"Schedule of seed {seed}", ["second", "fault", "lasting"], [[blow.at, blow.fault, blow.seconds] for blow in schedule])
    chosen = choose(list(files) or [project_root() / "tests" / "data" / folder for folder in _SAMPLES])
    parts, _ = work.upload(client, chosen)
    if not parts:
        raise Failure("REQUEST_INVALID", {"files": len(chosen)}, "The server accepted none of the files.")
    before = client.repairs()
    log = _hurt(client, admin_token, schedule, parts, minutes * 60)
    show.line(f"waiting for {len(log.accepted)} jobs to end, at most {_PATIENCE_SECONDS:g} s ...")
    deadline = SYSTEM.tick() + _PATIENCE_SECONDS
    while (open_jobs := _open(client, log)) and SYSTEM.tick() < deadline:
        SYSTEM.sleep(_LOOK_SECONDS)
    repaired = {what: int(count - before.get(what, 0)) for what, count in client.repairs().items()}
    return _verdict(client, log, open_jobs, repaired, here)


def _hurt(client: Client, admin_token: str, schedule: Sequence[Blow], parts: Sequence[dict[str, Any]], seconds: float) -> Log:
    """Keep a few jobs under way and inflict what is due, until the time is over."""
    log, begun, due = Log(), SYSTEM.tick(), list(schedule)
    while (now := SYSTEM.tick() - begun) < seconds or due:
        if now < seconds and len(_open(client, log)) < _JOBS_AT_ONCE:
            job = work.extract(client, parts, "v4", force=True, labels={"chaos": "1"})
            log.accepted[job["id"]] = job["counts"]["total"]
        if due and due[0].at <= now:
            blow = due.pop(0)
            if not _strike(client, admin_token, blow, log) and now + _AGAIN_SECONDS < seconds:
                due.insert(0, Blow(now + _AGAIN_SECONDS, blow.fault, blow.seconds))
        else:
            SYSTEM.sleep(_LOOK_SECONDS)
    return log


def _strike(client: Client, admin_token: str, blow: Blow, log: Log) -> bool:
    """Whether it hit somebody: whom it would hit may still be down from the last one."""
    try:
        hit = client.chaos(blow.fault, blow.seconds, admin_token)["hit"]
    except ApiError as error:
        if error.code not in ("CHAOS_UNHEARD", "BROKER_UNAVAILABLE"):
            raise
        log.missed[blow.fault] += 1
        show.line(f"  {blow.at:6.1f} s  {blow.fault} hit nobody yet ({error.code})", "yellow")
        return False
    log.hit[blow.fault] += 1
    show.line(f"  {blow.at:6.1f} s  {blow.fault} {show.clean(hit)}")
    return True


def _open(client: Client, log: Log) -> list[str]:
    """Accepted jobs that have not ended: live ones are few, so that they are asked one by one."""
    newest = list(log.accepted)[-3 * _JOBS_AT_ONCE :]
    return [job for job in newest if client.job(job)["state"] not in TERMINAL]


def _verdict(client: Client, log: Log, open_jobs: Sequence[str], repaired: dict[str, int], here: Settings) -> int:
    accepted, ended, lost, twice = sum(log.accepted.values()), 0, 0, 0
    for job, total in log.accepted.items():
        seen = Counter(item["index"] for item in client.items(job) if item["state"] != "pending")
        ended += len(seen)
        lost += sum(1 for index in range(total) if index not in seen)
        twice += sum(count - 1 for count in seen.values()) + sum(1 for index in seen if index >= total)
    show.line(f"\nfaults: {log.hit.total()} hit, {log.missed.total()} times nobody was there; upkeep: {show.clean(repaired)}", "bold")
    healthy = True
    if reason := store_doctor.why_not(here):
        show.line(f"store: not looked at ({reason}); twice is counted by the API's answers alone", "yellow")
    else:
        report = store_doctor.examine(here, deep=True, fix=False)
        store_doctor.tell(report)
        twice += sum(report.found[kind] for kind in _TOLD_TWICE)
        healthy = report.healthy
    good = healthy and not lost and not twice and not open_jobs
    show.line(f"accepted {accepted}, ended {ended}, lost {lost}, twice {twice}", "bold green" if good else "bold red")
    if not log.hit:
        show.line("no fault hit anything: this run proves nothing", "red")
    return 0 if good and log.hit else 1
