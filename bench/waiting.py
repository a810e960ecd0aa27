"""How long work waits: urgent work over a backlog, one tenant beside another's flood, claims beside a million finished items.

`python -m bench.waiting` (`--write`: docs/waiting.md; `--quick`; `--help`). Phases and databases are interleaved: trust the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import create_engine, make_url, select, text

from bench.claims import ITEMS_A_CHUNK, Claims, claims
from bench.house import ROOT, house, postgresql, until
from bench.report import facts, percentile
from foundation import sealing
from foundation.clock import SYSTEM
from foundation.settings import DatabaseSettings, Settings, StorageSettings
from ledger import keys, rows, tenants
from ledger.session import Ledger

PROCESSES = 2
ONE_ITEM_A_CHUNK = {"CADMILL_QUEUE_CHUNK_MAX_ITEMS": "1"}
_DATABASES = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Asker:
    """One tenant at a running stack, and the ledger under it."""

    http: httpx2.Client
    ledger: Ledger

    def submit(self, items: int, ms: float, priority: str = "normal") -> str:
        body = {"kind": "probe", "input": {"items": items, "ms": ms, "act": "sleep"}, "priority": priority}
        return str(self.http.post("/api/v1/jobs", json=body).raise_for_status().json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"/api/v1/jobs/{job_id}").raise_for_status().json())

    def cancel(self, job_id: str) -> None:
        self.http.post(f"/api/v1/jobs/{job_id}/cancel").raise_for_status()

    def started(self, *job_ids: str) -> list[tuple[float, float]]:
        """(since when it waited, when it started) of each chunk that has started."""
        chosen = select(rows.chunks.c.queued_at, rows.chunks.c.started_at).where(
            rows.chunks.c.job_id.in_(job_ids), rows.chunks.c.started_at.is_not(None)
        )
        with self.ledger.read() as tx:
            return [(row.queued_at, row.started_at) for row in tx.execute(chosen)]


@contextlib.contextmanager
def another_tenant(ledger: Ledger, directory: Path, url: str) -> Iterator[Asker]:
    """A new tenant of a running stack."""
    pepper = sealing.of(Settings(storage=StorageSettings(directory=directory))).pepper(keys.PEPPER)
    with ledger.write() as tx:
        key = keys.add(tx, pepper, tenants.add(tx, SYSTEM.new_id("bench")).id).text
    with httpx2.Client(base_url=url, headers={"X-API-Key": key}, timeout=60, trust_env=False) as http:
        yield Asker(http, ledger)


# -- urgent over a backlog ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Overtaking:
    """One urgent item that came while low ones waited: its wait, and how many of them were started between."""

    seconds: float
    lows_between: int
    lows_waiting: int


def overtake(asker: Asker, rounds: int, backlog: int = 1000, ms: float = 20.0) -> list[Overtaking]:
    """Submit urgent items, one at a time, over low ones (each a chunk)."""
    low = asker.submit(backlog + 200, ms, "low")
    urgent: list[tuple[str, float]] = []
    until(lambda: asker.started(low), 60, 0.02)
    for _ in range(rounds):
        urgent.append((asker.submit(1, ms, "urgent"), time.time()))
        until(lambda: asker.started(urgent[-1][0]), 60, 0.01)
        time.sleep(random.uniform(0, 2 * ms / 1000))  # not in step with what runs
    lows = [start for _, start in asker.started(low)]
    asker.cancel(low)
    found = []
    for job_id, accepted in urgent:
        ((asked, start),) = asker.started(job_id)
        waiting = backlog + 200 - sum(at <= accepted for at in lows)
        found.append(Overtaking(start - asked, sum(accepted < at < start for at in lows), waiting))
    return found


# -- one tenant beside another's flood ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Beside:
    """Waits (seconds) of a tenant's chunks without and with another tenant's flood, a list a round; how many chunks of the flood
    were started while some of a job of the tenant waited, a number a job; and in which time a process starts one chunk after the
    other beside the flood (seconds), a number a round."""

    without: list[list[float]] = field(default_factory=list)
    flooded: list[list[float]] = field(default_factory=list)
    let_in: list[int] = field(default_factory=list)
    turnaround: list[float] = field(default_factory=list)

    def p95(self) -> tuple[float, float]:
        """Over all rounds: without and with the flood."""
        alone, flooded = ([wait for waits in lists for wait in waits] for lists in (self.without, self.flooded))
        return percentile(alone, 95), percentile(flooded, 95)

    @property
    def ratios(self) -> list[float]:
        """Of p95 with the flood to p95 without, of each round."""
        return [percentile(b, 95) / percentile(a, 95) for a, b in zip(self.without, self.flooded, strict=True)]


def beside_a_flood(
    quiet: Asker, flooder: Asker, rounds: int, jobs_a_phase: int, items: int = 8, ms: float = 50.0, flood: int = 5000
) -> Beside:
    """Jobs of a tenant that asks for 40 % of what the workers can do, alone and beside so many items of another, in turns."""
    found = Beside()
    for _ in range(rounds):
        found.without.append([start - since for one in _jobs(quiet, jobs_a_phase, items, ms) for since, start in one])
        job = flooder.submit(flood, ms)
        until(lambda job=job: len(flooder.started(job)) >= 20, 60, 0.05)  # type: ignore[misc]
        done = _jobs(quiet, jobs_a_phase, items, ms)
        starts = [start for _, start in flooder.started(job)]
        flooder.cancel(job)
        if len(starts) >= flood:
            raise RuntimeError("the flood was over before the measurement was")
        found.flooded.append([start - since for one in done for since, start in one])
        found.let_in += [sum(one[0][0] < at < max(start for _, start in one) for at in starts) for one in done]
        all_starts = [*starts, *(start for one in done for _, start in one)]
        found.turnaround.append(PROCESSES * (max(all_starts) - min(all_starts)) / (len(all_starts) - 1))
        time.sleep(4 * ms / 1000)
    return found


def _jobs(asker: Asker, count: int, items: int, ms: float) -> list[list[tuple[float, float]]]:
    """Jobs one after the other, each followed by a rest of 1.5 times its length, however fast the machine is at present."""
    found = []
    for _ in range(count):
        began = time.monotonic()
        job_id = asker.submit(items, ms)
        until(lambda job_id=job_id: asker.job(job_id)["state"] == "succeeded", 120, 0.02)  # type: ignore[misc]
        found.append(asker.started(job_id))
        time.sleep((time.monotonic() - began) * random.uniform(1.4, 1.6))
    return found


# -- all of it ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Figures:
    """What was found on one database."""

    overtakings: list[Overtaking]
    beside: Beside
    single: Beside
    claims: Claims


def measure(database: str, databases: Sequence[str], quick: bool, finished: int) -> Figures:
    """Everything on one kind of database: the stack on the first address, claims on the other two."""
    rounds, jobs_a_phase = (1, 6) if quick else (3, 10)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cadmill-bench-", ignore_cleanup_errors=True)))
        running = stack.enter_context(house(directory, databases[0] if database == "postgresql" else "", PROCESSES))
        ledger = Ledger(databases[0] if database == "postgresql" else f"sqlite:///{directory / 'cadmill.db'}", DatabaseSettings())
        stack.callback(ledger.close)
        one, other = (stack.enter_context(another_tenant(ledger, directory, running.url)) for _ in range(2))
        overtakings = overtake(one, 5 if quick else 30)
        beside = beside_a_flood(one, other, rounds, jobs_a_phase)
        single = beside_a_flood(one, other, rounds, 2 * jobs_a_phase, items=1)
    return Figures(overtakings, beside, single, claims(databases[1:], finished, finished // 10, 50 if quick else 300))


@contextlib.contextmanager
def addresses(database: str) -> Iterator[list[str]]:
    """Three empty databases of a kind."""
    with contextlib.ExitStack() as stack:
        if database == "sqlite":
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cadmill-bench-"))
            yield [f"sqlite:///{folder}/{number}.db" for number in range(3)]
            return
        url = make_url(stack.enter_context(postgresql())).set(drivername="postgresql+psycopg")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for number in range(3):
                connection.execute(text(f"CREATE DATABASE waiting{number}"))
        engine.dispose()
        yield [url.set(drivername="postgresql", database=f"waiting{n}").render_as_string(hide_password=False) for n in range(3)]


def _ms(values: Sequence[float], percent: int) -> str:
    return f"{1000 * percentile(values, percent):.0f}"


def lines(found: dict[str, Figures], finished: int) -> list[str]:
    """The page, as Markdown."""
    told = [
        "# How long work waits",
        "",
        f"Written by `python -m bench.waiting --write`, measured on {facts()},",
        f"{PROCESSES} compute processes, one item a chunk. All phases are interleaved; the machine may have had other work:",
        "trust ratios and counts rather than milliseconds.",
        "",
        "## Urgent over a backlog",
        "",
        "Urgent items, one at a time, over more than 1,000 waiting low ones of 20 ms of the same tenant.",
        "Aim: no low one is started between; those already running finish first.",
        "",
        "| database | urgent items | low ones started between: all, most | wait, median | wait, p95 |",
        "|---|---|---|---|---|",
    ]
    for name, figures in found.items():
        between, waits = [one.lows_between for one in figures.overtakings], [one.seconds for one in figures.overtakings]
        told.append(f"| {name} | {len(between)} | {sum(between)}, {max(between)} | {_ms(waits, 50)} ms | {_ms(waits, 95)} ms |")
    told += [
        "",
        "## One tenant beside another's flood",
        "",
        "A tenant asks for 40 % of what the workers can do, one job after the other; then the same beside 5,000 items of another",
        "tenant, in turns. p95 of the wait of its chunks, the ratio of both (median of the rounds, least and most), and how many",
        "chunks of the flood were started while some of a job waited. Aim: 1.5 for jobs of many chunks.",
        "",
        "| database | chunks a job | chunks measured | alone, p95 | beside the flood, p95 | ratio of each round | let in: median, most |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, figures in found.items():
        for size, beside in ((8, figures.beside), (1, figures.single)):
            count = sum(len(waits) for waits in beside.without)
            alone, flooded = beside.p95()
            spread = f"{statistics.median(beside.ratios):.2f} ({min(beside.ratios):.2f} to {max(beside.ratios):.2f})"
            let_in = f"{statistics.median(beside.let_in):.0f}, {max(beside.let_in)}"
            told.append(f"| {name} | {size} | {count} | {1000 * alone:.0f} ms | {1000 * flooded:.0f} ms | {spread} | {let_in} |")
    told += [
        "",
        "For a job of one chunk this ratio says little: on idle workers it waits for nothing but the line itself, and beside a flood",
        "until a process has done with what it runs, for nothing is interrupted. So its wait is told here in turnarounds: the time in",
        "which a process beside the flood starts one chunk after the other (claim, work and commit). No order can do better than the",
        "rest of one turnaround; two are possible where a process had just chosen its next chunk, which is then let in. Aim: none waits",
        f"for more than two, and no more chunks are let in than there are processes ({PROCESSES}).",
        "",
        "| database | jobs of one chunk | turnaround | wait in turnarounds: median, p95, most | waited for more than one, than two |",
        "|---|---|---|---|---|",
    ]
    for name, figures in found.items():
        single = figures.single
        waits = [wait / turn for turn, waits in zip(single.turnaround, single.flooded, strict=True) for wait in waits]
        told.append(
            f"| {name} | {len(waits)} | {1000 * statistics.median(single.turnaround):.0f} ms | {percentile(waits, 50):.2f}, "
            f"{percentile(waits, 95):.2f}, {max(waits):.2f} | {sum(wait > 1 for wait in waits)}, {sum(wait > 2 for wait in waits)} |"
        )
    told += [
        "",
        "## Claims",
        "",
        f"Choosing, claiming, ringing for the next and the commit, at a fresh ledger and at one with {finished:,} finished items",
        f"({finished // ITEMS_A_CHUNK:,} chunks) and {finished // 10:,} queued chunks, in turns. CPU is that of the claiming process.",
        "",
        "| database | claims | fresh: median, p95 | full: median, p95 | ratio of medians | CPU: fresh, full |",
        "|---|---|---|---|---|---|",
    ]
    for name, figures in found.items():
        one = figures.claims
        fresh, full = (f"{_ms2(values, 50)}, {_ms2(values, 95)} ms" for values in (one.empty, one.full))
        ratio = statistics.median(one.full) / statistics.median(one.empty)
        cpu = f"{1000 * statistics.median(one.cpu_empty):.2f}, {1000 * statistics.median(one.cpu_full):.2f} ms"
        told.append(f"| {name} | {len(one.empty)} each | {fresh} | {full} | {ratio:.2f} | {cpu} |")
    return told


def _ms2(values: Sequence[float], percent: int) -> str:
    return f"{1000 * percentile(values, percent):.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.waiting", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, 10,000 finished items")
    parser.add_argument("--only", choices=_DATABASES, help="one database")
    parser.add_argument("--write", action="store_true", help="write docs/waiting.md")
    asked = parser.parse_args()
    os.environ.update(ONE_ITEM_A_CHUNK)
    finished = 10_000 if asked.quick else 1_000_000
    found: dict[str, Figures] = {}
    for database in (asked.only,) if asked.only else _DATABASES:
        with addresses(database) as urls:
            found[database] = measure(database, urls, asked.quick, finished)
        page = "\n".join(lines(found, finished)) + "\n"
        print(page, flush=True)
        if asked.write:
            (ROOT / "docs" / "waiting.md").write_text(page)


if __name__ == "__main__":
    main()
