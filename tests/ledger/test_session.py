"""The one commit, under several real processes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from foundation.errors import Failure
from foundation.settings import Settings
from ledger import leases
from ledger.migrate import migrate
from ledger.session import Ledger
from tests.processes import all_ended_well, forked

TIMES = 50


def count_up(address: str) -> None:
    ledger = Ledger(address, Settings().database)
    for _ in range(TIMES):
        with ledger.write() as tx:
            seen = tx.connection.execute(
                text("SELECT token FROM leases WHERE name = 'n'" + (" FOR UPDATE" if "postgres" in address else ""))
            ).scalar_one()
            tx.connection.execute(text("UPDATE leases SET token = :next WHERE name = 'n'"), {"next": seen + 1})


def test_four_processes_that_read_and_write_lose_no_update(ledger: Ledger, database_url: str) -> None:
    with ledger.write() as tx:
        first = leases.acquire(tx, "n", "nobody", 1)
    assert first is not None
    with forked(ledger, 4, count_up, database_url) as processes:
        assert all_ended_well(processes)
    with ledger.write() as tx:
        assert leases.acquire(tx, "n", "nobody", 1) == first + 4 * TIMES + 1


def test_a_database_that_is_not_there_is_told_with_its_code() -> None:
    nowhere = Ledger("postgresql://nobody@127.0.0.1:1/none", Settings().database)
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"), nowhere.read():
        pass
    nowhere.close()


def test_an_unknown_kind_of_database_is_told_at_once() -> None:
    with pytest.raises(Failure, match="CONFIG_INVALID"):
        Ledger("mysql://localhost/x", Settings().database)


def bring_up(address: str) -> None:
    migrate(Ledger(address, Settings().database))


def test_any_number_may_migrate_at_once(empty_ledger: Ledger) -> None:
    address = empty_ledger.engine.url.render_as_string(hide_password=False)
    with forked(empty_ledger, 3, bring_up, address) as processes:
        assert all_ended_well(processes)


def test_a_full_database_is_told_as_such_and_leaves_no_trace(new_database: Callable[[str], str]) -> None:
    ledger = Ledger(new_database("sqlite"), Settings().database)
    with pytest.raises(Failure) as caught, ledger.write() as tx:
        tx.connection.execute(text(f"PRAGMA max_page_count = {tx.connection.scalar(text('PRAGMA page_count')) + 2}"))
        leases.acquire(tx, "n", "nobody", 1)
        tx.connection.execute(text("UPDATE leases SET owner = hex(zeroblob(1000000))"))
    assert (caught.value.code, caught.value.row.retryable, caught.value.row.temporary) == ("STORAGE_FULL", False, True)
    with ledger.read() as tx:
        assert tx.connection.scalar(text("SELECT count(*) FROM leases WHERE name = 'n'")) == 0
    ledger.close()


def test_a_database_that_nobody_has_migrated_is_not_told_as_one_that_is_away(empty_database: Callable[[str], str]) -> None:
    ledger = Ledger(empty_database("sqlite"), Settings().database)
    with pytest.raises(Failure, match="DATABASE_REFUSED"), ledger.read() as tx:
        tx.connection.execute(text("SELECT * FROM jobs"))
    ledger.close()


def test_who_waits_in_vain_for_another_writer_is_told_to_ask_again(new_database: Callable[[str], str]) -> None:
    address = new_database("sqlite")
    one, other = (Ledger(address, Settings().database.model_copy(update={"busy_seconds": 0.05})) for _ in range(2))
    with one.write(), pytest.raises(Failure) as caught, other.write():
        pass
    assert (caught.value.code, caught.value.row.retryable) == ("DATABASE_UNAVAILABLE", True)
    one.close()
    other.close()
