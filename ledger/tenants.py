"""Tenants: who owns parts, jobs and keys. What each may have is in `quotas.py`, how each is known in `keys.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from foundation import caller
from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit, quotas
from ledger.rows import tenants
from ledger.session import Tx


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant, and what the key may do by which it was asked for."""

    id: str
    name: str
    key_id: str = ""
    scopes: frozenset[str] = frozenset()
    key_made_at: float = 0.0
    key_expires_at: float | None = None


def by() -> str:
    """Who does it, for the trail."""
    return caller.current().actor or "admin"


def add(tx: Tx, name: str, quota: Mapping[str, int | None] | None = None) -> Tenant:
    """Raises TENANT_NAME_TAKEN."""
    tenant = Tenant(tx.clock.new_id("ten"), name)
    own = {f"quota_{which}": most for which, most in (quota or {}).items()}
    try:
        with tx.connection.begin_nested():
            tx.execute(insert(tenants).values(id=tenant.id, name=name, created_at=tx.now, **own))
    except IntegrityError as error:
        raise Failure("TENANT_NAME_TAKEN", {"name": name}) from error
    audit.record(tx, tenant.id, by(), "tenant.added", tenant.id, name=name)
    return tenant


def find(tx: Tx, name: str) -> Tenant | None:
    row = tx.execute(select(tenants).where(tenants.c.name == name)).one_or_none()
    return None if row is None else Tenant(row.id, row.name)


def get(tx: Tx, tenant_id: str) -> dict[str, Any]:
    """A tenant as whoever runs the server sees it. Raises TENANT_NOT_FOUND."""
    row = tx.execute(select(tenants).where(tenants.c.id == tenant_id)).one_or_none()
    if row is None:
        raise Failure("TENANT_NOT_FOUND", {"id": tenant_id[:64]})
    return _view(row) | {"usage": quotas.usage(tx, tenant_id)}


def page(tx: Tx, limit: int, after: str | None) -> list[dict[str, Any]]:
    """Tenants, newest first, starting behind the id `after`."""
    query = select(tenants).order_by(tenants.c.id.desc()).limit(limit)
    return [_view(row) for row in tx.execute(query.where(tenants.c.id < after) if after else query)]


def change(tx: Tx, tenant_id: str, disabled: bool | None = None, quota: Mapping[str, int | None] | None = None) -> None:
    """Disable or enable, and set quotas: only those named; None stands for that of all tenants, 0 for none. Raises TENANT_NOT_FOUND."""
    values: dict[str, Any] = {f"quota_{which}": most for which, most in (quota or {}).items()}
    if disabled is not None:
        values["disabled_at"] = tx.now if disabled else None
    mine = tenants.c.id == tenant_id
    if tx.execute(update(tenants).where(mine).values(**(values or {"id": tenants.c.id}))).rowcount != 1:
        raise Failure("TENANT_NOT_FOUND", {"id": tenant_id[:64]})
    if values:
        told: dict[str, Any] = ({} if disabled is None else {"disabled": disabled}) | ({"quota": dict(quota)} if quota else {})
        audit.record(tx, tenant_id, by(), "tenant.changed", tenant_id, **told)


def _view(row: Any) -> dict[str, Any]:
    own = {name: getattr(row, f"quota_{name}") for name in quotas.NAMES}
    return {"id": row.id, "name": row.name, "created_at": iso(row.created_at), "disabled_at": iso(row.disabled_at), "quota": own}
