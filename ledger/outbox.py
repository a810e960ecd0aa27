"""Webhooks owed: written with what they tell of, claimed and settled by the courier, one guarded statement each.

The messages of a job to one receiver (an endpoint, or the callback of the job) are numbered by `seq` and leave in that order: a later
one is not claimed while an earlier one is neither delivered nor dead. Only so many are in flight to one host at once, whoever owes
them: one that answers slowly may not hold every courier. The others wait unrung, and each that ends rings for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Row, bindparam, exists, func, insert, literal_column, or_, select, text, update

from foundation.clock import iso
from ledger import telling
from ledger.prepared import Prepared
from ledger.session import Tx
from ledger.states import ended
from ledger.webhook_rows import deliveries, endpoints, tries

ENDS = tuple(f"job.{state}" for state in ended("jobs"))
SWITCHED_OFF, TEST = "webhook.switched_off", "webhook.test"
EVENTS = ("job.accepted", "job.started", *ENDS, "job.retried", SWITCHED_OFF)  # what an endpoint can want
UNLESS_SAID = (*ENDS, SWITCHED_OFF)  # what it gets if it does not say
_LOCK = 0x0CAD_0315  # any fixed number: with the hash of a receiver, it is held while what is in flight there is counted
_ENDPOINTS = Prepared(
    select(endpoints).where(endpoints.c.tenant_id == bindparam("of")).order_by(endpoints.c.id)
)  # asked at each step of a job
_OPEN = deliveries.c.state.in_([literal_column("'owed'"), literal_column("'waiting'")])  # written out: the partial indexes answer


@dataclass(frozen=True, slots=True)
class Delivery:
    """A claimed delivery: send `payload` to `url`, then settle with this `attempt`."""

    id: str
    tenant_id: str
    endpoint_id: str | None
    job_id: str | None
    event: str
    url: str
    payload: dict[str, Any]
    attempt: int
    tries: int  # attempts of this round: a redelivery begins the schedule anew
    waits_for: str | None = None  # the receiver that failed the try before

    @property
    def owner(self) -> str:
        """Whose secrets sign it."""
        return self.endpoint_id or self.tenant_id


@dataclass(frozen=True, slots=True)
class Try:
    """What came of one attempt."""

    at: float
    seconds: float
    accepted: bool
    status: int | None
    error_code: str | None
    detail: str


# -- owing -------------------------------------------------------------------------------------------------------------


def tell(
    tx: Tx,
    tenant_id: str,
    event: str,
    data: Callable[[], dict[str, Any]],
    job_id: str | None = None,
    callback_url: str | None = None,
    but: str = "",
) -> tuple[str, ...]:
    """Owe an event to every endpoint that wants it (`but` one), and the end of a job to its callback; answers what to
    ring after the commit.

    Who calls it for a job holds the job's lock, which gives the messages their order. `data` is asked only if anybody wants it."""
    rows = _ENDPOINTS.all(tx.connection, {"of": tenant_id})
    wanting: list[tuple[str, Row[Any] | None]] = [(row.url, row) for row in rows if event in row.events and row.id != but]
    if callback_url and event in ENDS:
        wanting.insert(0, (callback_url, None))
    if not wanting:
        return ()
    told = data()
    owed = [_owe(tx, tenant_id, job_id, url, event, told, endpoint) for url, endpoint in wanting]
    return tuple(name for name, rung in owed if rung)


def owe(tx: Tx, tenant_id: str, job_id: str | None, url: str, event: str, data: dict[str, Any], endpoint: Row[Any] | None = None) -> str:
    """Owe one webhook. If it is the next of its receiver, it is rung as soon as the transaction has committed."""
    return _owe(tx, tenant_id, job_id, url, event, data, endpoint)[0]


def _owe(
    tx: Tx, tenant_id: str, job_id: str | None, url: str, event: str, data: dict[str, Any], endpoint: Row[Any] | None
) -> tuple[str, bool]:
    name, seq, behind = tx.clock.new_id("msg"), 1, 0
    endpoint_id = None if endpoint is None else endpoint.id
    if job_id is not None:
        line = select(func.coalesce(func.max(deliveries.c.seq), 0) + 1, func.count().filter(deliveries.c.state.not_in(ended("deliveries"))))
        seq, behind = tx.execute(line.where(*_of(job_id, endpoint_id))).one()
    payload = {"type": event, "timestamp": iso(tx.now), **({} if job_id is None else {"seq": seq}), "data": data}
    state = "enabled" if endpoint is None or event == TEST else endpoint.state
    rung = state == "enabled" and not behind
    tx.execute(
        insert(deliveries).values(
            id=name,
            tenant_id=tenant_id,
            job_id=job_id,
            endpoint_id=endpoint_id,
            seq=seq,
            event=event,
            url=url,
            receiver=receiver_of(url),
            payload=payload,
            state="dead" if state == "off" else "owed",
            run_after=tx.now,
            rung_at=tx.now if rung else None,
            created_at=tx.now,
            finished_at=tx.now if state == "off" else None,
        )
    )
    return name, rung


