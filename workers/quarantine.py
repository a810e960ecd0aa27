"""Before a file reaches the engine: may it? And after it killed the process that read it: remember."""

from __future__ import annotations

from foundation.clock import iso
from foundation.errors import Failure
from foundation.telemetry import EngineCrashed, emit
from ledger import quarantine
from workers.features.extraction import ENGINE_BUILD
from workers.work import Work


def refuse(work: Work, sha256: str) -> None:
    """Raises FILE_QUARANTINED."""
    until = refused(work).get(sha256)
    if until is not None:
        raise Failure("FILE_QUARANTINED", {"sha256": sha256, "engine_build": ENGINE_BUILD, "until": iso(until)})


def refused(work: Work) -> dict[str, float]:
    """Files of the chunk that may not be read, and until when. The ledger is asked once a chunk: one of the same file that began before
    may crash once more."""
    if work.quarantined is None:
        files = sorted({item.sha256 for item in work.claimed.items if item.sha256})
        with work.worker.ledger.read() as tx:
            work.quarantined = quarantine.active(tx, work.claimed.tenant_id, files, ENGINE_BUILD)
    return work.quarantined


def remember(work: Work, sha256: str) -> None:
    """Count a crash, at once and for itself: it happened, whatever becomes of the chunk."""
    seconds = work.worker.settings.queue.quarantine_hours * 3600.0
    claimed = work.claimed
    with work.worker.ledger.write() as tx:
        until = quarantine.crashed(tx, claimed.tenant_id, sha256, ENGINE_BUILD, seconds, claimed.chunk_id, claimed.job_id)
    emit(EngineCrashed(claimed.job_id, sha256, until is not None))
    if until is not None and work.quarantined is not None:
        work.quarantined[sha256] = until
