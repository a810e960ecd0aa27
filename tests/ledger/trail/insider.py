"""Somebody with the rights of the database's owner, who drops the guards and changes the trail; and what the proof must say to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from ledger import audit, guards
from ledger.rows import audit as rows
from ledger.session import Ledger
from ledger.trail import proving, reading
from ledger.trail.anchors import Anchors
from ledger.trail.chain import GENESIS, Break, linked

CHAINS = tuple(f"ten_{number}" for number in range(40))
UNTOUCHED = "store"
LINES = 20  # of a chain


Deed = Callable[["Insider", Connection, str], Break | None]


@dataclass
class Insider:
    """A ledger with many chains and a copy of them, to put everything right again after each deed."""

    ledger: Ledger
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    anchors: Anchors = field(default_factory=Anchors)

    def settle(self) -> None:
        """Write the chains, anchor them every tenth line, keep a copy, drop the guards."""
        for number in range(1, LINES + 1):
            with self.ledger.write() as tx:
                for chain in (*CHAINS, UNTOUCHED):
                    audit.record(tx, chain, "somebody", "thing.done", f"thing_{number}", number=number, share=number / 7, name="ä€😀")
            if number % 10 == 0:
                with self.ledger.read() as tx:
                    for chain, (head, _floor) in reading.ends(tx).items():
                        self.anchors.places.setdefault(chain, {})[head.number] = {head.hash}
        with self.ledger.engine.begin() as on:
            for table in ("audit", "audit_heads"):
                on.execute(text(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}"))
            self._unguard(on)

    def act(self, deed: Deed) -> list[tuple[Break | None, Break | None]]:
        """Let a deed happen to each chain but one, ask for the proof, and undo it: what should be found first in each, and what was."""
        with self.ledger.engine.begin() as on:
            expected = {chain: deed(self, on, chain) for chain in CHAINS} | {UNTOUCHED: None}
        found: dict[str, Break] = {}
        for one in proving.prove(self.ledger, anchors=self.anchors).breaks:
            found.setdefault(one.chain, one)
        with self.ledger.engine.begin() as on:
            for table in ("audit", "audit_heads"):
                on.execute(text(f"DELETE FROM {table}"))
                on.execute(text(f"INSERT INTO {table} SELECT * FROM kept_{table}"))
        return [(one, found.get(chain)) for chain, one in expected.items()]

    def _unguard(self, on: Connection) -> None:
        if on.dialect.name == "sqlite":
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit%'"
            for name in on.exec_driver_sql(triggers).scalars().all():
                on.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            for table in guards.APPEND_ONLY:
                on.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")

    # what insiders know of

    def somewhere(self, first: int = 1, last: int = LINES) -> int:
        return self.dice.randint(first, last)

    def sql(self, on: Connection, statement: str, **values: Any) -> None:
        assert on.execute(text(statement), values).rowcount > 0, statement

    def rehash(self, on: Connection, chain: str, first: int) -> None:
        """Compute every hash anew from a line on, and move the head along: all that takes is the code."""
        last = on.execute(text("SELECT hash FROM audit WHERE tenant_id = :c AND number = :n"), {"c": chain, "n": first - 1}).scalar()
        for row in on.execute(rows.select().where(rows.c.tenant_id == chain, rows.c.number >= first).order_by(rows.c.number)).all():
            last = linked(last or GENESIS, row.number, reading.body_of(row))
            on.execute(text("UPDATE audit SET hash = :h WHERE seq = :s"), {"h": last, "s": row.seq})
        self.sql(
            on,
            "UPDATE audit_heads SET hash = :h, number = (SELECT max(number) FROM audit WHERE tenant_id = :c) WHERE chain = :c",
            h=last,
            c=chain,
        )

    def shift(self, on: Connection, chain: str, behind: int, by: int) -> None:
        """Give all lines behind one other numbers, in two steps because numbers are unique."""
        self.sql(on, "UPDATE audit SET number = -number WHERE tenant_id = :c AND number > :n", c=chain, n=behind)
        self.sql(on, "UPDATE audit SET number = -number + :by WHERE tenant_id = :c AND number < 0", c=chain, by=by)


FIELDS = ("actor", "action", "subject", "outcome", "origin", "request_id")


def edit(who: Insider, on: Connection, chain: str) -> Break:
    """Change one field of a line; its hash stays, or is made right for it."""
    number = who.somewhere()
    if who.dice.random() < 0.2:
        who.sql(on, "UPDATE audit SET at = at + 1 WHERE tenant_id = :c AND number = :n", c=chain, n=number)
    elif who.dice.random() < 0.2:
        who.sql(on, """UPDATE audit SET detail = '{"number": 0}' WHERE tenant_id = :c AND number = :n""", c=chain, n=number)
    else:
        name = who.dice.choice(FIELDS)
        who.sql(on, f"UPDATE audit SET {name} = {name} || 'x' WHERE tenant_id = :c AND number = :n", c=chain, n=number)
    return Break("changed", chain, number)


def delete(who: Insider, on: Connection, chain: str) -> Break:
    """Remove a line from the middle, and half of the time close the gap."""
    number = who.somewhere(1, LINES - 1)
    who.sql(on, "DELETE FROM audit WHERE tenant_id = :c AND number = :n", c=chain, n=number)
    if who.dice.random() < 0.5:
        return Break("missing", chain, number, number)
    who.shift(on, chain, number, -1)
    return Break("changed", chain, number)


def insert(who: Insider, on: Connection, chain: str) -> Break:
    """Put a line in: without a number, behind the end, or in the middle with all later ones moved up."""
    way, number = who.dice.choice(("unplaced", "behind", "between")), who.somewhere(1, LINES - 1)
    if way == "between":
        who.shift(on, chain, number, 1)
    place = {"unplaced": None, "behind": LINES + 1, "between": number + 1}[way]
    who.sql(
        on,
        "INSERT INTO audit (tenant_id, number, hash, at, actor, action, subject, detail) "
        "SELECT tenant_id, :place, hash, at, 'nobody', action, subject, detail FROM audit WHERE tenant_id = :c AND number = :n",
        c=chain, n=number, place=place,
    )  # fmt: skip
    if way == "between":
        return Break("changed", chain, number + 1)
    # one behind the end does not follow from the last, and the head does not know it
    return Break("inserted", chain, 0) if way == "unplaced" else Break("changed", chain, LINES + 1)


def swap(who: Insider, on: Connection, chain: str) -> Break:
    """Exchange the places of two lines."""
    first = who.somewhere(1, LINES - 1)
    second = who.somewhere(first + 1)
    for old, new in ((first, -1), (second, first), (-1, second)):
        who.sql(on, "UPDATE audit SET number = :new WHERE tenant_id = :c AND number = :old", c=chain, old=old, new=new)
    return Break("changed", chain, first)


def cut(who: Insider, on: Connection, chain: str) -> Break:
    """Remove the last lines, and half of the time put the head back, so that the database is at one with itself."""
    number = who.somewhere(1, LINES)
    who.sql(on, "DELETE FROM audit WHERE tenant_id = :c AND number >= :n", c=chain, n=number)
    if who.dice.random() < 0.5:
        if number == 1:
            who.sql(on, "DELETE FROM audit_heads WHERE chain = :c", c=chain)
        else:
            last = {"c": chain, "n": number - 1}
            told = on.execute(text("SELECT hash FROM audit WHERE tenant_id = :c AND number = :n"), last).scalar_one()
            who.sql(on, "UPDATE audit_heads SET number = :n, hash = :h WHERE chain = :c", c=chain, n=number - 1, h=told)
    return Break("cut", chain, number, LINES)


def rewrite(who: Insider, on: Connection, chain: str) -> Break:
    """Change a line and compute every hash from there on, head included: the database alone cannot tell any more."""
    number = who.somewhere()
    who.sql(on, "UPDATE audit SET actor = 'nobody' WHERE tenant_id = :c AND number = :n", c=chain, n=number)
    who.rehash(on, chain, number)
    anchored = -(-number // 10) * 10
    return Break("rewritten", chain, anchored, since=anchored - 9)


def link(who: Insider, on: Connection, chain: str) -> Break:
    """Change a line and make its own hash right: the next one no longer follows."""
    number = who.somewhere(1, LINES - 1)
    while number % 10 == 0:
        number = who.somewhere(1, LINES - 1)
    who.sql(on, "UPDATE audit SET actor = 'nobody' WHERE tenant_id = :c AND number = :n", c=chain, n=number)
    before = on.execute(text("SELECT hash FROM audit WHERE tenant_id = :c AND number = :n"), {"c": chain, "n": number - 1}).scalar()
    row = on.execute(rows.select().where(rows.c.tenant_id == chain, rows.c.number == number)).one()
    told = linked(before or GENESIS, number, reading.body_of(row))
    who.sql(on, "UPDATE audit SET hash = :h WHERE tenant_id = :c AND number = :n", h=told, c=chain, n=number)
    return Break("changed", chain, number + 1)


def nothing(who: Insider, on: Connection, chain: str) -> None:
    """Change nothing: the proof must find nothing."""


DEEDS = (edit, delete, insert, swap, cut, rewrite, link)
