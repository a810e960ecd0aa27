"""Undo a migration: one request, in transactions of some milliseconds between which others write."""

from __future__ import annotations

from typing import Any

from foundation.settings import Settings
from ledger import job_views, superseded
from ledger.session import Ledger
from ledger.superseded import PutBack

_PAUSE_SECONDS = 0.005  # SQLite gives the writer's place to whoever asks while it is free


def rollback(ledger: Ledger, settings: Settings, tenant_id: str, job_id: str, keep_changed: bool = False) -> dict[str, Any]:
    """Put the vectors of a tenant back to what they were before a migration, byte for byte; the job, with how many.

    Vectors that another job has written since make it refuse, or stay as they are with `keep_changed` (and if they are written while it
    is at work). Repeating it is harmless, and goes on where a broken one stopped. Raises JOB_NOT_FOUND, JOB_NOT_MIGRATION, JOB_NOT_ENDED,
    ROLLBACK_EXPIRED, ROLLBACK_CONFLICT.
    """
    if not keep_changed:
        with ledger.read() as tx:
            superseded.refuse_changed(tx, tenant_id, job_id)
    with ledger.write() as tx:
        superseded.begin(tx, tenant_id, job_id, settings.retention.rollback_days)
    done = PutBack()
    while True:
        with ledger.write() as tx:
            bite = superseded.put_back(tx, tenant_id, job_id)
        if bite is None:
            break
        done += bite
        ledger.clock.sleep(_PAUSE_SECONDS)
    with ledger.read() as tx:
        job = job_views.get(tx, tenant_id, job_id)
    return job | {"rollback": {"restored": done.restored, "removed": done.removed, "kept": done.kept}}
