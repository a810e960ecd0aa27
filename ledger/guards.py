"""The triggers by which the database itself refuses what `states.py` does not allow, and any change of the audit trail but one:
lines up to the floor of their chain, which a line of the trail tells of, may be let go (`trail/letting_go.py`).

They are laid down anew after every migration, so that table and trigger cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from ledger.states import BIRTH, TABLES, Moves

APPEND_ONLY = ("audit", "audit_heads")
_ABOVE_FLOOR = "NOT EXISTS (SELECT 1 FROM audit_heads WHERE chain = OLD.tenant_id AND floor >= OLD.number)"  # also where it is null
_BACKWARDS = "NEW.chain <> OLD.chain OR NEW.number < OLD.number OR NEW.floor < OLD.floor OR NEW.floor > NEW.number"


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
    for name, event, when in (
        ("audit_update", "UPDATE ON audit", ""),
        ("audit_delete", "DELETE ON audit", f"WHEN {_ABOVE_FLOOR}"),
        ("audit_heads_update", "UPDATE ON audit_heads", f"WHEN {_BACKWARDS}"),
        ("audit_heads_delete", "DELETE ON audit_heads", ""),
    ):
        yield f"DROP TRIGGER IF EXISTS guard_{name}"
        yield f"CREATE TRIGGER guard_{name} BEFORE {event} {when} BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"


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
    yield (
        "CREATE OR REPLACE FUNCTION cadmill_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'check_violation'; END $$"
    )
    yield (  # a condition of a trigger may not look into another table
        "CREATE OR REPLACE FUNCTION cadmill_let_go() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {_ABOVE_FLOOR} THEN RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'check_violation'; END IF; "
        "RETURN OLD; END $$"
    )
    for name, event, table, how in (
        ("audit_change", "UPDATE", "audit", "FOR EACH ROW EXECUTE FUNCTION cadmill_append_only()"),
        ("audit_delete", "DELETE", "audit", "FOR EACH ROW EXECUTE FUNCTION cadmill_let_go()"),
        ("audit_truncate", "TRUNCATE", "audit", "FOR EACH STATEMENT EXECUTE FUNCTION cadmill_append_only()"),
        ("audit_heads_update", "UPDATE", "audit_heads", f"FOR EACH ROW WHEN ({_BACKWARDS}) EXECUTE FUNCTION cadmill_append_only()"),
        ("audit_heads_delete", "DELETE", "audit_heads", "FOR EACH ROW EXECUTE FUNCTION cadmill_append_only()"),
        ("audit_heads_truncate", "TRUNCATE", "audit_heads", "FOR EACH STATEMENT EXECUTE FUNCTION cadmill_append_only()"),
    ):
        yield f"DROP TRIGGER IF EXISTS guard_{name} ON {table}"
        yield f"CREATE TRIGGER guard_{name} BEFORE {event} ON {table} {how}"
