"""The life of a job in verbs: add, ring, claim, beat, finish, fail, cancel, retry (`repair.py` has those of upkeep).

Each verb is one guarded move inside the caller's transaction; a move that hits no row has been overtaken and is
dropped. Where a verb touches a job and its chunks it locks the job first, so that no two verbs wait for each other.
Verbs that make chunks ready return nothing to publish by themselves: `ring` picks what to publish after the commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, count, islice, repeat
from math import inf
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, func, insert, select, update

from foundation import caller
from foundation.clock import iso
from ledger import audit, json_text, line, places, quotas, settling, telling
from ledger.chunking import ChunkSize, cut
from ledger.prepared import Prepared
from ledger.rows import audit as audit_rows
from ledger.rows import chunks, items, jobs, parts
from ledger.session import Tx
from ledger.settling import Outcome, Settled
from ledger.webhook_rows import deliveries


class NewItem(NamedTuple):
    """One input: a part, or a payload of the kind's own; `bytes` is what it weighs in a chunk."""

    part_id: str | None = None
    payload: dict[str, Any] | None = None
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class NewJob:
    id: str
    tenant_id: str
    kind: str
    queue: str
    priority: str
    step: int
    input: dict[str, Any]
    items: Sequence[NewItem]
    size: ChunkSize
    labels: dict[str, str] = field(default_factory=dict)
    callback_url: str | None = None
    max_concurrency: int | None = None
    run_after: float | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    index: int
    part_id: str | None
    payload: dict[str, Any] | None
    name: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A chunk that is ours until its lease ends. Every later write names `attempt`."""

    chunk_id: str
    attempt: int
    tries: int  # attempts that count: those that were handed back do not
    crashes: int
    job_id: str
    tenant_id: str
    kind: str
    queue: str
    step: int
    input: dict[str, Any]
    items: tuple[ClaimedItem, ...]
    waits_for: str | None = None  # the dependency that failed the attempt before
    deliveries: tuple[str, ...] = ()  # to ring: its job has started


# as text, because a job can have many thousand items: composing each took as long as writing it
_ITEMS_AT_ONCE, _ITEMS_IN_ONE_TEXT = 100, 10_000  # SQLite, PostgreSQL: more bind no faster, and take memory
_ADD_ITEMS = 'INSERT INTO items (job_id, "index", chunk_id, part_id, payload, bytes, state) VALUES '
_ADD_ITEMS_AT_ONCE = """
INSERT INTO items (job_id, "index", chunk_id, part_id, payload, bytes, state)
SELECT %s, %s + at - 1, one->>0, one->>1, (one->>2)::json, (one->>3)::bigint, 'pending'
FROM json_array_elements(%s::json) WITH ORDINALITY AS new(one, at)"""


_ADD, _ADD_CHUNK = Prepared(insert(jobs).returning(*jobs.c)), Prepared(insert(chunks))
_LOCK = Prepared(select(jobs).where(jobs.c.id == bindparam("of")).with_for_update())
_CLAIM = Prepared(
    update(chunks)
    .where(chunks.c.id == bindparam("of"), chunks.c.state == "queued")
    .values(state="running", attempt=chunks.c.attempt + 1, rung_at=None)
    .returning(*(chunks.c[name] for name in ("attempt", "handed_back", "crashes", "queue", "step", "turn", "waits_for")))
)
_BEGIN = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("of"), jobs.c.state == "queued")
    .values(state="running", started_at=func.coalesce(jobs.c.started_at, bindparam("at")))
)
_TO_DO = Prepared(
    select(items.c.index, items.c.part_id, items.c.payload, parts.c.name, parts.c.sha256)
    # the tenant's own alone: a job may name ids of anybody
    .outerjoin(parts, (parts.c.id == items.c.part_id) & (parts.c.tenant_id == bindparam("tenant")) & parts.c.deleted_at.is_(None))
    .where(items.c.chunk_id == bindparam("of"), items.c.state == "pending")
    .order_by(items.c.index)
)
_BEST = (
    select(chunks.c.id)
    .where(
        line.unrung(chunks.c.queue == bindparam("of_queue"), chunks.c.step == bindparam("of_step"), chunks.c.turn >= bindparam("behind"))
    )
    .order_by(chunks.c.turn, chunks.c.created_at, chunks.c.ordinal)
    .limit(bindparam("room"))
    .with_for_update(skip_locked=True)
)
_RING = Prepared(
    update(chunks)
    .where(chunks.c.id.in_(_BEST))
    .values(rings=chunks.c.rings + 1)
    .returning(chunks.c.id, chunks.c.turn, chunks.c.created_at, chunks.c.ordinal)
)


# -- asking ------------------------------------------------------------------------------------------------------------


def add(tx: Tx, job: NewJob) -> tuple[Row[Any], tuple[str, ...]]:
    """Write a job, its chunks and its items: a handful of statements, however many items. Answers its row, and the deliveries to ring.

    Raises QUOTA_EXCEEDED, TENANT_DISABLED."""
    quotas.start_job(tx, job.tenant_id)
    runs = cut([item.bytes for item in job.items], job.size)
    row = _ADD.first(
        tx.connection,
        {
            "id": job.id,
            "tenant_id": job.tenant_id,
            "kind": job.kind,
            "queue": job.queue,
            "state": "queued",
            "generation": 1,
            "priority": job.priority,
            "step": job.step,
            "input": job.input,
            "labels": job.labels,
            "callback_url": job.callback_url,
            "max_concurrency": job.max_concurrency,
            "run_after": job.run_after,
            "deadline": job.deadline,
            "chunks_made": len(runs),
            "total": len(job.items),
            "created_at": tx.now,
            "key_id": caller.current().key_id or None,
        },
    )
    costs = [job.size.share(len(run), sum(job.items[index].bytes for index in run)) for run in runs]
    new = [new_chunk(tx, job, ordinal, job.run_after, beyond(job, ordinal), cost) for ordinal, cost in enumerate(costs)]
    _ADD_CHUNK.each(tx.connection, line.tagged(tx, job, new))
    _add_items(tx, job, runs)
    audit.record(tx, job.tenant_id, "api", "job.accepted", job.id, kind=job.kind, items=len(job.items), chunks=len(runs))
    telling.job(tx, row)
    return row, settling.tell(tx, job.tenant_id, job.id, "accepted")


def _add_items(tx: Tx, job: NewJob, runs: Sequence[range]) -> None:
    chunk_ids = chain.from_iterable(repeat(f"{job.id}.{ordinal}", len(run)) for ordinal, run in enumerate(runs))
    part_ids, payloads, sizes = zip(*job.items, strict=True)
    if tx.connection.dialect.name == "postgresql":
        new = zip(chunk_ids, part_ids, payloads, sizes, strict=True)
        for first in range(0, len(job.items), _ITEMS_IN_ONE_TEXT):
            text = json_text.written(list(islice(new, _ITEMS_IN_ONE_TEXT)))
            tx.connection.exec_driver_sql(_ADD_ITEMS_AT_ONCE, (job.id, first, text))
        return
    told = (payload if payload is None else json_text.written(payload) for payload in payloads)
    rows = zip(repeat(job.id), count(), chunk_ids, part_ids, told, sizes)
    while some := list(islice(rows, _ITEMS_AT_ONCE)):
        places = ", ".join(["(?, ?, ?, ?, ?, ?, 'pending')"] * len(some))
        tx.connection.exec_driver_sql(_ADD_ITEMS + places, tuple(chain.from_iterable(some)))


def new_chunk(
    tx: Tx, job: NewJob | Row[Any], ordinal: int, run_after: float | None = None, held: bool = False, cost: float = 1.0
) -> dict[str, Any]:
    """A chunk beyond the job's `max_concurrency` is held: it waits for a place, not for a time. `line.tagged` gives it its turn."""
    later = run_after is not None and run_after > tx.now
    return {
        "id": f"{job.id}.{ordinal}",
        "job_id": job.id,
        "ordinal": ordinal,
        "queue": job.queue,
        "step": job.step,
        "created_at": tx.now,
        "state": "waiting" if held or later else "queued",
        "run_after": run_after if later and not held else None,
        "crashes": 0,
        "cost": cost,
        "turn": 0.0,
        "queued_at": tx.now,
        "stepped_at": tx.now,
    }


