"""The one commit, under several real processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation.errors import Failure
from foundation.settings import Settings
from ledger.session import Ledger
from tests.stack import ROOT

PROGRAM = """
import sys
from sqlalchemy import text
from foundation.settings import Settings
from ledger.session import Ledger
ledger = Ledger(sys.argv[1], Settings().database)
for _ in range(100):
    with ledger.write() as tx:
        seen = tx.connection.execute(text("SELECT token FROM leases WHERE name = 'n' FOR UPDATE" if "postgres" in sys.argv[1]
            else "SELECT token FROM leases WHERE name = 'n'")).scalar_one()
        tx.connection.execute(text("UPDATE leases SET token = :next WHERE name = 'n'"), {"next": seen + 1})
"""


def test_four_processes_that_read_and_write_lose_no_update(ledger: Ledger, database_url: str) -> None:
    from ledger import leases

    with ledger.write() as tx:
        leases.acquire(tx, "n", "nobody", 1)
    processes = [subprocess.Popen([sys.executable, "-c", PROGRAM, database_url], cwd=ROOT) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    with ledger.write() as tx:
        tx.clock.now()
        assert leases.acquire(tx, "n", "nobody", 1) == 402


def test_a_database_that_is_not_there_is_told_with_its_code() -> None:
    nowhere = Ledger("postgresql://nobody@127.0.0.1:1/none", Settings().database)
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"), nowhere.read():
        pass
    nowhere.close()


def test_an_unknown_kind_of_database_is_told_at_once() -> None:
    with pytest.raises(Failure, match="CONFIG_INVALID"):
        Ledger("mysql://localhost/x", Settings().database)


def test_any_number_may_migrate_at_once(empty_database: Callable[[str], str], tmp_path: Path) -> None:
    for dialect in ("sqlite", "postgresql"):
        program = (
            "import sys; from foundation.settings import Settings; from ledger.session import Ledger; from ledger.migrate import migrate; "
            "migrate(Ledger(sys.argv[1], Settings().database))"
        )
        url = empty_database(dialect)
        processes = [subprocess.Popen([sys.executable, "-c", program, url], cwd=ROOT) for _ in range(3)]
        assert [process.wait(60) for process in processes] == [0, 0, 0]
