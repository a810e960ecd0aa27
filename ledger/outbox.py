"""Webhooks owed: written with what they tell of, claimed and settled by the courier, one guarded statement each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, insert, select, update

from foundation.clock import iso
from ledger import telling
from ledger.rows import deliveries, tenants, tries
from ledger.session import Tx


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed delivery: send `payload` to `url`, then settle with this `attempt`."""

    id: str
    tenant_id: str
    url: str
    payload: dict[str, Any]
    attempt: int
    secret: str
    waits_for: str | None = None  # the receiver that failed the try before


@dataclass(frozen=True, slots=True)
class Try:
    """What came of one attempt."""

    at: float
    seconds: float
    accepted: bool
    status: int | None
    error_code: str | None
    detail: str


def owe(tx: Tx, tenant_id: str, job_id: str, url: str, event: str, data: dict[str, Any]) -> str:
    """Owe one webhook; it is rung as soon as the transaction has committed."""
    delivery_id = tx.clock.new_id("msg")
    payload = {"type": event, "timestamp": iso(tx.now), "data": data}
    tx.execute(
        insert(deliveries).values(
            id=delivery_id,
            tenant_id=tenant_id,
            job_id=job_id,
            event=event,
            url=url,
            payload=payload,
            state="owed",
            run_after=tx.now,
            rung_at=tx.now,
            created_at=tx.now,
        )
    )
    return delivery_id


def claim(tx: Tx, delivery_id: str, lease_seconds: float) -> Delivery | None:
    """Take a delivery that is due, or None when somebody else has it or it has ended."""
    row = tx.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, deliveries.c.state.in_(("owed", "waiting")), deliveries.c.run_after <= tx.now)
        .values(state="sending", attempt=deliveries.c.attempt + 1, lease_until=tx.now + lease_seconds)
        .returning(deliveries.c.tenant_id, deliveries.c.url, deliveries.c.payload, deliveries.c.attempt, deliveries.c.waits_for)
    ).one_or_none()
    if row is None:
        return None
    secret = tx.connection.scalar(select(tenants.c.webhook_secret).where(tenants.c.id == row.tenant_id))
    return Delivery(delivery_id, row.tenant_id, row.url, row.payload, row.attempt, str(secret), row.waits_for)


def settle(tx: Tx, delivery: Delivery, outcome: Try, next_try_at: float | None) -> bool:
    """Record a try and move on: delivered, waiting for the next one, or dead. False: a stale attempt, discarded."""
    state = "delivered" if outcome.accepted else "waiting" if next_try_at is not None else "dead"
    moved = tx.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery.id, deliveries.c.state == "sending", deliveries.c.attempt == delivery.attempt)
        .values(
            state=state,
            run_after=next_try_at if next_try_at is not None else deliveries.c.run_after,
            rung_at=None,
            lease_until=None,
            finished_at=None if state == "waiting" else tx.now,
        )
        .returning(deliveries.c.job_id)
    ).one_or_none()
    if moved is None:
        return False
    told = {"id": delivery.id, "state": state, "attempt": delivery.attempt, "status": outcome.status, "error_code": outcome.error_code}
    telling.delivery(tx, delivery.tenant_id, moved.job_id, **told)
    tx.execute(
        insert(tries).values(
            delivery_id=delivery.id,
            attempt=delivery.attempt,
            at=outcome.at,
            seconds=outcome.seconds,
            accepted=outcome.accepted,
            status=outcome.status,
            error_code=outcome.error_code,
            detail=outcome.detail,
        )
    )
    return True


def rescue(tx: Tx) -> int:
    """Deliveries whose courier died become due again: the receiver may see one twice, never not at all."""
    return int(
        tx.execute(
            update(deliveries)
            .where(deliveries.c.state == "sending", deliveries.c.lease_until < tx.now)
            .values(state="waiting", run_after=tx.now, rung_at=None, lease_until=None)
        ).rowcount
    )


def ring(tx: Tx, window: int) -> list[str]:
    """Mark due deliveries that have not been rung as rung, oldest first; the caller publishes after the commit."""
    due = (
        select(deliveries.c.id)
        .where(deliveries.c.state.in_(("owed", "waiting")), deliveries.c.run_after <= tx.now, deliveries.c.rung_at.is_(None))
        .order_by(deliveries.c.run_after)
        .limit(window)
        .with_for_update(skip_locked=True)
    )
    return list(tx.execute(update(deliveries).where(deliveries.c.id.in_(due)).values(rung_at=tx.now).returning(deliveries.c.id)).scalars())


def rung(tx: Tx, before: float) -> list[tuple[str, float]]:
    """Deliveries rung before a time and still not claimed, with that time."""
    rows = tx.execute(
        select(deliveries.c.id, deliveries.c.rung_at).where(
            deliveries.c.state.in_(("owed", "waiting")), deliveries.c.rung_at.is_not(None), deliveries.c.rung_at <= before
        )
    )
    return [(row.id, row.rung_at) for row in rows]


def rering(tx: Tx, delivery_ids: Sequence[str]) -> list[str]:
    """Ring again those that are still waiting for it."""
    return list(
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(delivery_ids), deliveries.c.state.in_(("owed", "waiting")), deliveries.c.rung_at.is_not(None))
            .values(rung_at=tx.now)
            .returning(deliveries.c.id)
        ).scalars()
    )


def of_job(tx: Tx, tenant_id: str, job_id: str) -> list[dict[str, Any]]:
    """The deliveries of a job with their tries, oldest first, for the API."""
    rows = tx.execute(
        select(deliveries).where(and_(deliveries.c.tenant_id == tenant_id, deliveries.c.job_id == job_id)).order_by(deliveries.c.id)
    ).all()
    log = tx.execute(select(tries).where(tries.c.delivery_id.in_([row.id for row in rows])).order_by(tries.c.attempt)).all()
    return [
        {
            "id": row.id,
            "event": row.event,
            "url": row.url,
            "state": row.state,
            "attempts": row.attempt,
            "created_at": iso(row.created_at),
            "next_try_at": iso(row.run_after) if row.state in ("owed", "waiting") else None,
            "finished_at": iso(row.finished_at),
            "tries": [
                {
                    "attempt": one.attempt,
                    "at": iso(one.at),
                    "seconds": round(one.seconds, 3),
                    "accepted": one.accepted,
                    "status": one.status,
                    "error_code": one.error_code,
                    "detail": one.detail,
                }
                for one in log
                if one.delivery_id == row.id
            ],
        }
        for row in rows
    ]
