"""The append-only trail: who did what to which subject, from where, with what outcome, in the transaction of what it tells of.

`ledger/trail/` is what becomes of the lines: they are chained at the commit, proved, searched, anchored and let go.
"""

from __future__ import annotations

from typing import Any

from foundation import caller
from ledger.session import Tx
from ledger.trail import details
from ledger.trail.chain import HOUSE

DONE, FAILED, REFUSED = "done", "failed", "refused"


def record(tx: Tx, tenant_id: str, actor: str, action: str, subject: str, *, outcome: str = DONE, **detail: Any) -> None:
    """Tell one line: who (`actor`) did what (`action`) to what (`subject`, an id); it is written at the commit. No tenant: the house.

    Whoever asked from outside goes before the actor that is named here. Secrets are masked (`trail/details.py`)."""
    who = caller.current()
    tx.trail(
        {
            "chain": tenant_id or HOUSE,
            "at": tx.now,
            "actor": details.text(who.actor or actor),
            "action": action,
            "subject": details.text(subject),
            "origin": details.text(who.origin),
            "request_id": who.request_id,
            "outcome": outcome,
            "detail": details.plain(detail),
        }
    )
