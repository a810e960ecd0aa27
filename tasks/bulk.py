"""Many jobs at once: retry those that failed, or cancel those that have not ended, chosen by a filter.

Each job is a transaction of its own, so that no lock is held for long and what is done stays done.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from foundation.errors import Failure
from foundation.settings import Settings
from ledger import changes, job_views
from ledger.session import Ledger
from tasks import ring, submit
from tasks.ring import Doorbell


class Selection(BaseModel):
    """Which jobs; every field narrows it down."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str | None = Field(None, max_length=64)
    labels: dict[str, str] = Field(default_factory=dict, max_length=50, description="labels that the jobs have, with these values")
    limit: int = Field(100, ge=1, le=1000, description="most jobs of one call, oldest first; ask again while `more` is true")
    dry_run: bool = Field(False, description="only tell which jobs it would be")


class RetrySelection(Selection):
    """What `POST /jobs/retry` takes."""

    state: list[Literal["failed", "partial"]] = Field(default=["failed", "partial"], min_length=1)
    code: str | None = Field(None, max_length=64, description="only jobs with items that failed with this code, and of them only those")
    finished_after: float | None = Field(None, ge=0, description="seconds since the epoch")
    finished_before: float | None = Field(None, ge=0, description="seconds since the epoch")


class CancelSelection(Selection):
    """What `POST /jobs/cancel` takes."""

    state: list[Literal["queued", "running"]] = Field(default=["queued", "running"], min_length=1)


def retry(ledger: Ledger, doorbell: Doorbell, settings: Settings, tenant_id: str, chosen: RetrySelection) -> dict[str, Any]:
    """Queue the failed items of many jobs again: how many matched, the ids that were queued, and those that changed meanwhile."""
    times = {"finished_after": chosen.finished_after, "finished_before": chosen.finished_before}
    found, more = _find(ledger, tenant_id, chosen, list(chosen.state), chosen.code, **times)
    done, skipped = [], []
    for job_id in () if chosen.dry_run else found:
        try:
            submit.retry(ledger, doorbell, settings, tenant_id, job_id, chosen.code)
            done.append(job_id)
        except Failure as failure:
            skipped.append(_skipped(job_id, failure))
    return _told(chosen, found, more, "retried", done, skipped)


def cancel(ledger: Ledger, doorbell: Doorbell, tenant_id: str, chosen: CancelSelection) -> dict[str, Any]:
    """End many jobs: how many matched, the ids that were cancelled, and those that ended meanwhile."""
    found, more = _find(ledger, tenant_id, chosen, list(chosen.state), None)
    done, skipped = [], []
    for job_id in () if chosen.dry_run else found:
        try:
            with ledger.write() as tx:
                settled = changes.cancel(tx, tenant_id, job_id)
            doorbell.ring(ring.of_deliveries(settled.deliveries))
            done.append(job_id)
        except Failure as failure:
            skipped.append(_skipped(job_id, failure))
    return _told(chosen, found, more, "cancelled", done, skipped)


def _find(
    ledger: Ledger, tenant_id: str, chosen: Selection, states: list[str], code: str | None, **times: float | None
) -> tuple[list[str], bool]:
    with ledger.read() as tx:
        found = job_views.find(tx, tenant_id, chosen.limit + 1, states, chosen.kind, chosen.labels, code, **times)
    return found[: chosen.limit], len(found) > chosen.limit


def _skipped(job_id: str, failure: Failure) -> dict[str, str]:
    """Raises the failure again where it is not the job's own: a database that is away must not look like a changed job."""
    if failure.row.retryable or failure.row.status >= 500:
        raise failure
    return {"id": job_id, "code": failure.code}


def _told(chosen: Selection, found: list[str], more: bool, what: str, done: list[str], skipped: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "dry_run": chosen.dry_run,
        "matched": len(found),
        what: len(done),
        "jobs": found if chosen.dry_run else done,
        "skipped": skipped,
        "more": more,
    }
