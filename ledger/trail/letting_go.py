"""Retention of the trail: old lines leave from the front of a chain, and the chain still proves the rest.

A line `audit.let_go` tells up to which line, of which hash, before any leaves; the head keeps the same as its floor, and the database
lets lines up to a floor go and no other. So `verify` starts at the floor and looks for the line that tells of it.
"""

from __future__ import annotations

from sqlalchemy import delete, select, update

from ledger import audit as trail
from ledger.rows import audit, audit_heads
from ledger.session import Tx
from ledger.trail.append import held
from ledger.trail.chain import LET_GO

_ROWS = 2_000  # of a bite


def raise_floor(tx: Tx, chain: str, before: float) -> int:
    """Let go the lines of a chain that were told before a time, up to the first that was not; how many."""
    held(tx.connection, chain)
    head = tx.execute(select(audit_heads).where(audit_heads.c.chain == chain)).one()
    above = (audit.c.tenant_id == chain, audit.c.number > head.floor)
    kept = tx.connection.scalar(select(audit.c.number).where(*above, audit.c.at >= before).order_by(audit.c.number).limit(1))
    through = (head.number + 1 if kept is None else kept) - 1
    row = tx.first(select(audit.c.number, audit.c.hash).where(audit.c.tenant_id == chain, audit.c.number == through))
    if through <= head.floor or row is None:
        return 0
    floor = {"floor": row.number, "floor_hash": row.hash, "floor_at": before}
    tx.execute(update(audit_heads).where(audit_heads.c.chain == chain).values(**floor))
    count = row.number - head.floor
    trail.record(tx, chain, "upkeep", LET_GO, chain, through=row.number, hash=row.hash, lines=count)
    return int(count)


def drop(tx: Tx) -> int | None:
    """Remove a bite of lines below the floors. None: nothing is left."""
    for chain, floor in tx.execute(select(audit_heads.c.chain, audit_heads.c.floor).where(audit_heads.c.floor > 0)).all():
        below = (audit.c.tenant_id == chain, audit.c.number <= floor)
        chosen = select(audit.c.seq).where(*below).order_by(audit.c.number).limit(_ROWS)
        if gone := tx.execute(delete(audit).where(audit.c.seq.in_(chosen), *below)).rowcount:
            return int(gone)
    return None
