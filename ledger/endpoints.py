"""Endpoints of webhooks: who is told of what, and the life of one: enabled, paused by its owner, switched off by us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update

from foundation.clock import iso
from foundation.errors import Failure
from foundation.sealing import Sealing
from ledger import audit, delivery_views, outbox, signing
from ledger.outbox import Delivery
from ledger.rows import tenants
from ledger.session import Tx
from ledger.states import ENDPOINT
from ledger.webhook_rows import deliveries, endpoints

GONE, FAILING = "gone", "failing"


@dataclass(frozen=True, slots=True)
class NewEndpoint:
    url: str
    events: tuple[str, ...]
    description: str = ""
    enabled: bool = True


def add(tx: Tx, sealing: Sealing, tenant_id: str, new: NewEndpoint, most: int) -> tuple[str, str]:
    """A new endpoint: its id, and the secret that signs what it is sent. Raises WEBHOOK_LIMIT."""
    # The tenant's row is the lock under which its endpoints are counted.
    tx.execute(select(tenants.c.id).where(tenants.c.id == tenant_id).with_for_update())
    if tx.number(select(func.count()).select_from(endpoints).where(endpoints.c.tenant_id == tenant_id)) >= most:
        raise Failure("WEBHOOK_LIMIT", {"limit": most})
    name = tx.clock.new_id("hook")
    tx.execute(
        insert(endpoints).values(
            id=name,
            tenant_id=tenant_id,
            url=new.url,
            events=list(new.events),
            description=new.description,
            state="enabled" if new.enabled else "paused",
            changed_at=tx.now,
            created_at=tx.now,
        )
    )
    _record(tx, tenant_id, "added", name, host=outbox.receiver_of(new.url), events=list(new.events))
    return name, signing.make(tx, sealing, tenant_id, name)


def change(tx: Tx, tenant_id: str, endpoint_id: str, values: dict[str, Any]) -> None:
    """Another url, events or description. With another url its failures are forgotten. Raises WEBHOOK_NOT_FOUND."""
    get(tx, tenant_id, endpoint_id)
    moved = {"failing_since": None} if "url" in values else {}
    if values:
        tx.execute(update(endpoints).where(endpoints.c.id == endpoint_id).values(**values, **moved))
        if moved:
            outbox.move(tx, endpoint_id, values["url"])
        _record(tx, tenant_id, "changed", endpoint_id, fields=sorted(values))


def pause(tx: Tx, tenant_id: str, endpoint_id: str) -> None:
    """Send nothing more; what comes to be owed waits. One that is switched off stays so. Raises WEBHOOK_NOT_FOUND."""
    if _move(tx, get(tx, tenant_id, endpoint_id), "paused"):
        _record(tx, tenant_id, "paused", endpoint_id)


def enable(tx: Tx, tenant_id: str, endpoint_id: str, redeliver: bool) -> int:
    """Go on with one that is paused or switched off; what is owed follows at the next tick of upkeep.

    `redeliver`: what died since it began to fail is sent again, too; answers how many those are. Raises WEBHOOK_NOT_FOUND."""
    row = get(tx, tenant_id, endpoint_id, lock=True)
    if not _move(tx, row, "enabled", failing_since=None):
        return 0
    since = row.changed_at if row.failing_since is None else row.failing_since
    died = (deliveries.c.state == "dead", deliveries.c.finished_at >= since, deliveries.c.event != outbox.TEST)
    begun = delivery_views.again(tx, deliveries.c.endpoint_id == endpoint_id, *died) if redeliver else []
    _record(tx, tenant_id, "enabled", endpoint_id, redelivered=len(begun))
    return len(begun)


def _move(tx: Tx, row: Row[Any], state: str, **more: Any) -> bool:
    """Along the table of states, or not at all."""
    if state not in ENDPOINT[row.state]:
        return False
    values = {"state": state, "reason": None, "changed_at": tx.now, **more}
    return bool(tx.execute(update(endpoints).where(endpoints.c.id == row.id, endpoints.c.state == row.state).values(**values)).rowcount)


def remove(tx: Tx, tenant_id: str, endpoint_id: str) -> None:
    """Forget an endpoint, its secrets and the log of what it was sent; what is still owed to it is not sent. Raises WEBHOOK_NOT_FOUND."""
    row = get(tx, tenant_id, endpoint_id)
    signing.forget(tx, endpoint_id)
    tx.execute(delete(endpoints).where(endpoints.c.id == endpoint_id))
    _record(tx, tenant_id, "removed", endpoint_id, host=outbox.receiver_of(row.url))


def get(tx: Tx, tenant_id: str, endpoint_id: str, lock: bool = False) -> Row[Any]:
    """The row. Raises WEBHOOK_NOT_FOUND, also for an endpoint of another tenant."""
    mine = select(endpoints).where(endpoints.c.id == endpoint_id, endpoints.c.tenant_id == tenant_id)
    row = tx.first(mine.with_for_update() if lock else mine)
    if row is None:
        raise Failure("WEBHOOK_NOT_FOUND", {"id": endpoint_id[:64]})
    return row


def page(tx: Tx, tenant_id: str, limit: int, after: str | None) -> list[dict[str, Any]]:
    """Endpoints of a tenant, newest first, starting behind the id `after`."""
    query = select(endpoints).where(endpoints.c.tenant_id == tenant_id).order_by(endpoints.c.id.desc()).limit(limit)
    return [view(row) for row in tx.execute(query.where(endpoints.c.id < after) if after else query)]


def view(row: Row[Any]) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in ("id", "url", "events", "description", "state", "reason")}
    times = {name: iso(getattr(row, name)) for name in ("changed_at", "failing_since", "created_at")}
    return plain | {"enabled": row.state == "enabled"} | times


# -- what receivers do ---------------------------------------------------------------------------------------------------


def test(tx: Tx, tenant_id: str, endpoint_id: str) -> str:
    """Owe a test event to an endpoint in any state; the caller rings. Raises WEBHOOK_NOT_FOUND."""
    row = get(tx, tenant_id, endpoint_id)
    told = {"webhook_id": endpoint_id, "message": "This is a test: nothing has happened."}
    return outbox.owe(tx, tenant_id, None, row.url, outbox.TEST, told, row)


def judged(tx: Tx, delivery: Delivery, accepted: bool, gone: bool, off_after_seconds: float) -> list[str]:
    """What an attempt means for its endpoint: well again, failing, or switched off; answers the deliveries to ring. Tests mean nothing."""
    if delivery.endpoint_id is None or delivery.event == outbox.TEST:
        return []
    here = endpoints.c.id == delivery.endpoint_id
    if accepted:
        tx.execute(update(endpoints).where(here, endpoints.c.failing_since.is_not(None)).values(failing_since=None))
        return []
    tx.execute(update(endpoints).where(here, endpoints.c.failing_since.is_(None)).values(failing_since=tx.now))
    row = tx.first(select(endpoints).where(here))
    if row is None or row.failing_since is None:
        return []
    reason = GONE if gone else FAILING if tx.now - row.failing_since >= off_after_seconds else None
    return _switch_off(tx, row, reason) if reason else []


def _switch_off(tx: Tx, row: Row[Any], reason: str) -> list[str]:
    """Send it nothing more, and tell the tenant's other endpoints and the trail."""
    if not _move(tx, row, "off", reason=reason):
        return []
    buried = outbox.bury(tx, row.id)
    told = {
        "webhook_id": row.id,
        "host": outbox.receiver_of(row.url),  # the address itself may hold a secret of another receiver
        "description": row.description,
        "reason": reason,
        "failing_since": iso(row.failing_since),
        "switched_off_at": iso(tx.now),
        "unsent": buried,
    }
    audit.record(
        tx, row.tenant_id, "courier", "webhook.switched_off", row.id, reason=reason, failing_since=iso(row.failing_since), unsent=buried
    )
    return list(outbox.tell(tx, row.tenant_id, outbox.SWITCHED_OFF, lambda: told, but=row.id))


def _record(tx: Tx, tenant_id: str, what: str, endpoint_id: str, **detail: Any) -> None:
    audit.record(tx, tenant_id, "api", f"webhook.{what}", endpoint_id, **detail)