def receiver_of(url: str) -> str:
    """Who counts as one receiver: a host, with all its ports and paths."""
    return urlsplit(url).hostname or ""


def _of(job_id: str, endpoint_id: str | None) -> tuple[ColumnElement[bool], ...]:
    """The messages of a job to one receiver."""
    return deliveries.c.job_id == job_id, deliveries.c.endpoint_id.is_not_distinct_from(endpoint_id)


def _may_go() -> tuple[ColumnElement[bool], ...]:
    """Whether a delivery may be sent: nothing before it is open, and nobody has paused its endpoint. A test goes to any endpoint."""
    earlier = deliveries.alias()
    before = (
        exists()
        .where(
            earlier.c.job_id == deliveries.c.job_id,
            earlier.c.endpoint_id.is_not_distinct_from(deliveries.c.endpoint_id),
            earlier.c.seq < deliveries.c.seq,
            earlier.c.state.not_in(ended("deliveries")),
        )
        .correlate(deliveries)
    )
    on = exists().where(endpoints.c.id == deliveries.c.endpoint_id, endpoints.c.state == "enabled").correlate(deliveries)
    return ~before, or_(deliveries.c.endpoint_id.is_(None), deliveries.c.event == TEST, on)


def _has_room(at_once: int) -> ColumnElement[bool]:
    """Whether fewer than so many are in flight to its receiver."""
    other = deliveries.alias()
    flying = select(func.count()).where(other.c.state == literal_column("'sending'"), other.c.receiver == deliveries.c.receiver)
    return flying.correlate(deliveries).scalar_subquery() < at_once


# -- sending -----------------------------------------------------------------------------------------------------------


def claim(tx: Tx, delivery_id: str, lease_seconds: float, at_once: int) -> Delivery | None:
    """Take a delivery that is due, or None: somebody else has it, it has ended, it is not its turn, its endpoint is paused, or
    `at_once` are in flight to its receiver. Then it waits unrung, and no try is charged."""
    if tx.connection.dialect.name == "postgresql":  # where two could count at the same time; SQLite has one writer
        lock = "SELECT pg_advisory_xact_lock(:webhooks, hashtext(receiver)) FROM deliveries WHERE id = :id"
        tx.connection.execute(text(lock), {"webhooks": _LOCK, "id": delivery_id})
    there = select(endpoints.c.url).where(endpoints.c.id == deliveries.c.endpoint_id).correlate(deliveries).scalar_subquery()
    row = tx.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery_id, _OPEN, deliveries.c.run_after <= tx.now, *_may_go(), _has_room(at_once))
        .values(
            state="sending",
            attempt=deliveries.c.attempt + 1,
            lease_until=tx.now + lease_seconds,
            url=func.coalesce(there, deliveries.c.url),  # an endpoint may have moved meanwhile
        )
        .returning(*deliveries.c)
    ).one_or_none()
    if row is None:
        tx.execute(update(deliveries).where(deliveries.c.id == delivery_id, _OPEN, ~_has_room(at_once)).values(rung_at=None))
        return None
    return Delivery(
        row.id, row.tenant_id, row.endpoint_id, row.job_id, row.event, row.url, row.payload, row.attempt, row.attempt - row.spent,
        row.waits_for,
    )  # fmt: skip


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
    _log(tx, delivery, outcome)
    return True


def put_off(tx: Tx, delivery: Delivery, outcome: Try, until: float) -> bool:
    """Nothing was sent, for its receiver fails too often: wait, and charge no try. False: a stale attempt, discarded."""
    moved = tx.execute(
        update(deliveries)
        .where(deliveries.c.id == delivery.id, deliveries.c.state == "sending", deliveries.c.attempt == delivery.attempt)
        .values(state="waiting", run_after=until, rung_at=None, lease_until=None, spent=deliveries.c.spent + 1)
    ).rowcount
    if moved:
        _log(tx, delivery, outcome)
    return bool(moved)


def _log(tx: Tx, delivery: Delivery, outcome: Try) -> None:
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