def beyond(job: NewJob | Row[Any], place: int) -> bool:
    return job.max_concurrency is not None and place >= job.max_concurrency


def ring(tx: Tx, queue: str, step: int, window: int) -> list[str]:
    """Mark the chunks of a queue and step whose turn is next after those rung as rung too, so that at most `window` are rung and
    unclaimed. None while the queue is paused."""
    room, last = line.room(tx, queue, step, window)
    if not room:
        return []
    told = {"of_queue": queue, "of_step": step, "behind": -inf if last is None else last, "room": room, "rung_at": tx.now}
    rows = _RING.all(tx.connection, told)
    return [row.id for row in sorted(rows, key=lambda row: (row.turn, row.created_at, row.ordinal))]


# -- doing -------------------------------------------------------------------------------------------------------------


def lock(tx: Tx, chunk_id: str) -> Row[Any] | None:
    """The job of a chunk, locked until the commit."""
    job_id = chunk_id.rpartition(".")[0]
    row: Row[Any] | None = _LOCK.first(tx.connection, {"of": job_id})
    return row


def claim(tx: Tx, chunk_id: str, owner: str, lease_seconds: float, build: str | None = None) -> Claimed | None:
    """Take a queued chunk for this attempt, or None: a double ring, a cancelled or a finished chunk."""
    job = lock(tx, chunk_id)
    if job is None:
        return None
    if job.paused_at is not None:  # its time had come just before
        places.hold(tx, chunks.c.id == chunk_id)
        return None
    taken = {"of": chunk_id, "owner": owner, "engine_build": build, "lease_until": tx.now + lease_seconds, "started_at": tx.now}
    row = _CLAIM.first(tx.connection, taken)
    if row is None:
        return None
    line.serve(tx, row.queue, row.step, row.turn)
    started: tuple[str, ...] = ()
    if job.state == "queued":
        _BEGIN.run(tx.connection, {"of": job.id, "at": tx.now})
        telling.job(tx, job, state="running", started_at=job.started_at or tx.now)
        started = settling.tell(tx, job.tenant_id, job.id, "started")
    return Claimed(
        chunk_id=chunk_id,
        attempt=row.attempt,
        tries=row.attempt - row.handed_back,
        crashes=row.crashes,
        job_id=job.id,
        tenant_id=job.tenant_id,
        kind=job.kind,
        queue=row.queue,
        step=row.step,
        input=job.input,
        items=tuple(ClaimedItem(*each) for each in _TO_DO.all(tx.connection, {"of": chunk_id, "tenant": job.tenant_id})),
        waits_for=row.waits_for,
        deliveries=started,
    )


