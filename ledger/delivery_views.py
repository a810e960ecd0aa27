"""Deliveries as clients see them, and sending them again when asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, or_, select, update

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit, outbox
from ledger.session import Tx
from ledger.states import ended
from ledger.webhook_rows import deliveries, endpoints, tries

_BITE = 500  # ids of one statement


def of_job(tx: Tx, tenant_id: str, job_id: str) -> list[dict[str, Any]]:
    """The deliveries of a job with their tries, oldest first."""
    rows = tx.execute(
        select(deliveries).where(deliveries.c.tenant_id == tenant_id, deliveries.c.job_id == job_id).order_by(deliveries.c.id)
    ).all()
    return _with_tries(tx, rows)


def page(tx: Tx, tenant_id: str, endpoint_id: str, limit: int, after: str | None, state: str | None) -> list[dict[str, Any]]:
    """The deliveries to an endpoint, newest first, starting behind the id `after`; without their tries."""
    query = select(deliveries).where(deliveries.c.tenant_id == tenant_id, deliveries.c.endpoint_id == endpoint_id)
    query = query.where(deliveries.c.state == state) if state else query
    query = query.where(deliveries.c.id < after) if after else query
    return [_view(row) for row in tx.execute(query.order_by(deliveries.c.id.desc()).limit(limit))]


def get(tx: Tx, tenant_id: str, delivery_id: str) -> dict[str, Any]:
    """A delivery with what it says and every try. Raises DELIVERY_NOT_FOUND, also for one of another tenant."""
    row = _row(tx, tenant_id, delivery_id)
    return _with_tries(tx, [row])[0] | {"payload": row.payload}


def _row(tx: Tx, tenant_id: str, delivery_id: str) -> Row[Any]:
    row = tx.first(select(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.tenant_id == tenant_id))
    if row is None:
        raise Failure("DELIVERY_NOT_FOUND", {"id": delivery_id[:64]})
    return row


def _view(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "event": row.event,
        "job_id": row.job_id,
        "webhook_id": row.endpoint_id,
        "seq": row.seq if row.job_id else None,
        "url": row.url,
        "state": row.state,
        "attempts": row.attempt,
        "created_at": iso(row.created_at),
        "next_try_at": iso(row.run_after) if row.state in ("owed", "waiting") else None,
        "finished_at": iso(row.finished_at),
        "redelivered_at": iso(row.redelivered_at),
    }


def _with_tries(tx: Tx, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    found: dict[str, list[dict[str, Any]]] = {row.id: [] for row in rows}
    for one in tx.execute(select(tries).where(tries.c.delivery_id.in_(list(found))).order_by(tries.c.attempt)):
        found[one.delivery_id].append(
            {
                "attempt": one.attempt,
                "at": iso(one.at),
                "seconds": round(one.seconds, 3),
                "accepted": one.accepted,
                "status": one.status,
                "error_code": one.error_code,
                "detail": one.detail,
            }
        )
    return [_view(row) | {"tries": found[row.id]} for row in rows]


# -- again -------------------------------------------------------------------------------------------------------------


def redeliver(tx: Tx, tenant_id: str, delivery_id: str) -> list[str]:
    """Send one again: an ended one begins a new round of its schedule under the same id, one that waits is due now.

    Answers what to ring. What is owed or being sent stays as it is, so asking twice is asking once. Raises DELIVERY_NOT_FOUND,
    WEBHOOK_OFF."""
    row = _row(tx, tenant_id, delivery_id)
    if row.endpoint_id is not None and row.event != outbox.TEST:
        state = tx.connection.scalar(select(endpoints.c.state).where(endpoints.c.id == row.endpoint_id))
        if state == "off":
            raise Failure("WEBHOOK_OFF", {"id": row.endpoint_id})
    begun = again(tx, deliveries.c.id == delivery_id, deliveries.c.state.in_(ended("deliveries")))
    tx.execute(update(deliveries).where(deliveries.c.id == delivery_id, deliveries.c.state == "waiting").values(run_after=tx.now))
    if begun:
        audit.record(tx, tenant_id, "api", "delivery.redelivered", delivery_id, event=row.event)
    return outbox.mark(tx, [delivery_id])


def redeliver_range(
    tx: Tx, tenant_id: str, endpoint_id: str, states: Sequence[str], since: float, until: float, most: int
) -> tuple[list[str], bool]:
    """Send those again that were owed to an endpoint from `since` until before `until` and have ended in one of these states.

    The oldest `most` of them; answers their ids, and whether there are more. Repeating it with the same `until` skips what was sent
    again since. The caller has checked whose endpoint it is."""
    fresh = or_(deliveries.c.redelivered_at.is_(None), deliveries.c.redelivered_at < until)
    span = (deliveries.c.created_at >= since, deliveries.c.created_at < until, fresh, deliveries.c.event != outbox.TEST)
    chosen = select(deliveries.c.id).where(deliveries.c.endpoint_id == endpoint_id, deliveries.c.state.in_(list(states)), *span)
    ids = list(tx.execute(chosen.order_by(deliveries.c.created_at, deliveries.c.id).limit(most + 1)).scalars())
    begun: list[str] = []
    for start in range(0, min(len(ids), most), _BITE):
        bite = ids[:most][start : start + _BITE]
        begun += again(tx, deliveries.c.id.in_(bite), deliveries.c.state.in_(list(states)))
    if begun:
        audit.record(tx, tenant_id, "api", "webhook.redelivered", endpoint_id, deliveries=len(begun), since=iso(since), until=iso(until))
    return sorted(begun), len(ids) > most


def again(tx: Tx, *which: ColumnElement[bool]) -> list[str]:
    """Begin a new round of deliveries that have ended: the whole schedule again, attempts go on being counted, the id stays."""
    return list(
        tx.execute(
            update(deliveries)
            .where(*which)
            .values(
                state="owed",
                spent=deliveries.c.attempt,
                redelivered_at=tx.now,
                run_after=tx.now,
                rung_at=None,
                waits_for=None,
                finished_at=None,
            )
            .returning(deliveries.c.id)
        ).scalars()
    )
