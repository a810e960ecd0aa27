"""How the fast indexes of the fleet are, from what each worker process reports, and asking all of them to try now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from foundation.clock import iso
from foundation.errors import Failure
from ledger import fleet
from ledger.fleet import Report
from ledger.session import Ledger, Tx
from ledger.tenants import Tenant
from tasks.vocabulary import EngineState

_BADNESS = {state.value: place for place, state in enumerate(EngineState)}
_HISTORY = 10
_RECOVERY_SECONDS = 600.0  # a recovery that was not begun by then is not begun, and hinders no other one


def view(tx: Tx) -> dict[str, Any]:
    """The fleet as its worst worker is, and each of them. `recovery_status` is unknown where no worker reports."""
    reports = fleet.alive(tx)
    each = [{"worker": one.process, "reported_at": iso(one.at)} | one.index for one in reports]
    lines = [line | {"worker": one["worker"]} for one in each for line in one["history"]]
    worst = max(each, key=lambda one: _BADNESS[one["state"]], default=None)
    return {
        "recovery_status": "unknown" if worst is None else worst["state"],
        "reason": None if worst is None else worst["reason"],
        "degraded_since": min((one["degraded_since"] for one in each if one["degraded_since"]), default=None),
        "last_recovery_attempt": max((one["last_recovery_attempt"] for one in each if one["last_recovery_attempt"]), default=None),
        "next_recovery_attempt": min((one["next_recovery_attempt"] for one in each if one["next_recovery_attempt"]), default=None),
        "flapping": any(one["flapping"] for one in each),
        "history": sorted(lines, key=lambda line: str(line["at"]))[: -_HISTORY - 1 : -1],
        "recovery": fleet.recovery(tx),
        "workers": each,
    }


def recover(ledger: Ledger, admin: Tenant) -> dict[str, Any]:
    """Have every worker try now; those whose index is sound do nothing. Raises FAISS_RECOVERY_CONFLICT, WORKERS_SILENT."""
    with ledger.write() as tx:
        asked = fleet.alive(tx)
        if not asked:
            raise Failure("WORKERS_SILENT")
        order = fleet.give(tx, fleet.RECOVERY, admin.id, admin.name, {}, _RECOVERY_SECONDS)
        return {"number": order.number, "asked_at": iso(tx.now), "workers": [one.process for one in asked]}


def gauges(reports: Sequence[Report], now: float) -> tuple[dict[str, int], float]:
    """Workers by state of their index, and how long the one that is degraded longest has been."""
    states = {state.value: sum(one.index["state"] == state for one in reports) for state in EngineState}
    since = [datetime.fromisoformat(one.index["degraded_since"]).timestamp() for one in reports if one.index["degraded_since"]]
    return states, max(0.0, now - min(since)) if since else 0.0
