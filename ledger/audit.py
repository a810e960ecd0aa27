"""The append-only trail, written in the same transaction as what it tells of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert

from ledger.rows import audit
from ledger.session import Tx


def record(tx: Tx, tenant_id: str, actor: str, action: str, subject: str, **detail: Any) -> None:
    """Append one line: who (`actor`) did what (`action`) to what (`subject`, an id)."""
    tx.execute(insert(audit).values(tenant_id=tenant_id, at=tx.now, actor=actor, action=action, subject=subject, detail=detail))
