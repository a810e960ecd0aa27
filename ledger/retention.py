"""What is let go with time: ended jobs, their chunks and results, runs of schedules, messages, files that no part names.

Every verb takes a bite, a transaction of some milliseconds, so that no claim waits for it: on SQLite the writer's place is
free between two bites, on PostgreSQL rows that somebody else holds are skipped. A verb answers None when nothing is left.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, or_, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger import epochs
from ledger.files import FileStore
from ledger.parts import in_bites
from ledger.rows import chunks, files, idempotency, items, jobs, parts, quarantine, schedule_slots
from ledger.session import Ledger, Tx
from ledger.states import ended
from ledger.vector_rows import superseded
from ledger.webhook_rows import deliveries

_ROWS = 500  # of a bite
_SUPERSEDED = 300  # of a bite: an IN list of three values each
_JOBS = 50  # of a bite: each takes deliveries and tries along


def hide_jobs(tx: Tx, ended_before: Mapping[str, float]) -> int | None:
    """Take jobs that ended before the time of their state out of sight; from here on nobody can retry them."""
    old = or_(*(and_(jobs.c.state == state, jobs.c.finished_at < before) for state, before in ended_before.items()))
    # finished_at has the index: its latest cut-off bounds what is looked at
    bound = jobs.c.finished_at < max(ended_before.values())
    chosen = _free(select(jobs.c.id).where(bound, old, jobs.c.pruned_at.is_(None)).limit(_ROWS))
    return _count(tx, update(jobs).where(jobs.c.id.in_(chosen)).values(pruned_at=tx.now)) or None


def drop_items(tx: Tx) -> int | None:
    """Items of hidden jobs."""
    hidden = select(jobs.c.id).where(jobs.c.pruned_at.is_not(None))
    chosen = select(items.c.job_id, items.c.index).where(items.c.job_id.in_(hidden)).limit(_ROWS)
    gone = 0
    for job_id, indexes in _by_job(tx.execute(chosen)).items():
        gone += _count(tx, delete(items).where(items.c.job_id == job_id, items.c.index.in_(indexes)))
    return gone or None


def _by_job(rows: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for job_id, index in rows:
        found.setdefault(job_id, []).append(index)
    return found


def drop_superseded(tx: Tx, ended_before: float) -> int | None:
    """What migrations that ended before a time, or are hidden, had replaced: they cannot be rolled back any more."""
    kept = exists().where(superseded.c.job_id == jobs.c.id)
    over = or_(jobs.c.finished_at < ended_before, jobs.c.pruned_at.is_not(None))
    job_id = tx.connection.scalar(_free(select(jobs.c.id).where(jobs.c.kind == "migration", over, kept).limit(1)))
    if job_id is None:
        return None
    key = tuple_(superseded.c.sha256, superseded.c.feature_version, superseded.c.engine_build)
    chosen = tx.execute(select(*key.clauses).where(superseded.c.job_id == job_id).limit(_SUPERSEDED)).all()
    return _count(tx, delete(superseded).where(superseded.c.job_id == job_id, key.in_([tuple(row) for row in chosen])))


def drop_jobs(tx: Tx) -> int | None:
    """Hidden jobs without items, with their deliveries."""
    empty = ~exists().where(items.c.job_id == jobs.c.id)
    chosen = _free(select(jobs.c.id).where(jobs.c.pruned_at.is_not(None), empty).limit(_JOBS))
    return _count(tx, delete(jobs).where(jobs.c.id.in_(chosen))) or None


def drop_chunks(tx: Tx, ended_before: float) -> int | None:
    """Chunks of jobs that ended before a time: the table that claims, rings and beats touch holds live work.

    Nothing else needs them: results are with the items, `jobs.chunks_made` numbers those of a retry."""
    job = exists().where(jobs.c.id == chunks.c.job_id, jobs.c.state.in_(ended("jobs")), jobs.c.finished_at < ended_before)
    chosen = _free(select(chunks.c.id).where(chunks.c.state.in_(ended("chunks")), job).limit(_ROWS))
    return _count(tx, delete(chunks).where(chunks.c.id.in_(chosen))) or None


def empty_results(tx: Tx, ended_before: float) -> int | None:
    """Results of items of a job that ended before a time; the job tells when its results went. None: nothing is left."""
    old = (jobs.c.finished_at < ended_before, jobs.c.state.in_(ended("jobs")), jobs.c.results_pruned_at.is_(None))
    job_id = tx.connection.scalar(_free(select(jobs.c.id).where(*old).order_by(jobs.c.finished_at).limit(1)))
    if job_id is None:
        return None
    full = select(items.c.index).where(items.c.job_id == job_id, items.c.result.is_not(None)).limit(_ROWS)
    indexes = list(tx.execute(full).scalars())
    if len(indexes) < _ROWS:
        tx.execute(update(jobs).where(jobs.c.id == job_id, *old).values(results_pruned_at=tx.now))
    return _count(tx, update(items).where(items.c.job_id == job_id, items.c.index.in_(indexes)).values(result=None))


def drop_deliveries(tx: Tx, before: float) -> int | None:
    """Messages that tell of no job, with their tries; those of a job go with it."""
    chosen = select(deliveries.c.id).where(deliveries.c.job_id.is_(None), deliveries.c.created_at < before).limit(_ROWS)
    return _count(tx, delete(deliveries).where(deliveries.c.id.in_(_free(chosen)))) or None


def drop_slots(tx: Tx, before: float) -> int | None:
    """Runs of schedules."""
    key = (schedule_slots.c.schedule_id, schedule_slots.c.slot, schedule_slots.c.asked_by)
    gone = 0
    for row in tx.execute(select(*key).where(schedule_slots.c.at < before).limit(_ROWS)).all():
        gone += _count(tx, delete(schedule_slots).where(*(column == value for column, value in zip(key, row, strict=True))))
    return gone or None


def drop_keys(tx: Tx, before: float) -> int | None:
    """Idempotency-Keys."""
    return _count(tx, delete(idempotency).where(idempotency.c.created_at < before)) or None


def sweep_files(ledger: Ledger, store: FileStore, before: float, folder: int, limit: int = 1000) -> int:
    """Remove files whose last part was deleted before a time, with vectors and previews;
    and bytes in one of the 256 folders that never became a file.

    An upload of the same bytes may come at any moment. Whoever removes and whoever uploads hold the file's row until their
    commit, so one sees the other: the bytes go aside within the removing transaction, and an upload that finds its bytes
    aside puts them back (`FileStore.must_hold`). They are gone for good a day later. A death in between is put right first.
    """
    with ledger.read() as tx:
        for sha256 in _known(tx, store.aside()):
            store.must_hold(sha256)
        deleted = select(parts.c.sha256).where(parts.c.deleted_at < before, ~_wanted(parts.c.sha256, before)).distinct().limit(limit)
        unwanted = list(tx.execute(deleted).scalars())
        old = store.old(before, folder)
        strays = sorted(set(old) - _known(tx, old))[:limit]
    gone = sum(_remove(ledger, store, sha256, before) for sha256 in unwanted)
    gone += sum(remove_stray(ledger, store, sha256, before) for sha256 in strays)
    store.empty_aside()
    return gone


def _known(tx: Tx, sha256s: Sequence[str]) -> set[str]:
    return {row.sha256 for row in in_bites(tx, sha256s, lambda bite: select(files.c.sha256).where(files.c.sha256.in_(bite)))}


def _wanted(sha256: Any, before: float) -> ColumnElement[bool]:
    """Whether a part names the file, or did until a moment ago: running work may still read it."""
    other = parts.alias()
    return exists().where(other.c.sha256 == sha256, or_(other.c.deleted_at.is_(None), other.c.deleted_at >= before))


def _remove(ledger: Ledger, store: FileStore, sha256: str, before: float) -> bool:
    with ledger.write() as tx:
        row = tx.first(select(files.c.sha256).where(files.c.sha256 == sha256).with_for_update(skip_locked=True))
        if row is None or tx.connection.scalar(select(_wanted(sha256, before))):
            return False
        tx.execute(delete(superseded).where(superseded.c.sha256 == sha256))
        tx.execute(delete(quarantine).where(quarantine.c.sha256 == sha256))
        tx.execute(delete(parts).where(parts.c.sha256 == sha256))
        epochs.remove_file(tx, sha256)
        tx.execute(delete(files).where(files.c.sha256 == sha256))
        store.put_aside(sha256)
    return True


def remove_stray(ledger: Ledger, store: FileStore, sha256: str, before: float) -> bool:
    """Put bytes aside that no row names and nobody has uploaded since a time: their upload died before its commit.

    Taking their row for a moment is the lock that an upload waits for. False: somebody wants them, or they are gone."""
    dialect = postgresql if ledger.engine.dialect.name == "postgresql" else sqlite
    with ledger.write() as tx:
        row = {"sha256": sha256, "bytes": 0, "format": "", "created_at": tx.now}
        taken = dialect.insert(files).values(row).on_conflict_do_nothing(index_elements=["sha256"]).returning(files.c.sha256)
        if tx.first(taken) is None:
            return False
        tx.execute(delete(files).where(files.c.sha256 == sha256))
        old = store.is_old(sha256, before)
        if old:
            store.put_aside(sha256)
    return old


def _free(query: Any) -> Any:
    return query.with_for_update(skip_locked=True)


def _count(tx: Tx, statement: Any) -> int:
    return int(tx.execute(statement).rowcount)