def ours(chunk_id: str, attempt: int) -> tuple[Any, ...]:
    return (chunks.c.id == chunk_id, chunks.c.attempt == attempt, chunks.c.state == "running")


@cache
def _change(fence: Callable[..., tuple[Any, ...]], handed_back: int = 0) -> Prepared:
    """A change of a chunk that is behind this fence (`ours`), told by `of` and `try`."""
    mine = update(chunks).where(*fence(bindparam("of"), bindparam("try")))
    return Prepared(mine.values(handed_back=chunks.c.handed_back + handed_back) if handed_back else mine)


def beat(tx: Tx, chunk_id: str, attempt: int, lease_seconds: float) -> bool:
    """Extend the lease. False: the chunk is no longer ours (rescued, cancelled), stop working on it."""
    return _change(ours).run(tx.connection, {"of": chunk_id, "try": attempt, "lease_until": tx.now + lease_seconds}) == 1


def _of(claimed: Claimed) -> dict[str, Any]:
    return {"of": claimed.chunk_id, "try": claimed.attempt}


def hand_back(tx: Tx, claimed: Claimed, outcomes: Sequence[Outcome] = ()) -> Settled | None:
    """Keep what is done of a chunk and give the rest back, because this process has to stop: somebody else may start it at once.

    Such an attempt is charged neither as a try nor as a crash. None: a stale attempt; nothing was written."""
    if len(outcomes) == len(claimed.items):
        return finish(tx, claimed, outcomes)
    job = lock(tx, claimed.chunk_id)
    given = {"state": places.again(job), "owner": None, "lease_until": None, "rung_at": None}
    moved = _change(ours, 1).run(tx.connection, _of(claimed) | given)
    if job is None or moved != 1:
        return None
    settling.settle_items(tx, job, claimed.attempt, outcomes)
    audit.record(tx, job.tenant_id, claimed.chunk_id, "chunk.handed_back", job.id, attempt=claimed.attempt, items=len(outcomes))
    return Settled("running")


