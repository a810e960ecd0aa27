"""SQLite and PostgreSQL, by their drivers and through SQLAlchemy."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import sqlalchemy as sa

from tests.foundation.provoked.case import Case, Place

_MAKE = """
CREATE TABLE IF NOT EXISTS a (id int PRIMARY KEY, n int NOT NULL CHECK (n > 0), s varchar(3));
CREATE TABLE IF NOT EXISTS b (id int REFERENCES a (id));
DELETE FROM b; DELETE FROM a; INSERT INTO a VALUES (1, 1, 'x'), (2, 1, 'y')
"""


def _pg(address: str, **more: Any) -> psycopg.Connection[Any]:
    return psycopg.connect(address, **more)


def _sql(statement: str) -> Callable[[Place], Any]:
    """A statement on PostgreSQL, by the driver."""

    def run(place: Place) -> None:
        with _pg(place.postgresql, autocommit=True) as link:
            link.execute(_MAKE)
            link.execute(statement)

    return run


def _engine(place: Place, **more: Any) -> sa.Engine:
    return sa.create_engine(sa.make_url(place.postgresql).set(drivername="postgresql+psycopg"), **more)


def _through(statement: str) -> Callable[[Place], Any]:
    """The same through SQLAlchemy."""

    def run(place: Place) -> None:
        _sql("SELECT 1")(place)
        engine = _engine(place)
        try:
            with engine.begin() as link:
                for part in statement.split(";"):
                    link.execute(sa.text(part))
        finally:
            engine.dispose()

    return run


def _both(place: Place, first: str, second: str, then: Callable[[Any, Any], Any], **more: Any) -> None:
    """Two connections in transactions of their own."""
    with _pg(place.postgresql, autocommit=True) as link:
        link.execute(_MAKE)
    with _pg(place.postgresql) as one, _pg(place.postgresql) as other:
        one.execute(first)
        other.execute(second)
        try:
            then(one, other)
        finally:
            one.cancel()
            for link in (one, other):
                if not link.closed:
                    link.rollback()


def _deadlock(place: Place) -> None:
    def cross(one: Any, other: Any) -> None:
        caught: list[BaseException] = []

        def last() -> None:
            try:
                other.execute("UPDATE a SET n = 3 WHERE id = 1")
            except psycopg.Error as error:
                caught.append(error)

        thread = threading.Thread(target=last)
        thread.start()
        try:
            one.execute("UPDATE a SET n = 3 WHERE id = 2")
        except psycopg.Error as error:
            caught.append(error)
        one.rollback()
        thread.join(10)
        raise caught[0]

    quick = "SET deadlock_timeout = '20ms'; "
    _both(place, quick + "UPDATE a SET n = 2 WHERE id = 1", quick + "UPDATE a SET n = 2 WHERE id = 2", cross)


def _serialization(place: Place) -> None:
    def cross(one: Any, other: Any) -> None:
        one.execute("UPDATE a SET n = 5 WHERE id = 1")
        one.commit()
        other.execute("UPDATE a SET n = 6 WHERE id = 1")

    start = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT * FROM a"
    _both(place, start, start, cross)


def _held(statement: str) -> Callable[[Place], Any]:
    return lambda place: _both(place, "UPDATE a SET n = 2 WHERE id = 1", "SELECT 1", lambda _, other: other.execute(statement))


def _killed(place: Place) -> None:
    with _pg(place.postgresql, autocommit=True) as one, _pg(place.postgresql, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (one.info.backend_pid,))
        one.execute("SELECT 1")


def _killed_in_pool(place: Place) -> None:
    engine = _engine(place)
    try:
        with engine.connect() as one, _pg(place.postgresql, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (one.connection.dbapi_connection.info.backend_pid,))  # type: ignore[union-attr]
            one.execute(sa.text("SELECT 1"))
    finally:
        engine.dispose()


def _cancelled(place: Place) -> None:
    with _pg(place.postgresql, autocommit=True) as link:
        timer = threading.Timer(0.05, link.cancel)
        timer.start()
        try:
            link.execute("SELECT pg_sleep(5)")
        finally:
            timer.join()


def _idle(place: Place) -> None:
    with _pg(place.postgresql) as link:
        link.execute("SET idle_in_transaction_session_timeout = '10ms'")
        threading.Event().wait(0.2)
        link.execute("SELECT 1")


def _failed_transaction(place: Place) -> None:
    with _pg(place.postgresql) as link:
        try:
            link.execute("SELECT 1/0")
        except psycopg.Error:
            link.execute("SELECT 1")


def _closed(place: Place) -> None:
    link = _pg(place.postgresql)
    link.close()
    link.execute("SELECT 1")


def _pool_empty(place: Place) -> None:
    engine = _engine(place, pool_size=1, max_overflow=0, pool_timeout=0.01)
    try:
        with engine.connect(), engine.connect():
            raise AssertionError("unreachable")
    finally:
        engine.dispose()


def _address(place: Place, **parts: Any) -> str:
    return sa.make_url(place.postgresql).set(drivername="postgresql", **parts).render_as_string(hide_password=False)


def _crowded(place: Place) -> None:
    with _pg(place.postgresql, autocommit=True) as link:
        link.execute("DROP ROLE IF EXISTS crowd")
        link.execute("CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
    _pg(_address(place, username="crowd", password=None))


def _no_number(place: Place) -> None:
    with _pg(place.postgresql) as link:
        link.execute("SELECT %s, %s", (1,))


def _nul(place: Place) -> None:
    with _pg(place.postgresql) as link:
        link.execute("SELECT %s", ("a\0b",))


_REFUSED, _AWAY, _CONFLICT = ("DATABASE_REFUSED", False), ("DATABASE_UNAVAILABLE", True), ("DATA_CONFLICT", False)

POSTGRESQL = [
    *(Case(f"psycopg {name}", _sql(statement), *what) for name, statement, what in (
        ("unique", "INSERT INTO a VALUES (1, 1)", _CONFLICT),
        ("not null", "INSERT INTO a VALUES (3, NULL)", _CONFLICT),
        ("foreign key", "INSERT INTO b VALUES (99)", _CONFLICT),
        ("check", "INSERT INTO a VALUES (3, 0)", _CONFLICT),
        ("syntax", "SELEC 1", _REFUSED),
        ("no table", "SELECT * FROM nowhere", _REFUSED),
        ("no column", "SELECT nothing FROM a", _REFUSED),
        ("no function", "SELECT nothing(1)", _REFUSED),
        ("table is there", "CREATE TABLE a (id int)", _REFUSED),
        ("division by zero", "SELECT 1/0", _REFUSED),
        ("not a number", "SELECT 'x'::int", _REFUSED),
        ("too large", "SELECT 99999999999::int", _REFUSED),
        ("too long", "INSERT INTO a VALUES (3, 1, 'long')", _REFUSED),
        ("not a time", "SELECT '2020-99-99'::timestamp", _REFUSED),
        ("not a pattern", "SELECT 'a' ~ '('", _REFUSED),
        ("not JSON", "SELECT '{'::json", _REFUSED),
        ("two rows for one", "SELECT (SELECT id FROM a)", _REFUSED),
        ("other type", "SELECT CASE WHEN 1 THEN 1 END", _REFUSED),
        ("no extension", "CREATE EXTENSION nothing_of_that_name", _REFUSED),
        ("raised by a guard", "DO $$ BEGIN RAISE EXCEPTION 'illegal move'; END $$", _REFUSED),
        ("no savepoint", "BEGIN; ROLLBACK TO SAVEPOINT nowhere", _REFUSED),
        ("no schema", "CREATE TABLE nowhere.a (id int)", _REFUSED),
        ("no cursor", "FETCH nothing", _REFUSED),
        ("not within a transaction", "BEGIN; CREATE DATABASE x", _REFUSED),
        ("no right", "CREATE ROLE nobody; SET ROLE nobody; SELECT * FROM a", _REFUSED),
        ("read only", "BEGIN READ ONLY; INSERT INTO a VALUES (9, 9)", _AWAY),
        ("statement timeout", "SET statement_timeout = '10ms'; SELECT pg_sleep(2)", _AWAY),
    )),
    *(Case(f"SQLAlchemy {name}", _through(statement), *what) for name, statement, what in (
        ("unique", "INSERT INTO a VALUES (1, 1)", _CONFLICT),
        ("syntax", "SELEC 1", _REFUSED),
        ("division by zero", "SELECT 1/0", _REFUSED),
        ("statement timeout", "SET LOCAL statement_timeout = '10ms'; SELECT pg_sleep(2)", _AWAY),
        ("read only", "SET TRANSACTION READ ONLY; INSERT INTO a VALUES (9, 9)", _AWAY),
    )),
    Case("psycopg deadlock", _deadlock, *_AWAY),
    Case("psycopg serialization", _serialization, *_AWAY),
    Case("psycopg lock timeout", _held("SET lock_timeout = '10ms'; UPDATE a SET n = 3 WHERE id = 1"), *_AWAY),
    Case("psycopg lock nowait", _held("SELECT * FROM a WHERE id = 1 FOR UPDATE NOWAIT"), *_AWAY),
    Case("psycopg killed by the server", _killed, *_AWAY),
    Case("SQLAlchemy killed by the server", _killed_in_pool, *_AWAY),
    Case("psycopg cancelled", _cancelled, *_AWAY),
    Case("psycopg idle in a transaction", _idle, *_AWAY),
    Case("psycopg failed transaction", _failed_transaction, *_REFUSED),
    Case("psycopg closed", _closed, *_AWAY),
    Case("SQLAlchemy pool is empty", _pool_empty, *_AWAY),
    Case("psycopg no such database", lambda place: _pg(_address(place, database="nowhere")), *_REFUSED),
    Case("psycopg no such role", lambda place: _pg(_address(place, username="nobody_at_all")), *_REFUSED),
    Case("psycopg nobody listens", lambda _: _pg("postgresql://u:secret@127.0.0.1:1/x"), *_AWAY),
    Case("psycopg no socket", lambda place: _pg(f"host={place.folder} dbname=x"), *_AWAY),
    Case("psycopg too many connections", _crowded, *_AWAY),
    Case("psycopg too few parameters", _no_number, *_REFUSED),
    Case("psycopg a NUL", _nul, *_REFUSED),
]  # fmt: skip


def _lite(statement: str, before: str = "") -> Callable[[Place], Any]:
    def run(_: Place) -> None:
        link = sqlite3.connect(":memory:")
        try:
            link.executescript("PRAGMA foreign_keys = on; " + _MAKE + ";" + before)
            link.execute(statement).fetchall()
        finally:
            link.close()

    return run


def _lite_through(statement: str) -> Callable[[Place], Any]:
    def run(place: Place) -> None:
        engine = sa.create_engine(f"sqlite:///{place.folder / 'through.db'}")
        try:
            with engine.connect() as link:
                for part in _MAKE.split(";"):
                    link.exec_driver_sql(part)
                link.exec_driver_sql(statement)
        finally:
            engine.dispose()

    return run


def _file(place: Place) -> sqlite3.Connection:
    link = sqlite3.connect(place.folder / "file.db", timeout=0.01, isolation_level=None)
    link.executescript("CREATE TABLE IF NOT EXISTS a (id int)")
    return link


def _locked(place: Place) -> None:
    one, other = _file(place), _file(place)
    try:
        one.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")
    finally:
        one.close()
        other.close()


def _full(place: Place) -> None:
    link = _file(place)
    try:
        link.execute("PRAGMA max_page_count = 3")
        link.execute("INSERT INTO a SELECT randomblob(1000000)")
    finally:
        link.close()


def _read_only(place: Place) -> None:
    _file(place).close()
    link = sqlite3.connect(f"file:{place.folder / 'file.db'}?mode=ro", uri=True)
    try:
        link.execute("INSERT INTO a VALUES (1)")
    finally:
        link.close()


def _damaged(place: Place) -> None:
    link = _file(place)
    link.execute("INSERT INTO a SELECT value FROM json_each(?)", (str(list(range(5000))),))
    link.close()
    whole = (place.folder / "file.db").read_bytes()
    (place.folder / "file.db").write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    link = sqlite3.connect(place.folder / "file.db")
    try:
        link.execute("SELECT sum(id) FROM a").fetchall()
    finally:
        link.close()
        (place.folder / "file.db").unlink()


def _no_database(place: Place) -> None:
    (place.folder / "text.db").write_text("this is no database, however long one looks at it" * 100)
    link = sqlite3.connect(place.folder / "text.db")
    try:
        link.execute("SELECT * FROM a")
    finally:
        link.close()


def _interrupted(_: Place) -> None:
    link = sqlite3.connect(":memory:")
    link.set_progress_handler(lambda: 1, 100)
    try:
        link.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n").fetchall()
    finally:
        link.close()


def _forbidden(_: Place) -> None:
    link = sqlite3.connect(":memory:")
    link.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
    try:
        link.execute("SELECT 1")
    finally:
        link.close()


def _used_after_close(_: Place) -> None:
    link = sqlite3.connect(":memory:")
    link.close()
    link.execute("SELECT 1")


def _other_thread(_: Place) -> None:
    link, caught = sqlite3.connect(":memory:"), list[BaseException]()

    def use() -> None:
        try:
            link.execute("SELECT 1")
        except sqlite3.Error as error:
            caught.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join(10)
    link.close()
    raise caught[0]


def _result(query: str, how: str) -> Callable[[Place], Any]:
    def run(_: Place) -> None:
        engine = sa.create_engine("sqlite://")
        try:
            with engine.connect() as link:
                getattr(link.execute(sa.text(query)), how)()
        finally:
            engine.dispose()

    return run


SQLITE = [
    *(Case(f"sqlite3 {name}", _lite(statement, before), *what) for name, statement, before, what in (
        ("unique", "INSERT INTO a VALUES (1, 1, '')", "", _CONFLICT),
        ("not null", "INSERT INTO a VALUES (3, NULL, '')", "", _CONFLICT),
        ("foreign key", "INSERT INTO b VALUES (99)", "", _CONFLICT),
        ("check", "INSERT INTO a VALUES (3, 0, '')", "", _CONFLICT),
        ("guard", "DELETE FROM a", "CREATE TRIGGER t BEFORE DELETE ON a BEGIN SELECT RAISE(ABORT, 'illegal move'); END", _CONFLICT),
        ("syntax", "SELEC 1", "", _REFUSED),
        ("no table", "SELECT * FROM nowhere", "", _REFUSED),
        ("overflow", "SELECT sum(9223372036854775807) FROM a", "", _REFUSED),
        ("not JSON", "SELECT json('{')", "", _REFUSED),
        ("too big", "SELECT zeroblob(2000000000)", "", _REFUSED),
        ("other type", "INSERT INTO c VALUES ('x')", "CREATE TABLE c (id INTEGER PRIMARY KEY)", _REFUSED),
        ("too few parameters", "SELECT ?", "", _REFUSED),
    )),
    Case("sqlite3 locked", _locked, *_AWAY),
    Case("sqlite3 disk full", _full, "STORAGE_FULL", False),
    Case("sqlite3 read only", _read_only, *_REFUSED),
    Case("sqlite3 damaged", _damaged, "DATABASE_DAMAGED", False),
    Case("sqlite3 no database", _no_database, "DATABASE_DAMAGED", False),
    Case("sqlite3 no folder", lambda place: sqlite3.connect(place.folder / "no" / "x.db"), *_AWAY),
    Case("sqlite3 interrupted", _interrupted, *_AWAY),
    Case("sqlite3 forbidden", _forbidden, *_REFUSED),
    Case("sqlite3 closed", _used_after_close, *_REFUSED),
    Case("sqlite3 another thread", _other_thread, *_REFUSED),
    Case("SQLAlchemy SQLite unique", _lite_through("INSERT INTO a VALUES (1, 1, '')"), *_CONFLICT),
    Case("SQLAlchemy SQLite no table", _lite_through("SELECT * FROM nowhere"), *_REFUSED),
    Case("SQLAlchemy no row", _result("SELECT 1 WHERE 0", "one"), "INTERNAL", False),
    Case("SQLAlchemy two rows", _result("SELECT 1 UNION SELECT 2", "one"), "INTERNAL", False),
    Case("SQLAlchemy rows of an update", _result("PRAGMA foreign_keys = on", "one"), "INTERNAL", False),
    Case("SQLAlchemy no value of a parameter", _result("SELECT :n", "one"), "INTERNAL", False),
    Case("SQLAlchemy no such dialect", lambda _: sa.create_engine("nonsense://u:secret@h/x"), "DATABASE_REFUSED", False),
    Case("SQLAlchemy not an address", lambda _: sa.create_engine("nonsense"), "INTERNAL", False),
]  # fmt: skip

CASES = [*POSTGRESQL, *SQLITE]
CLASSES = (psycopg.OperationalError, psycopg.errors.DeadlockDetected, psycopg.errors.UniqueViolation, sqlite3.OperationalError,
           sa.exc.OperationalError, sa.exc.IntegrityError, sa.exc.TimeoutError)  # fmt: skip
