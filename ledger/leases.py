"""Fenced leases: who may act for the whole fleet for a while."""

from __future__ import annotations

from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ledger.rows import leases
from ledger.session import Tx


def acquire(tx: Tx, name: str, owner: str, seconds: float) -> int | None:
    """Take or extend the lease `name`: its token, or None while another owner holds it."""
    row = tx.execute(
        update(leases)
        .where(leases.c.name == name, or_(leases.c.owner == owner, leases.c.until < tx.now))
        .values(owner=owner, until=tx.now + seconds, token=leases.c.token + 1)
        .returning(leases.c.token)
    ).one_or_none()
    if row is not None:
        return int(row.token)
    if tx.execute(select(leases.c.name).where(leases.c.name == name)).one_or_none() is not None:
        return None
    try:
        with tx.connection.begin_nested():
            tx.execute(insert(leases).values(name=name, owner=owner, until=tx.now + seconds, token=1))
    except IntegrityError:  # another process was first: it has the lease
        return None
    return 1
