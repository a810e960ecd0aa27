"""Whether a commit that was told failed was done: the database is asked before anybody decides anything.

A link that breaks during COMMIT leaves the caller without an answer; doing the work again may do it twice, giving up may lose it.
So each transaction that changed something has a name by which its outcome can be asked for later: on PostgreSQL the
id the server gave it (`pg_xact_status`), on SQLite a row in which each connection counts its commits.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, text
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from foundation.clock import Clock
from foundation.resilience.protection import Refused, guard
from foundation.telemetry import logger
from ledger.rows import commits

_PAUSE_SECONDS = 0.2
# as text, because composing it would take longer than running it
_COUNT = (
    "INSERT INTO commits (writer, number, at) VALUES (?, ?, ?) "
    "ON CONFLICT (writer) DO UPDATE SET number = excluded.number, at = excluded.at"
)


@dataclass(frozen=True, slots=True)
class Named:
    """A transaction that can be asked for: the `number`-th of `writer`, which is empty on PostgreSQL."""

    writer: str
    number: int


def changes(connection: Connection) -> int:
    """How many rows this connection has ever changed, where that is free to know (SQLite)."""
    driver: Any = connection.connection.dbapi_connection
    return int(driver.total_changes) if connection.dialect.name == "sqlite" else 0


def name(connection: Connection, changes_before: int, now: float) -> Named | None:
    """Name the open transaction, as its last statement. None: it has changed nothing, so nothing of it can be in doubt."""
    if connection.dialect.name == "postgresql":
        number = connection.scalar(text("SELECT pg_current_xact_id_if_assigned()::text::bigint"))
        return None if number is None else Named("", int(number))
    if changes(connection) == changes_before:
        return None
    writer = connection.info.setdefault("cadmill_writer", secrets.token_hex(8))
    number = connection.info["cadmill_commits"] = connection.info.get("cadmill_commits", 0) + 1
    connection.exec_driver_sql(_COUNT, (writer, number, now))
    return Named(writer, number)


def was_done(engine: Engine, named: Named, clock: Clock, patience: float) -> bool | None:
    """Ask until the database knows. None: it gave no answer within `patience` seconds."""
    end = clock.tick() + patience
    while True:
        try:
            with guard("database-connect"), engine.connect() as connection, connection.begin():
                answer = _ask(connection, named)
        except (OperationalError, InterfaceError, PoolTimeout, Refused) as error:
            logger.warning("cannot ask yet what became of a commit: %s", type(error.__cause__ or error).__name__)
            answer = None
        if answer is not None or clock.tick() >= end:
            return answer
        clock.sleep(_PAUSE_SECONDS)


def _ask(connection: Connection, named: Named) -> bool | None:
    if connection.dialect.name == "postgresql":
        status = connection.scalar(text("SELECT pg_xact_status(CAST(:number AS text)::xid8)"), {"number": str(named.number)})
        return {"committed": True, "aborted": False}.get(str(status))
    return connection.scalar(select(commits.c.number).where(commits.c.writer == named.writer)) == named.number


def forget(connection: Connection, before: float) -> None:
    """Forget writers that have not committed since: nobody can be waiting for an answer about them."""
    connection.execute(delete(commits).where(commits.c.at < before))
