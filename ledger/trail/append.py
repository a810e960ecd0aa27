"""Puts the lines that a transaction has gathered at the end of their chains: the last it does before its commit.

The head of a chain is a row that is held from here to the commit, so numbers and hashes follow each other without a hole, and a
transaction that leaves no trace leaves none here. It is locked after everything else, numbers of vectors (`ledger/epochs.py`) included,
and in one order where there are several: nobody who holds a head waits for anything but a head that comes later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger.prepared import Prepared
from ledger.rows import audit, audit_heads
from ledger.trail.chain import GENESIS, Body, Place, linked
from ledger.trail.details import Details

_ADD = Prepared(insert(audit))
_HELD = Prepared(select(audit_heads.c.number, audit_heads.c.hash).where(audit_heads.c.chain == bindparam("of")).with_for_update())
_MOVED = Prepared(update(audit_heads).where(audit_heads.c.chain == bindparam("of")))
_FIRST = {"number": 0, "hash": GENESIS, "floor": 0, "floor_hash": GENESIS}


def append(connection: Connection, bodies: Sequence[Body], details: Details) -> None:
    """Number, seal, link and write these lines."""
    ordered = sorted(bodies, key=lambda body: str(body["chain"]))  # stable: within a chain as they were told
    for chain, own in groupby(ordered, key=lambda body: str(body["chain"])):
        place = held(connection, chain)
        rows: list[dict[str, Any]] = []
        for body in own:
            number = place.number + 1
            body["detail"] = details.kept(body["detail"], chain, number, body["action"])
            place = Place(number, linked(place.hash, number, body))
            rows.append(_row(body, place))
        _ADD.each(connection, rows)
        _MOVED.run(connection, {"of": chain, "number": place.number, "hash": place.hash})


def held(connection: Connection, chain: str) -> Place:
    """The last line of a chain, held until the commit."""
    row = _HELD.first(connection, {"of": chain})
    if row is None:
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(audit_heads).on_conflict_do_nothing(index_elements=["chain"]), {"chain": chain, **_FIRST})
        row = _HELD.first(connection, {"of": chain})
    return Place(int(row.number), str(row.hash))


def _row(body: Mapping[str, Any], place: Place) -> dict[str, Any]:
    values = {name: value for name, value in body.items() if name != "chain"}
    return {**values, "tenant_id": body["chain"], "number": place.number, "hash": place.hash}
