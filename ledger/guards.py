"""The triggers by which the database itself refuses what `states.py` does not allow, and any change of the audit trail.

They are laid down anew after every migration, so that table and trigger cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from ledger.states import BIRTH, TABLES, Moves

APPEND_ONLY = ("audit",)


def install(connection: Connection) -> None:
    """Lay the guards down in the connection's transaction."""
    statements = _sqlite() if connection.dialect.name == "sqlite" else _postgresql()
    for statement in statements:
        connection.exec_driver_sql(statement)


def _legal(moves: Moves) -> str:
    edges = [f"(OLD.state = '{old}' AND NEW.state = '{new}')" for old, targets in moves.items() for new in sorted(targets)]
    return " OR ".join(edges)


def _born(table: str) -> str:
    return ", ".join(f"'{state}'" for state in sorted(BIRTH[table]))


def _sqlite() -> Iterator[str]:
    for table, moves in TABLES.items():
        yield f"DROP TRIGGER IF EXISTS guard_{table}_move"
        yield (
            f"CREATE TRIGGER guard_{table}_move BEFORE UPDATE OF state ON {table} "
            f"WHEN OLD.state <> NEW.state AND NOT ({_legal(moves)}) "
            f"BEGIN SELECT RAISE(ABORT, 'illegal move of {table}.state'); END"
        )
        yield f"DROP TRIGGER IF EXISTS guard_{table}_birth"
        yield (
            f"CREATE TRIGGER guard_{table}_birth BEFORE INSERT ON {table} WHEN NEW.state NOT IN ({_born(table)}) "
            f"BEGIN SELECT RAISE(ABORT, 'illegal birth of {table}.state'); END"
        )
    for table in APPEND_ONLY:
        for event in ("UPDATE", "DELETE"):
            yield f"DROP TRIGGER IF EXISTS guard_{table}_{event.lower()}"
            yield (
                f"CREATE TRIGGER guard_{table}_{event.lower()} BEFORE {event} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _postgresql() -> Iterator[str]:
    yield (
        "CREATE OR REPLACE FUNCTION cadmill_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION USING MESSAGE = TG_ARGV[0] || ' of ' || TG_TABLE_NAME || '.state', ERRCODE = 'check_violation'; END $$"
    )
    for table, moves in TABLES.items():
        yield f"DROP TRIGGER IF EXISTS guard_{table}_move ON {table}"
        yield (
            f"CREATE TRIGGER guard_{table}_move BEFORE UPDATE OF state ON {table} FOR EACH ROW "
            f"WHEN (OLD.state <> NEW.state AND NOT ({_legal(moves)})) EXECUTE FUNCTION cadmill_refuse('illegal move')"
        )
        yield f"DROP TRIGGER IF EXISTS guard_{table}_birth ON {table}"
        yield (
            f"CREATE TRIGGER guard_{table}_birth BEFORE INSERT ON {table} FOR EACH ROW "
            f"WHEN (NEW.state NOT IN ({_born(table)})) EXECUTE FUNCTION cadmill_refuse('illegal birth')"
        )
    for table in APPEND_ONLY:
        yield f"DROP TRIGGER IF EXISTS guard_{table}_change ON {table}"
        yield (
            f"CREATE TRIGGER guard_{table}_change BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION cadmill_refuse('change')"
        )