def follow(tx: Tx, delivery: Delivery) -> list[str]:
    """What may go now that this one has ended: the next of the same job to the same receiver, else the next to that host. Marked as
    rung, to be rung after the commit."""
    if delivery.job_id is not None:
        line = select(deliveries.c.id).where(*_of(delivery.job_id, delivery.endpoint_id), _OPEN).order_by(deliveries.c.seq).limit(1)
        if ready := mark(tx, list(tx.execute(line).scalars())):
            return ready
    there = (deliveries.c.receiver == receiver_of(delivery.url), _OPEN, deliveries.c.run_after <= tx.now, deliveries.c.rung_at.is_(None))
    return mark(tx, list(tx.execute(select(deliveries.c.id).where(*there, *_may_go()).order_by(deliveries.c.run_after).limit(1)).scalars()))


def move(tx: Tx, endpoint_id: str, url: str) -> None:
    """What is owed to an endpoint, or will be sent again, goes to another host: it counts there."""
    tx.execute(update(deliveries).where(deliveries.c.endpoint_id == endpoint_id).values(receiver=receiver_of(url)))


def mark(tx: Tx, delivery_ids: Sequence[str]) -> list[str]:
    """Mark those of these that may go now, and are not rung, as rung; the caller publishes after the commit."""
    here = (deliveries.c.id.in_(delivery_ids), _OPEN, deliveries.c.run_after <= tx.now, deliveries.c.rung_at.is_(None))
    return list(tx.execute(update(deliveries).where(*here, *_may_go()).values(rung_at=tx.now).returning(deliveries.c.id)).scalars())


# -- upkeep ------------------------------------------------------------------------------------------------------------


def rescue(tx: Tx, *of: ColumnElement[bool]) -> int:
    """Deliveries whose courier died become due again: the receiver may see one twice, never not at all. The try is logged as lost."""
    late = of or (deliveries.c.lease_until < tx.now,)
    lost = tx.execute(
        update(deliveries)
        .where(deliveries.c.state == "sending", *late)
        .values(state="waiting", run_after=tx.now, rung_at=None, lease_until=None)
        .returning(deliveries.c.id, deliveries.c.attempt)
    ).all()
    if lost:
        log = {"at": tx.now, "seconds": 0.0, "accepted": False, "error_code": "ATTEMPT_LOST"}
        log["detail"] = "its process ended before it could tell; the receiver may have it"
        tx.execute(insert(tries), [{"delivery_id": row.id, "attempt": row.attempt, **log} for row in lost])
    return len(lost)


def bury(tx: Tx, endpoint_id: str | None = None) -> int:
    """What is owed to endpoints that are switched off (to this one, or to any) dies, and can be redelivered."""
    off = select(endpoints.c.id).where(endpoints.c.state == "off", *([endpoints.c.id == endpoint_id] if endpoint_id else []))
    here = (deliveries.c.endpoint_id.in_(off), _OPEN, deliveries.c.event != TEST)
    return int(tx.execute(update(deliveries).where(*here).values(state="dead", rung_at=None, finished_at=tx.now)).rowcount)


def ring(tx: Tx, window: int, at_once: int) -> list[str]:
    """Mark due deliveries that have not been rung as rung, oldest first, so that at most `window` are rung and unclaimed, but none to
    a receiver that has `at_once` in flight; the caller publishes after the commit."""
    room = window - tx.number(select(func.count()).select_from(deliveries).where(_OPEN, deliveries.c.rung_at.is_not(None), *_may_go()))
    if room <= 0:
        return []
    due = (
        select(deliveries.c.id)
        .where(_OPEN, deliveries.c.run_after <= tx.now, deliveries.c.rung_at.is_(None), *_may_go(), _has_room(at_once))
        .order_by(deliveries.c.run_after)
        .limit(room)
        .with_for_update(skip_locked=True, of=deliveries)
    )
    return list(tx.execute(update(deliveries).where(deliveries.c.id.in_(due)).values(rung_at=tx.now).returning(deliveries.c.id)).scalars())


def rung(tx: Tx, before: float) -> list[tuple[str, float]]:
    """Deliveries rung before a time that may go and are still not claimed, with that time."""
    rows = tx.execute(
        select(deliveries.c.id, deliveries.c.rung_at).where(
            _OPEN, deliveries.c.rung_at.is_not(None), deliveries.c.rung_at <= before, *_may_go()
        )
    )
    return [(row.id, row.rung_at) for row in rows]


def rering(tx: Tx, delivery_ids: Sequence[str]) -> list[str]:
    """Ring again those that are still waiting for it."""
    return list(
        tx.execute(
            update(deliveries)
            .where(deliveries.c.id.in_(delivery_ids), _OPEN, deliveries.c.rung_at.is_not(None))
            .values(rung_at=tx.now)
            .returning(deliveries.c.id)
        ).scalars()
    )
