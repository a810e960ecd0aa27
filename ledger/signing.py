"""The secrets that webhooks are signed with: one for each endpoint, one a tenant for the callbacks of its jobs. Sealed in the rows.

While one is rotated two are live and both sign, so that a receiver may change over whenever it likes.
"""

from __future__ import annotations

import base64
import secrets
from typing import Any

from sqlalchemy import ColumnElement, delete, or_, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from foundation.clock import iso
from foundation.sealing import Sealing
from ledger.rows import tenants
from ledger.session import Tx
from ledger.webhook_rows import webhook_secrets

PURPOSE = "webhook secrets"
_rows = webhook_secrets.c


def make(tx: Tx, sealing: Sealing, tenant_id: str, owner: str) -> str:
    """A new current secret, unless another process has made one in this very moment: then that one."""
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    new = dialect.insert(webhook_secrets).values(
        id=tx.clock.new_id("sec"), tenant_id=tenant_id, owner=owner, sealed=sealing.seal(secret, PURPOSE, owner), created_at=tx.now
    )
    tx.execute(new.on_conflict_do_nothing(index_elements=["owner"], index_where=text("retires_at IS NULL")))
    sealed = tx.connection.scalar(select(_rows.sealed).where(_rows.owner == owner, _rows.retires_at.is_(None)))
    return sealing.open(str(sealed), PURPOSE, owner)


def _alive(tx: Tx, owner: str) -> tuple[ColumnElement[bool], ...]:
    """The secrets of an owner that still sign."""
    return _rows.owner == owner, or_(_rows.retires_at.is_(None), _rows.retires_at > tx.now)


def live(tx: Tx, sealing: Sealing, tenant_id: str, owner: str) -> tuple[str, ...]:
    """The secrets to sign with, the current one first. Raises SECRET_MISMATCH."""
    found = tx.execute(select(_rows.sealed).where(*_alive(tx, owner)).order_by(_rows.retires_at.is_not(None))).scalars().all()
    if not found:  # a tenant has one as soon as it is needed
        return (make(tx, sealing, tenant_id, owner),)
    return tuple(sealing.open(sealed, PURPOSE, owner) for sealed in found)


def rotate(tx: Tx, sealing: Sealing, tenant_id: str, owner: str, overlap_seconds: float) -> str:
    """A new secret; the one before signs beside it for so long, and an older one that still did no longer does."""
    tx.execute(select(tenants.c.id).where(tenants.c.id == tenant_id).with_for_update())  # of two who rotate, one after the other
    tx.execute(delete(webhook_secrets).where(_rows.owner == owner, _rows.retires_at.is_not(None)))
    now_old = (_rows.owner == owner, _rows.retires_at.is_(None))
    tx.execute(update(webhook_secrets).where(*now_old).values(retires_at=tx.now + overlap_seconds))
    return make(tx, sealing, tenant_id, owner)


def told(tx: Tx, owner: str) -> list[dict[str, Any]]:
    """Which secrets are live, without them: since when and until when."""
    alive = select(_rows.created_at, _rows.retires_at).where(*_alive(tx, owner))
    return [{"created_at": iso(row.created_at), "retires_at": iso(row.retires_at)} for row in tx.execute(alive.order_by(_rows.id.desc()))]


def forget(tx: Tx, owner: str | None = None) -> None:
    """Drop the secrets of an owner that is no more; without one, all that have retired."""
    tx.execute(delete(webhook_secrets).where(_rows.retires_at < tx.now if owner is None else _rows.owner == owner))
