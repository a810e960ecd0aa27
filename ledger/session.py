"""The engine and the one commit: `Ledger.write()` is a transaction, `Ledger.read()` a snapshot. Nobody else commits."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from foundation import caller, progress, sealing
from foundation.clock import SYSTEM, Clock
from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from foundation.resilience.protection import Refused, protect
from foundation.settings import DatabaseSettings, QuotaSettings, Settings
from foundation.telemetry import CommitDoubted, emit
from ledger import commits, json_text, walls
from ledger.commits import Named
from ledger.trail.append import append
from ledger.trail.chain import Body
from ledger.trail.details import Details

NO_QUOTA = QuotaSettings(bytes=0, parts=0, jobs=0)

_CONNECT, _BEGIN = protect("database-connect"), protect("database-statement")

_JSON: dict[str, Any] = {"json_serializer": json_text.written, "json_deserializer": json_text.read}
_SYNCHRONOUS = "PRAGMA synchronous=FULL"
_UNHURRIED = "SELECT extract(epoch FROM clock_timestamp()), set_config('synchronous_commit', 'off', true)"
_WRITES = {"cadmill_begin": "BEGIN IMMEDIATE"}  # a deferred SQLite writer loses updates or fails half-way


@dataclass(slots=True)
class Tx:
    """One transaction. `now` is the database's time where it is shared (PostgreSQL), else the clock's."""

    connection: Connection
    clock: Clock
    details: Details = field(default_factory=Details)
    quota: QuotaSettings = NO_QUOTA  # of tenants for which nothing else was set
    _lines: list[Body] | None = None  # of the audit trail, gathered until the commit; None: nothing may be told, this only reads
    _now: float = field(default=0.0)
    told: list[progress.Event] = field(default_factory=list)

    @property
    def now(self) -> float:
        if not self._now:
            if self.connection.dialect.name == "postgresql" and self.clock is SYSTEM:
                self._now = float(self.connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")))
            else:
                self._now = self.clock.now()
        return self._now

    def trail(self, line: Body) -> None:
        """Keep a line of the audit trail for the commit (`audit.record`)."""
        if self._lines is None:
            raise RuntimeError("a transaction that reads leaves no trail")
        self._lines.append(line)

    def tell(self, event: progress.Event) -> None:
        """Have an event published if and when this transaction has committed; whoever asks for it hears it as their own."""
        self.told.append(event if event.user else replace(event, user=caller.current().key_id))

    def execute(self, statement: Any, rows: Any = None) -> Any:
        return self.connection.execute(statement, rows) if rows is not None else self.connection.execute(statement)

    def first(self, statement: Any) -> Row[Any] | None:
        """The one row of a statement, or None."""
        return self.connection.execute(statement).one_or_none()

    def number(self, statement: Any) -> int:
        """The one number of a counting statement."""
        return int(self.connection.execute(statement).scalar_one())


class Ledger:
    """The database of one process. Never share one across a fork: make it after."""

    def __init__(
        self, url: str, database: DatabaseSettings, clock: Clock = SYSTEM, details: Details | None = None, quota: QuotaSettings = NO_QUOTA
    ) -> None:
        self.clock, self.quota = clock, quota
        self.details = details or Details()
        self.engine = _engine(url, database)
        self._patience = database.busy_seconds
        self.publish: Callable[..., None] = progress.nobody
        """What events of commits are handed to: never waits, never raises."""

    @contextmanager
    def write(self, as_house: bool = False, lasting: bool = True) -> Iterator[Tx]:
        """A transaction that commits at the end of the block, or leaves no trace.

        One that is not `lasting` may be forgotten by a power cut, if all that comes after it is forgotten, too: no disk is waited for.

        A commit that is told failed is asked for before anything is said (`commits.py`): if it was done, the block ends as any other.
        Raises DATABASE_UNAVAILABLE, DATABASE_REFUSED, DATABASE_DAMAGED, STORAGE_FULL (nothing was written), COMMIT_UNKNOWN (no answer
        within `busy_seconds`).
        """
        with _translated(), _CONNECT.run(self.engine.connect) as connection, _unhurried(connection, lasting):
            connection = connection.execution_options(**_WRITES)
            transaction = _BEGIN.run(connection.begin)
            try:
                before = commits.changes(connection)
                lines: list[Body] = []
                tx = self._tx(connection, as_house, lines)
                if not lasting and connection.dialect.name == "postgresql":
                    told = connection.exec_driver_sql(_UNHURRIED).one()
                    tx._now = float(told[0]) if self.clock is SYSTEM else 0.0
                yield tx
                if lines:
                    append(connection, lines, self.details)
                named = commits.name(connection, before, self.clock.now())
            except BaseException:
                transaction.rollback()
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                connection.invalidate()
                self._look_for(named, error)
        if tx.told:
            self.publish(*tx.told)

    def _look_for(self, named: Named | None, error: DBAPIError) -> None:
        """Return if the commit that `error` tells of was done; raise what is true if not."""
        if named is None:
            raise error
        done = commits.was_done(self.engine, named, self.clock, self._patience)
        emit(CommitDoubted("unknown" if done is None else "done" if done else "undone"))
        if done is None:
            raise Failure("COMMIT_UNKNOWN", {"reason": type(error.orig).__name__}) from error
        if not done:
            raise error

    @contextmanager
    def read(self, as_house: bool = False) -> Iterator[Tx]:
        """A consistent view that changes nothing. Raises DATABASE_UNAVAILABLE."""
        with _translated(), _CONNECT.run(self.engine.connect) as connection, _BEGIN.run(connection.begin):
            yield self._tx(connection, as_house)

    def _tx(self, connection: Connection, as_house: bool, lines: list[Body] | None = None) -> Tx:
        """What a tenant asks for is done behind its wall (`walls.py`), all else and what is said to be `as_house` before it."""
        tenant_id, now = "" if as_house else caller.current().tenant_id, 0.0
        if tenant_id and connection.dialect.name == "postgresql":
            told = walls.enter(connection, tenant_id)
            now = told if self.clock is SYSTEM else 0.0
        return Tx(connection, self.clock, self.details, self.quota, lines, now)

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _unhurried(connection: Connection, lasting: bool) -> Iterator[None]:
    """SQLite is told before a transaction and after it whether to wait for the disk; PostgreSQL within it."""
    if lasting or connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        if not connection.invalidated:
            driver.execute(_SYNCHRONOUS)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        if not str(refused.context["call"]).startswith("database"):
            raise  # of something else that was called within the transaction
        raise Failure("DATABASE_UNAVAILABLE", {"reason": refused.code, "retry_after": refused.context["retry_after"]}) from refused
    except (DBAPIError, PoolTimeout) as error:
        failure = failure_of(error, Provider.DATABASE)
        if failure.row.temporary or isinstance(error, OperationalError | InterfaceError):
            raise failure from error
        raise  # what a guard or a wall refuses tells more than a code to whoever tries it, and is a defect of ours for all others


def _engine(address: str, database: DatabaseSettings) -> Engine:
    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        if url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url, pool_size=database.pool_size, max_overflow=20, connect_args={"timeout": database.busy_seconds}, **_JSON)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=database.pool_size,
            max_overflow=20,
            pool_pre_ping=True,
            **_JSON,
            connect_args={
                "connect_timeout": max(1, round(database.connect_seconds)),
                "application_name": "cadmill",
                # A machine that freezes inside a transaction must not hold up the others for good.
                "options": f"-c lock_timeout={_ms(database.busy_seconds)} -c idle_in_transaction_session_timeout={_ms(60)}",
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "tcp_user_timeout": _ms(30),
            },
        )
    raise Failure("CONFIG_INVALID", {"settings": {"CADMILL_DATABASE_URL": f"no such database here: {url.get_backend_name()}"}})


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # we begin ourselves
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute(_SYNCHRONOUS)  # NORMAL may lose an accepted job in a power cut
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("cadmill_begin", "BEGIN"))


def open_ledger(settings: Settings, clock: Clock = SYSTEM) -> Ledger:
    details = Details(lambda: sealing.of(settings), settings.audit.encrypt)
    return Ledger(settings.database_url, settings.database, clock, details, settings.quota)


@lru_cache(maxsize=1)
def _process_ledger(_pid: int, settings: Settings) -> Ledger:
    return open_ledger(settings)


def process_ledger(settings: Settings) -> Ledger:
    """The ledger of this process; the pid makes a forked child open its own."""
    return _process_ledger(os.getpid(), settings)
