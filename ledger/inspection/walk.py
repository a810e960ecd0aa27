"""Walks the tables in bites, so that a million items neither fill the memory nor hold a transaction, and mends one finding at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import exists, or_, select, tuple_

from ledger import audit, jobs
from ledger.files import FileStore
from ledger.inspection.findings import Finding, Patience
from ledger.inspection.jobs import commits_in_the_trail, ends_in_the_trail
from ledger.inspection.rules import JOB_QUESTIONS, RULES
from ledger.parts import in_bites
from ledger.rows import chunks, idempotency, parts, vectors
from ledger.rows import jobs as job_rows
from ledger.session import Ledger, Tx
from ledger.trail import reading
from ledger.trail.reading import Wanted
from ledger.webhook_rows import deliveries

_JOBS, _ITEMS, _ROWS = 500, 20_000, 5_000  # a bite ends with the first of the two


def over_jobs(ledger: Ledger, patience: Patience, since: float | None) -> Iterator[tuple[int, int, list[Finding]]]:
    """Every job with what hangs on it, or those that live or ended since a time. Bites of (jobs, items, findings)."""
    after = ""
    while True:
        query = select(job_rows.c.id, job_rows.c.total).where(job_rows.c.id > after).order_by(job_rows.c.id).limit(_JOBS)
        if since is not None:
            query = query.where(or_(job_rows.c.finished_at.is_(None), job_rows.c.finished_at >= since))
        with ledger.read() as tx:
            rows = tx.execute(query).all()
        if not rows:
            return
        bite: list[str] = []
        items = 0
        for row in rows:
            bite.append(row.id)
            items += row.total
            if items >= _ITEMS:
                break
        after = bite[-1]
        found: list[Finding] = []
        for question in JOB_QUESTIONS:
            with ledger.read() as tx:
                found += question(tx, bite, patience)
        yield len(bite), items, found


def over_trail(ledger: Ledger, since: float | None) -> list[Finding]:
    """The ends that the audit trail tells, beside the jobs: two scans of the trail, or of what came since a time."""
    with ledger.read() as tx:
        after = 0 if since is None else reading.before(tx, Wanted(None), since)
    with ledger.read() as tx:
        found = list(ends_in_the_trail(tx, None, after))
    with ledger.read() as tx:
        return [*found, *commits_in_the_trail(tx, after)]


def over_keys(ledger: Ledger) -> list[Finding]:
    tied = exists().where(job_rows.c.id == idempotency.c.job_id)
    query = select(idempotency.c.tenant_id, idempotency.c.key, idempotency.c.job_id).where(idempotency.c.job_id.is_not(None), ~tied)
    with ledger.read() as tx:
        return [Finding("key_of_no_job", row.key, row.job_id, {"tenant_id": row.tenant_id}) for row in tx.execute(query.limit(_ROWS))]


def over_vectors(ledger: Ledger) -> Iterator[tuple[int, list[Finding]]]:
    """Vectors of files that no part of the tenant names, not even a deleted one. Bites of (vectors, findings)."""
    named = exists().where(parts.c.tenant_id == vectors.c.tenant_id, parts.c.sha256 == vectors.c.sha256)
    after = ("", "")
    while True:
        place = tuple_(vectors.c.tenant_id, vectors.c.sha256)
        query = (
            select(vectors.c.tenant_id, vectors.c.sha256, named.label("named"))
            .where(place > after)
            .distinct()
            .order_by(vectors.c.tenant_id, vectors.c.sha256)
            .limit(_ROWS)
        )
        with ledger.read() as tx:
            rows = tx.execute(query).all()
        if not rows:
            return
        after = (rows[-1].tenant_id, rows[-1].sha256)
        yield len(rows), [Finding("vector_of_no_part", row.sha256, detail={"tenant_id": row.tenant_id}) for row in rows if not row.named]


def unknown(ledger: Ledger, ids: Sequence[str]) -> list[str]:
    """Those of these ids of rings that are neither a chunk nor a delivery."""
    with ledger.read() as tx:
        known = {row.id for row in in_bites(tx, ids, lambda bite: select(chunks.c.id).where(chunks.c.id.in_(bite)))}
        known |= {row.id for row in in_bites(tx, ids, lambda bite: select(deliveries.c.id).where(deliveries.c.id.in_(bite)))}
    return [one for one in ids if one not in known]


def mend(ledger: Ledger, store: FileStore | None, finding: Finding, patience: Patience) -> bool:
    """Look again under the lock, repair by legal moves, write it into the audit trail. False: it was in flight, or is left to a person."""
    rule = RULES[finding.kind]
    if rule.mend_disk is not None and store is not None:
        mended = rule.mend_disk(ledger, store, finding, patience)
        if mended:
            with ledger.write() as tx:
                record(tx, "", finding)
        return mended
    with ledger.write() as tx:
        if rule.mend_row is not None:
            mended = rule.mend_row(tx, finding)
            tenant_id = str(finding.detail.get("tenant_id", ""))
        elif rule.mend_job is not None and rule.find is not None and finding.job_id is not None:
            job = jobs.lock(tx, f"{finding.job_id}.")
            now = [one for one in rule.find(tx, [finding.job_id], patience) if (one.kind, one.subject) == (finding.kind, finding.subject)]
            if job is None or not now:
                return False
            mended, tenant_id = rule.mend_job(tx, job, now[0], patience), job.tenant_id
        else:
            return False
        if mended:
            record(tx, tenant_id, finding)
        return mended


def record(tx: Tx, tenant_id: str, finding: Finding) -> None:
    audit.record(tx, tenant_id, "doctor", f"mended.{finding.kind}", finding.job_id or finding.subject, of=finding.subject)
