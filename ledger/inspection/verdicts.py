"""What inspections found, kept as lines of the audit trail: the metrics of any process can tell it, and nobody can tidy it away."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select

from ledger import audit
from ledger.rows import audit as audit_rows
from ledger.session import Tx
from ledger.trail.chain import HOUSE

_SCOPES = ("recent", "whole")


def keep(tx: Tx, whole: bool, found: Mapping[str, int]) -> None:
    """Append the numbers of an inspection, by kind; kinds that it did not look at are absent."""
    audit.record(tx, HOUSE, "doctor", "store.inspected", "whole" if whole else "recent", found=dict(found))


def latest(tx: Tx) -> tuple[dict[str, int], float | None]:
    """The newest number of each kind, and when somebody looked last (seconds since the epoch)."""
    newest: dict[str, int] = {}
    last: float | None = None
    for scope in _SCOPES:
        row = tx.execute(
            select(audit_rows.c.number, audit_rows.c.at, audit_rows.c.detail)
            .where(audit_rows.c.tenant_id == HOUSE, audit_rows.c.subject == scope)
            .order_by(audit_rows.c.seq.desc())
            .limit(1)
        ).one_or_none()
        if row is None:
            continue
        found = tx.details.told(row.detail, HOUSE, row.number)["found"]
        if last is None or row.at > last:
            newest, last = newest | found, row.at
        else:
            newest = found | newest
    return newest, last
