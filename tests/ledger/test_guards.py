"""The database itself refuses what the tables of states do not allow."""

from __future__ import annotations

from itertools import product

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from foundation.sealing import Sealing
from ledger import endpoints, outbox
from ledger.endpoints import NewEndpoint
from ledger.migrate import migrate
from ledger.rows import metadata
from ledger.session import Ledger
from ledger.states import BIRTH, TABLES, ended
from tests.ledger.conftest import Desk

MOVES = [(table, old, new) for table, moves in TABLES.items() for old, new in product(moves, moves) if old != new]


def way_to(table: str, goal: str, starts: set[str]) -> list[str]:
    """A legal way from one of these states to another."""
    ways = [[start] for start in sorted(starts)]
    while ways:
        way = ways.pop(0)
        if way[-1] == goal:
            return way
        ways += [[*way, step] for step in sorted(TABLES[table][way[-1]]) if step not in way]
    raise AssertionError(f"{table}.{goal} cannot be reached")


def test_every_state_can_be_reached_and_ended_states_are_those_without_moves() -> None:
    for table, moves in TABLES.items():
        for state in moves:
            assert way_to(table, state, set(BIRTH[table]))
    assert ended("chunks") == ("done", "dead", "cancelled")


def test_every_move_is_allowed_or_refused_as_the_table_says(desk: Desk) -> None:
    """All pairs of states of all tables, tried in the database."""
    job_id = desk.add(1)
    with desk.ledger.write() as tx:
        delivery = outbox.owe(tx, desk.tenant.id, job_id, "https://example.com", "job.failed", {})
        endpoint, _ = endpoints.add(tx, Sealing(bytes(32)), desk.tenant.id, NewEndpoint("https://example.com", outbox.EVENTS), 1)
    where = {"jobs": ("id", job_id), "chunks": ("id", f"{job_id}.0"), "items": ("job_id", job_id), "deliveries": ("id", delivery)}
    where["endpoints"] = ("id", endpoint)
    refused = 0
    for table, old, new in MOVES:
        column, value = where[table]
        legal = new in TABLES[table][old]
        with desk.ledger.engine.connect() as connection:
            transaction = connection.begin()
            row = {"value": value}
            was = connection.execute(text(f"SELECT state FROM {table} WHERE {column} = :value"), row).scalar_one()
            for step in way_to(table, old, {was})[1:]:
                connection.execute(text(f"UPDATE {table} SET state = :step WHERE {column} = :value"), row | {"step": step})
            try:
                connection.execute(text(f"UPDATE {table} SET state = :new WHERE {column} = :value"), row | {"new": new})
                happened = True
            except DBAPIError as error:
                happened = False
                assert "illegal move" in str(error.orig)
                refused += 1
            transaction.rollback()
        assert happened is legal, f"{table}: {old} -> {new}"
    assert refused == sum(new not in TABLES[table][old] for table, old, new in MOVES)


def test_a_row_cannot_be_born_in_the_middle_of_its_life(desk: Desk) -> None:
    job_id = desk.add(1)
    statement = "INSERT INTO items (job_id, \"index\", chunk_id, bytes, state) VALUES (:job, 99, 'x', 0, 'succeeded')"
    with pytest.raises(DBAPIError, match="illegal birth"), desk.ledger.write() as tx:
        tx.connection.execute(text(statement), {"job": job_id})


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'nobody'", "DELETE FROM audit"])
def test_the_audit_trail_cannot_be_changed(desk: Desk, statement: str) -> None:
    desk.add(1)
    with pytest.raises(DBAPIError), desk.ledger.write() as tx:
        tx.connection.execute(text(statement))


def test_migrating_twice_changes_nothing_and_rows_agree_with_the_migrations(ledger: Ledger) -> None:
    migrate(ledger)
    with ledger.read() as tx:
        context = MigrationContext.configure(tx.connection, opts={"target_metadata": metadata})
        assert compare_metadata(context, metadata) == []
