"""Insiders by the thousand: `python -m tests.ledger.trail` (`make tampers`), `--help` for what it takes."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import event

from bench.house import postgresql
from foundation.settings import DatabaseSettings
from ledger.migrate import migrate
from ledger.session import Ledger
from tests.ledger.trail.insider import CHAINS, DEEDS, Insider, nothing


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.ledger.trail", description="Tampers with the audit trail and counts what is found.")
    parser.add_argument("--times", type=int, default=1000, help="of each deed")
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL server of its own instead of SQLite")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9))
    asked = parser.parse_args()
    print(f"seed {asked.seed}, {asked.times} of each on {'postgresql' if asked.postgresql else 'sqlite'}", flush=True)
    with tempfile.TemporaryDirectory(prefix="cadmill-tampers-") as folder:
        if asked.postgresql:
            with postgresql() as url:
                wrong = campaign(url, asked.times, asked.seed)
        else:
            wrong = campaign(f"sqlite:///{Path(folder) / 'ledger.db'}", asked.times, asked.seed)
    sys.exit(1 if wrong else 0)


def campaign(url: str, times: int, seed: int) -> int:
    """How many deeds were not found at the right line, or were found where there were none."""
    ledger = Ledger(url, DatabaseSettings())
    migrate(ledger)
    insider = Insider(ledger, random.Random(seed))
    insider.settle()
    if ledger.engine.dialect.name == "sqlite":  # what is asked here is no question of power cuts
        event.listen(ledger.engine, "connect", lambda connection, _record: connection.execute("PRAGMA synchronous=OFF"))
        ledger.engine.dispose()
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for deed in (*DEEDS, nothing):
        started = time.monotonic()
        for _ in range(-(-times // len(CHAINS))):
            for expected, found in insider.act(deed):
                (right if found == expected else wrong)[deed.__name__] += 1
                if found != expected and wrong[deed.__name__] <= 3:
                    print(f"  expected {expected}, found {found}")
        seconds = time.monotonic() - started
        print(f"{deed.__name__:8} {right[deed.__name__]} right, {wrong[deed.__name__]} wrong, {seconds:.0f} s", flush=True)
    ledger.close()
    return wrong.total()


if __name__ == "__main__":
    main()
