"""What is told live of rows: one function a type of the table in `foundation/progress.py`. The caller's commit publishes them."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Row

from foundation.clock import iso
from foundation.progress import ITEMS_SHOWN, Event
from ledger.session import Tx


def counts_of(job: Any) -> dict[str, int]:
    """Items of a job (a row, or what has its names) by what became of them."""
    counts = {name: getattr(job, name) for name in ("total", "succeeded", "failed", "cancelled")}
    return {**counts, "pending": counts["total"] - counts["succeeded"] - counts["failed"] - counts["cancelled"]}


def job(tx: Tx, row: Row[Any], **changed: Any) -> None:
    """The state of a job; `changed` is what this transaction has changed since the row was read."""
    now = _now(row, changed)
    data = {name: getattr(now, name) for name in ("id", "kind", "state", "priority", "generation", "error")}
    times = {name: iso(getattr(now, name)) for name in ("paused_at", "created_at", "started_at", "finished_at")}
    _tell(tx, row, "job.state", {**data, **times, "counts": counts_of(now)})
    if now.state in ("succeeded", "partial") and now.kind == "similarity" and now.input.get("distinct"):
        _tell(tx, row, "duplicates.changed", {"job_id": row.id})


def progress(tx: Tx, row: Row[Any], errors: Sequence[tuple[int, dict[str, Any]]], **changed: Any) -> None:
    """How far a job has come, and which of its items (index, error) have just failed."""
    now = _now(row, changed)
    _tell(
        tx, row, "job.progress", {**{name: getattr(now, name) for name in ("id", "kind", "state", "generation")}, "counts": counts_of(now)}
    )
    if errors:
        shown = [{"index": index, "code": error.get("code"), "message": error.get("message")} for index, error in errors[:ITEMS_SHOWN]]
        _tell(tx, row, "items.failed", {"job_id": row.id, "failed": len(errors), "items": shown})


def delivery(tx: Tx, tenant_id: str, job_id: str | None, **data: Any) -> None:
    """A try of a webhook: id, state, attempt, status and error_code."""
    tx.tell(Event("delivery.state", {"job_id": job_id, **data}, tenant_id, job_id or ""))


def queue(tx: Tx, name: str, paused: bool, reason: str = "") -> None:
    """A queue was paused or goes on: told to all tenants, for it is theirs as well."""
    tx.tell(Event("queue.state", {"name": name, "paused": paused, "reason": reason}))


def _now(row: Row[Any], changed: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**{**row._mapping, **changed})


def _tell(tx: Tx, row: Row[Any], name: str, data: dict[str, Any]) -> None:
    tx.tell(Event(name, data, row.tenant_id, row.id, row.key_id or ""))
