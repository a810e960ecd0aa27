"""Claims at a fresh ledger and, in turns, at one full of finished and of queued work (a part of `bench.waiting`)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from foundation.clock import SYSTEM
from foundation.settings import DatabaseSettings
from ledger import guards, jobs, line, starting, tenants
from ledger.chunking import ChunkSize
from ledger.migrate import migrate
from ledger.session import Ledger


@dataclass(slots=True)
class Claims:
    """Seconds of each claim: choosing, claiming, ringing for the next, and the commit."""

    empty: list[float] = field(default_factory=list)
    full: list[float] = field(default_factory=list)
    cpu_empty: list[float] = field(default_factory=list)
    cpu_full: list[float] = field(default_factory=list)


def claims(urls: Sequence[str], finished: int, queued: int, count: int) -> Claims:
    """Claims at a fresh ledger and, in turns, at one with so many finished items and so many queued chunks."""
    found = Claims()
    with contextlib.ExitStack() as stack:
        ledgers = [Ledger(url, DatabaseSettings()) for url in urls]
        for ledger in ledgers:
            stack.callback(ledger.close)
            migrate(ledger)
        fill(ledgers[1], finished, queued)
        bells = [_prepared(ledger, count + 20) for ledger in ledgers]
        for number in range(count + 20):
            kept = (found.empty, found.cpu_empty), (found.full, found.cpu_full)
            for ledger, bell, (wall, cpu) in zip(ledgers, bells, kept, strict=True):
                began = time.perf_counter(), time.process_time()
                _claim(ledger, bell)
                if number >= 20:  # the first ones warm caches and plans up
                    wall.append(time.perf_counter() - began[0])
                    cpu.append(time.process_time() - began[1])
    return found


def _prepared(ledger: Ledger, count: int) -> list[str]:
    """A job with enough chunks to be claimed, of a tenant of its own; the first that are rung."""
    with ledger.write() as tx:
        tenant = tenants.add(tx, "claimer")
        new = jobs.NewJob(
            id=SYSTEM.new_id("job"), tenant_id=tenant.id, kind="probe", queue="probe", priority="normal", step=6, input={},
            items=[jobs.NewItem()] * count, size=ChunkSize(1, 10**9, 1),
        )  # fmt: skip
        jobs.add(tx, new)
        return jobs.ring(tx, "probe", 6, 8)


def _claim(ledger: Ledger, bell: list[str]) -> None:
    """What a worker does with a ring."""
    with ledger.write() as tx:
        rung = bell.pop(0)
        chosen = line.choose(tx, rung)
        claimed, ready = (None, []) if chosen is None else starting.start(tx, chosen, rung, "bench", 600, 8)
        bell += [one for one, _, _ in ready]
    if claimed is None:
        raise RuntimeError("a claim that should have succeeded did not")


ITEMS_A_CHUNK, _CHUNKS_A_JOB = 10, 100
_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last})"


def fill(ledger: Ledger, finished: int, queued: int) -> None:
    """Rows of finished jobs (consistent: chunks done, items succeeded, counts right), and of one job that waits."""
    chunks_done = finished // ITEMS_A_CHUNK
    with ledger.write() as tx:
        tenant = tenants.add(tx, "history")
        execute = tx.connection.execute
        for statement in _without_guards(tx.connection.dialect.name):
            execute(text(statement))
        job = (
            "INSERT INTO jobs (id, tenant_id, kind, queue, state, generation, priority, step, input, labels, chunks_made, total, succeeded,"
            " created_at, started_at, finished_at) {numbers} SELECT {values} FROM n"
        )
        per_job = ITEMS_A_CHUNK * _CHUNKS_A_JOB
        same = f"'{tenant.id}', 'probe', 'probe'"
        done = f"'job_done' || i, {same}, 'succeeded', 1, 'normal', 6, '{{}}', '{{}}', {_CHUNKS_A_JOB}, {per_job}, {per_job}, i, i, i"
        execute(text(job.format(numbers=_NUMBERS.format(last=finished // per_job - 1), values=done)))
        wait = (
            f"'job_wait', '{tenant.id}', 'probe', 'probe', 'queued', 1, 'normal', 6, '{{}}', '{{}}', {queued}, {queued}, 0, 1, NULL, NULL"
        )
        execute(text(job.format(numbers=_NUMBERS.format(last=0), values=wait)))
        chunk = (
            "INSERT INTO chunks (id, job_id, ordinal, queue, step, state, attempt, created_at, turn, queued_at, stepped_at, started_at,"
            " finished_at) {numbers} SELECT {values} FROM n"
        )
        of_job = f"'job_done' || (i / {_CHUNKS_A_JOB})"
        done = f"{of_job} || '.' || (i % {_CHUNKS_A_JOB}), {of_job}, i % {_CHUNKS_A_JOB}, 'probe', 6, 'done', 1, i, 0, i, i, i, i"
        execute(text(chunk.format(numbers=_NUMBERS.format(last=chunks_done - 1), values=done)))
        wait = "'job_wait.' || i, 'job_wait', i, 'probe', 6, 'queued', 0, 1, 1000 + i, 1, 1, NULL, NULL"
        execute(text(chunk.format(numbers=_NUMBERS.format(last=queued - 1), values=wait)))
        item = 'INSERT INTO items (job_id, "index", chunk_id, bytes, state, attempts, result, finished_at) {numbers} SELECT {values} FROM n'
        of_job = f"'job_done' || (i / {per_job})"
        done = f"{of_job}, i % {per_job}, {of_job} || '.' || ((i % {per_job}) / {ITEMS_A_CHUNK}), 0, 'succeeded', 1, '{{}}', i"
        execute(text(item.format(numbers=_NUMBERS.format(last=finished - 1), values=done)))
        wait = "'job_wait', i, 'job_wait.' || i, 0, 'pending', 0, NULL, NULL"
        execute(text(item.format(numbers=_NUMBERS.format(last=queued - 1), values=wait)))
        if tx.connection.dialect.name == "postgresql":
            execute(text("SET LOCAL session_replication_role = origin"))
        guards.install(tx.connection)
    with ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))


def _without_guards(dialect: str) -> list[str]:
    """Finished rows are not born so: the guards would refuse them, and are laid down again after."""
    if dialect == "postgresql":
        return ["SET LOCAL session_replication_role = replica"]
    return [f"DROP TRIGGER guard_{table}_birth" for table in ("jobs", "chunks", "items")]