def finish(tx: Tx, claimed: Claimed, outcomes: Sequence[Outcome]) -> Settled | None:
    """Record every outcome of a chunk and end it. None: a stale attempt; nothing was written."""
    job = lock(tx, claimed.chunk_id)
    done = _change(ours).run(tx.connection, _of(claimed) | {"state": "done", "lease_until": None, "finished_at": tx.now})
    if job is None or done != 1:
        return None
    settling.settle_items(tx, job, claimed.attempt, outcomes)
    audit.record(tx, job.tenant_id, claimed.chunk_id, "chunk.done", job.id, attempt=claimed.attempt, items=len(outcomes))
    places.fill(tx, job)
    return settling.close(tx, job)


def fail(tx: Tx, claimed: Claimed, outcomes: Sequence[Outcome], error: dict[str, Any], retry_at: float | None) -> Settled | None:
    """End an attempt that did not get through: keep its outcomes; the rest waits until `retry_at`, or fails with `error`.

    None: a stale attempt; nothing was written."""
    job = lock(tx, claimed.chunk_id)
    settled = {outcome.index for outcome in outcomes}
    left = [item.index for item in claimed.items if item.index not in settled]
    state = "dead" if retry_at is None else "waiting" if left else "done"
    retry_at = retry_at if left else None  # a chunk without items has nothing to wait for
    end = {"state": state, "lease_until": None, "run_after": retry_at, "rung_at": None, "error": error, "finished_at": tx.now}
    moved = _change(ours).run(tx.connection, _of(claimed) | end)
    if job is None or moved != 1:
        return None
    rest = [Outcome(index, error=error) for index in left] if state == "dead" else []
    settling.settle_items(tx, job, claimed.attempt, [*outcomes, *rest])
    audit.record(
        tx, job.tenant_id, claimed.chunk_id, f"chunk.{state}", job.id,
        outcome=audit.FAILED, attempt=claimed.attempt, code=error["code"], retry_at=iso(retry_at),
    )  # fmt: skip
    places.fill(tx, job)
    return settling.close(tx, job)


def recorded(tx: Tx, claimed: Claimed) -> Settled | None:
    """What an attempt has written whose commit was in doubt, by (chunk, attempt). None: nothing, it was overtaken."""
    ends = ("chunk.done", "chunk.waiting", "chunk.dead", "chunk.handed_back")
    told = select(audit_rows.c.detail, audit_rows.c.number).where(audit_rows.c.actor == claimed.chunk_id, audit_rows.c.action.in_(ends))
    details = (tx.details.told(row.detail, claimed.tenant_id, row.number) for row in tx.execute(told))
    if claimed.attempt not in {detail["attempt"] for detail in details}:
        return None
    owed = select(deliveries.c.id).where(deliveries.c.job_id == claimed.job_id, deliveries.c.state == "owed")
    state = tx.connection.scalar(select(jobs.c.state).where(jobs.c.id == claimed.job_id))
    return Settled(str(state), tuple(tx.execute(owed).scalars()))
