"""Schedules of tenants and what became of their slots.

A slot belongs to whoever moves `next_at` on from it: that compare-and-swap, the row of the slot and the job are one
transaction, so any number of beats, APIs and reconcilers submit a slot once. The key of the slot's row says it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit
from ledger.rows import schedule_slots, schedules, tenants
from ledger.session import Tx

CLOCK, HAND = "clock", "hand"


@dataclass(frozen=True, slots=True)
class Schedule:
    """`cron` is in the time of `timezone`; `job` is a job request; `next_at` is the slot that comes next (None: none will)."""

    id: str
    tenant_id: str
    name: str
    cron: str
    timezone: str
    job: dict[str, Any]
    catch_up: str
    catch_up_most: int
    enabled: bool
    next_at: float | None


class SlotTaken(Exception):
    """Another process has this slot, or the schedule was changed, paused or deleted meanwhile."""


def add(tx: Tx, new: Schedule, most: int) -> None:
    """Raises SCHEDULE_NAME_TAKEN, SCHEDULE_LIMIT."""
    # The tenant's row is the lock under which its schedules are counted; not one that rows which name the tenant would wait for.
    tx.execute(select(tenants.c.id).where(tenants.c.id == new.tenant_id).with_for_update(key_share=True))
    if tx.number(select(func.count()).select_from(schedules).where(schedules.c.tenant_id == new.tenant_id)) >= most:
        raise Failure("SCHEDULE_LIMIT", {"limit": most})
    values = {name: getattr(new, name) for name in Schedule.__dataclass_fields__}
    _named(tx, new.name, insert(schedules).values(**values, created_at=tx.now, updated_at=tx.now))
    audit.record(tx, new.tenant_id, "api", "schedule.added", new.id, name=new.name, cron=new.cron, timezone=new.timezone)


def change(tx: Tx, tenant_id: str, schedule_id: str, values: dict[str, Any]) -> None:
    """Raises SCHEDULE_NOT_FOUND, SCHEDULE_NAME_TAKEN."""
    mine = (schedules.c.id == schedule_id, schedules.c.tenant_id == tenant_id)
    changed = _named(tx, str(values.get("name")), update(schedules).where(*mine).values(**values, updated_at=tx.now))
    if changed.rowcount != 1:
        raise _unknown(schedule_id)
    audit.record(tx, tenant_id, "api", "schedule.changed", schedule_id, fields=sorted(values))


def remove(tx: Tx, tenant_id: str, schedule_id: str) -> None:
    """Forget a schedule and its slots; the jobs it submitted stay. Raises SCHEDULE_NOT_FOUND."""
    if tx.execute(delete(schedules).where(schedules.c.id == schedule_id, schedules.c.tenant_id == tenant_id)).rowcount != 1:
        raise _unknown(schedule_id)
    audit.record(tx, tenant_id, "api", "schedule.removed", schedule_id)


def _named(tx: Tx, name: str, statement: Any) -> Any:
    try:
        with tx.connection.begin_nested():
            return tx.execute(statement)
    except IntegrityError as error:
        raise Failure("SCHEDULE_NAME_TAKEN", {"name": name}) from error


def _unknown(schedule_id: str) -> Failure:
    return Failure("SCHEDULE_NOT_FOUND", {"id": schedule_id[:64]})


def get(tx: Tx, tenant_id: str, schedule_id: str) -> Row[Any]:
    """The row. Raises SCHEDULE_NOT_FOUND, also for a schedule of another tenant."""
    row = tx.first(select(schedules).where(schedules.c.id == schedule_id, schedules.c.tenant_id == tenant_id))
    if row is None:
        raise _unknown(schedule_id)
    return row


def page(tx: Tx, tenant_id: str, limit: int, after: str | None) -> list[dict[str, Any]]:
    """Schedules of a tenant, newest first, starting behind the id `after`."""
    query = select(schedules).where(schedules.c.tenant_id == tenant_id).order_by(schedules.c.id.desc()).limit(limit)
    return [view(row) for row in tx.execute(query.where(schedules.c.id < after) if after else query)]


def view(row: Row[Any]) -> dict[str, Any]:
    plain = ("id", "name", "cron", "timezone", "job", "catch_up", "catch_up_most", "enabled")
    times = {name: iso(getattr(row, name)) for name in ("next_at", "last_slot", "created_at", "updated_at")}
    return {name: getattr(row, name) for name in plain} | times | {"next_at": iso(row.next_at) if row.enabled else None}


def runs(tx: Tx, schedule_id: str, limit: int) -> list[dict[str, Any]]:
    """The latest slots and what became of each, newest first."""
    query = select(schedule_slots).where(schedule_slots.c.schedule_id == schedule_id).order_by(schedule_slots.c.at.desc()).limit(limit)
    return [
        {
            "slot": iso(row.slot),
            "until": iso(row.until),
            "slots": row.slots,
            "asked_by": row.asked_by,
            "outcome": row.outcome,
            "job_id": row.job_id,
            "error": row.error,
            "at": iso(row.at),
        }
        for row in tx.execute(query)
    ]


# -- the clock ---------------------------------------------------------------------------------------------------------


def due(tx: Tx, limit: int) -> list[Schedule]:
    """Schedules whose next slot has come, the longest waiting first."""
    names = list(Schedule.__dataclass_fields__)
    query = (
        select(*(schedules.c[name] for name in names))
        .where(schedules.c.enabled.is_(True), schedules.c.next_at <= tx.now)
        .order_by(schedules.c.next_at)
        .limit(limit)
    )
    return [Schedule(**row._mapping) for row in tx.execute(query)]


def settle(
    tx: Tx, schedule: Schedule, next_at: float | None, outcome: str, job_id: str | None = None, error: dict[str, Any] | None = None,
    until: float | None = None, slots: int = 1,
) -> None:  # fmt: skip
    """Write down what becomes of the slot `schedule.next_at` (or of the missed ones through `until`), and move on. Raises SlotTaken."""
    slot = schedule.next_at
    moved = tx.execute(
        update(schedules)
        .where(schedules.c.id == schedule.id, schedules.c.enabled.is_(True), schedules.c.next_at == slot)
        .values(next_at=next_at, last_slot=slot if until is None else until)
    )
    if slot is None or moved.rowcount != 1:
        raise SlotTaken
    _record(tx, schedule.id, schedule.tenant_id, slot, CLOCK, outcome, job_id, error, slot if until is None else until, slots)


def settle_by_hand(tx: Tx, tenant_id: str, schedule_id: str, job_id: str) -> None:
    """Write down that somebody asked for a run outside of the slots. Raises SCHEDULE_NOT_FOUND."""
    get(tx, tenant_id, schedule_id)
    # Seldom as it is, two may ask in one moment: each run has a key of its own.
    last = tx.connection.scalar(
        select(func.max(schedule_slots.c.slot)).where(schedule_slots.c.schedule_id == schedule_id, schedule_slots.c.asked_by == HAND)
    )
    slot = max(tx.now, (last or 0.0) + 0.001)
    _record(tx, schedule_id, tenant_id, slot, HAND, "submitted", job_id, None, slot, 1)


def _record(
    tx: Tx, schedule_id: str, tenant_id: str, slot: float, asked_by: str, outcome: str, job_id: str | None, error: dict[str, Any] | None,
    until: float, slots: int,
) -> None:  # fmt: skip
    tx.execute(
        insert(schedule_slots).values(
            schedule_id=schedule_id, slot=slot, asked_by=asked_by, outcome=outcome, slots=slots, until=until, job_id=job_id, error=error,
            at=tx.now,
        )
    )  # fmt: skip
    told = {"job": job_id} if job_id else {"slots": slots, "until": iso(until)}
    went = {"refused": audit.REFUSED, "missed": audit.FAILED}.get(outcome, audit.DONE)
    code = (error or {}).get("code")
    audit.record(tx, tenant_id, asked_by, f"schedule.{outcome}", schedule_id, outcome=went, slot=iso(slot), code=code, **told)
