"""Every move of a state, written down by triggers of the campaign's own, which know nothing of `ledger/states.py`."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import text

from ledger.session import Ledger
from ledger.states import TABLES

_IDS = {"jobs": "NEW.id", "chunks": "NEW.id", "items": "NEW.job_id || ' ' || NEW.\"index\"", "deliveries": "NEW.id"}


def watch(ledger: Ledger) -> None:
    """Lay the triggers down. A write that leaves the state as it was is a move too: from a state to itself."""
    with ledger.write() as tx:
        say = tx.connection.exec_driver_sql
        say("CREATE TABLE campaign_moves (kind TEXT, id TEXT, was TEXT, became TEXT)")
        for table, name in _IDS.items():
            insert = f"INSERT INTO campaign_moves VALUES ('{table}', {name}, OLD.state, NEW.state)"
            if tx.connection.dialect.name == "sqlite":
                say(f"CREATE TRIGGER campaign_{table} AFTER UPDATE OF state ON {table} BEGIN {insert}; END")
            else:
                say(
                    f"CREATE FUNCTION campaign_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {insert}; RETURN NULL; END $$; "
                    f"CREATE TRIGGER campaign_{table} AFTER UPDATE OF state ON {table} FOR EACH ROW EXECUTE FUNCTION campaign_{table}()"
                )


def read(ledger: Ledger) -> list[tuple[str, str, str, str]]:
    """(table, id, old state, new state) of every move that was committed."""
    with ledger.read() as tx:
        return [(row.kind, row.id, row.was, row.became) for row in tx.execute(text("SELECT kind, id, was, became FROM campaign_moves"))]


def illegal(moves: list[tuple[str, str, str, str]]) -> list[str]:
    """Moves that the tables of states do not have."""
    return [f"{kind} {name}: {was} -> {became}" for kind, name, was, became in moves if became not in TABLES[kind][was]]


def recorded_twice(moves: list[tuple[str, str, str, str]]) -> list[str]:
    """Items whose end was written more than once. The campaign never retries a job, so one end each is all there can be."""
    ends = Counter(name for kind, name, _, became in moves if kind == "items" and became in ("succeeded", "failed", "cancelled"))
    return [name for name, times in ends.items() if times > 1]
