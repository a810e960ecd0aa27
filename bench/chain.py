"""What the audit chain costs: jobs accepted by eight writers on PostgreSQL, with the chain and without, in turns.

`python -m bench.chain [--seconds 4] [--rounds 4]`. Without: the lines are written as they are, with no head held or moved and no hash."""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

from sqlalchemy import Connection, insert

from bench.house import postgresql
from foundation.clock import SYSTEM
from foundation.settings import DatabaseSettings
from ledger import jobs, session, tenants
from ledger.chunking import ChunkSize
from ledger.migrate import migrate
from ledger.rows import audit
from ledger.session import Ledger

WRITERS = 8
_FORK = multiprocessing.get_context("fork")


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.chain", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    with postgresql() as url:
        ledger = Ledger(url, DatabaseSettings())
        migrate(ledger)
        for many in (WRITERS, 1):
            with ledger.write() as tx:
                owners = [tenants.add(tx, f"{many} {number}").id for number in range(many)]
            ledger.close()
            ratios = []
            for turn in range(asked.rounds):
                ways = (True, False) if turn % 2 else (False, True)
                rates = {chained: _rate(url, owners, chained, asked.seconds) for chained in ways}
                ratios.append(rates[True] / rates[False])
                print(f"{many} tenants: {rates[True]:.0f} jobs/s with the chain, {rates[False]:.0f} without", flush=True)
            print(f"{many} tenants: {median(ratios):.2f} of the rate without ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)


def _rate(url: str, owners: Sequence[str], chained: bool, seconds: float) -> float:
    """Jobs a second of all writers together."""
    told = _FORK.SimpleQueue()
    began = time.monotonic() + 0.5
    given = (url, chained, began, began + seconds, told)
    writers = [
        _FORK.Process(target=_write, args=(owner, *given)) for owner, _ in zip(itertools.cycle(owners), range(WRITERS), strict=False)
    ]
    for writer in writers:
        writer.start()
    count = sum(told.get() for _ in writers)
    for writer in writers:
        writer.join(30)
    return count / seconds


def _write(owner: str, url: str, chained: bool, began: float, until: float, told: Any) -> None:
    if not chained:
        session.append = _unchained  # type: ignore[assignment]  # in this process only
    ledger, count = Ledger(url, DatabaseSettings()), 0
    time.sleep(max(0.0, began - time.monotonic()))
    while time.monotonic() < until:
        new = jobs.NewJob(
            id=SYSTEM.new_id("job"), tenant_id=owner, kind="probe", queue="probe", priority="normal", step=6, input={},
            items=[jobs.NewItem()], size=ChunkSize(1, 10**9, 1),
        )  # fmt: skip
        with ledger.write() as tx:
            jobs.add(tx, new)
        count += 1
    ledger.close()
    told.put(count)


def _unchained(connection: Connection, bodies: Sequence[dict[str, Any]], details: Any) -> None:
    lines = []
    for body in bodies:
        number = time.monotonic_ns()  # unique enough: no two writers of a tenant collide in practice
        detail = details.kept(body["detail"], body["chain"], number, body["action"])
        values = {name: value for name, value in body.items() if name != "chain"}
        lines.append({**values, "tenant_id": body["chain"], "detail": detail, "number": number, "hash": f"{number:064x}"})
    connection.execute(insert(audit), lines)


if __name__ == "__main__":
    main()
