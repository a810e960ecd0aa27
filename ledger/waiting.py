"""Why a job waits: its place in line, what blocks it, and how long that should take by what was seen lately."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any

from sqlalchemy import Row, func, or_, select

from foundation.clock import iso
from ledger import line, queues
from ledger.rows import chunks, in_state, jobs
from ledger.session import Tx
from ledger.states import ended

_FAR = 10_000  # more chunks than this in front are not counted
_LATELY = 50  # chunks done last, of which the median is taken

Block = dict[str, Any]
"""One reason: `what` (job_paused, queue_paused, no_worker, run_after, retry, max_concurrency, line), a sentence, and its facts."""


@dataclass(frozen=True, slots=True)
class _Chunks:
    """How many chunks of a job are where, and the next that waits for its time."""

    queued: int
    running: int
    held: int
    later: int
    next: Row[Any] | None


def why(tx: Tx, job_id: str) -> dict[str, Any] | None:
    """Why chunks of a job wait. None when none do, or the job has ended.

    `place` is 1 for the job whose turn is next; `estimate_seconds` is until its next chunk starts, None when nobody can know."""
    job = tx.first(select(jobs).where(jobs.c.id == job_id))
    if job is None or job.state in ended("jobs"):
        return None
    where = _chunks(tx, job_id)
    if not (where.queued or where.held or where.later):
        return None
    slots = queues.slots(tx).get(job.queue, 0)
    ahead = _ahead(tx, job) if where.queued else None
    blocks = [*_of_queue(tx, job, slots), *_of_job(tx, job, where), *_of_line(ahead)]
    estimate = (
        None
        if any(block["what"] in ("job_paused", "queue_paused", "no_worker") for block in blocks)
        else _estimate(tx, job, where, ahead, slots)
    )
    sentence = "; ".join(block["sentence"] for block in blocks) or "its turn is next"
    return {
        "place": None if ahead is None else ahead + 1,
        "ahead": ahead,
        "blocked_by": blocks,
        "estimate_seconds": estimate,
        "chunks": {"queued": where.queued, "running": where.running, "held": where.held, "later": where.later},
        "sentence": sentence if estimate is None else f"{sentence}; starts in about {_words(estimate)}",
    }


def _chunks(tx: Tx, job_id: str) -> _Chunks:
    timed = chunks.c.run_after.is_not(None)
    found = {
        (row.state, bool(row.timed)): row.n
        for row in tx.execute(
            select(chunks.c.state, timed.label("timed"), func.count().label("n"))
            .where(chunks.c.job_id == job_id, chunks.c.state.in_(("queued", "running", "waiting")))
            .group_by(chunks.c.state, timed)
        )
    }
    count = {state: sum(n for (name, _), n in found.items() if name == state) for state in ("queued", "running")}
    later = found.get(("waiting", True), 0)
    soonest = select(chunks.c.run_after, chunks.c.attempt, chunks.c.error).where(
        chunks.c.job_id == job_id, in_state(chunks, "waiting"), timed
    )
    first = tx.first(soonest.order_by(chunks.c.run_after).limit(1)) if later else None
    return _Chunks(count["queued"], count["running"], found.get(("waiting", False), 0), later, first)


def _ahead(tx: Tx, job: Row[Any]) -> int | None:
    """Chunks of others that are served before the next one of this job, at most `_FAR`; None if none waits any more.

    On PostgreSQL each statement sees what has been committed meanwhile: a chunk may have started since it was counted."""
    first = tx.first(
        select(chunks.c.step, chunks.c.turn)
        .where(chunks.c.job_id == job.id, chunks.c.state == "queued")
        .order_by(chunks.c.step, chunks.c.turn)
        .limit(1)
    )
    if first is None:
        return None
    better, same = chunks.c.step < first.step, (chunks.c.step == first.step) & (chunks.c.turn < first.turn)
    found = 0
    for condition in (line.unrung(better), line.unrung(same), line.rung(or_(better, same))):
        found += tx.number(
            select(func.count()).select_from(select(chunks.c.id).where(chunks.c.queue == job.queue, condition).limit(_FAR).subquery())
        )
    return min(found, _FAR)


def _of_queue(tx: Tx, job: Row[Any], slots: int) -> list[Block]:
    blocks: list[Block] = []
    stopped = queues.paused(tx, [job.queue]).get(job.queue)
    if stopped is not None:
        told = f"the queue {job.queue} is paused since {stopped['since']}" + (f": {stopped['reason']}" if stopped["reason"] else "")
        blocks.append({"what": "queue_paused", "sentence": told, **stopped})
    if not slots:
        blocks.append({"what": "no_worker", "sentence": f"no worker that serves the queue {job.queue} is alive"})
    return blocks


def _of_job(tx: Tx, job: Row[Any], where: _Chunks) -> list[Block]:
    if job.paused_at is not None:
        since = iso(job.paused_at)
        return [{"what": "job_paused", "sentence": f"the job is paused since {since}; resume it to let it go on", "since": since}]
    blocks: list[Block] = []
    if where.next is not None and not where.queued:
        until = iso(where.next.run_after)
        if where.next.attempt:
            code = (where.next.error or {}).get("code")
            told = f"tried {where.next.attempt} time(s), last {code}; tried again at {until}"
            blocks.append({"what": "retry", "sentence": told, "until": until, "attempts": where.next.attempt, "error": where.next.error})
        else:
            blocks.append({"what": "run_after", "sentence": f"not to be started before {until}", "until": until})
    if where.held and not where.queued:
        told = f"max_concurrency: {where.running + where.later} of at most {job.max_concurrency} chunk(s) under way, {where.held} held"
        blocks.append({"what": "max_concurrency", "sentence": told, "limit": job.max_concurrency, "held": where.held})
    return blocks


def _of_line(ahead: int | None) -> list[Block]:
    if not ahead:
        return []
    count = f"{_FAR:,} or more" if ahead >= _FAR else f"{ahead:,}"
    return [{"what": "line", "sentence": f"behind {count} chunk(s)", "ahead": ahead}]


def _estimate(tx: Tx, job: Row[Any], where: _Chunks, ahead: int | None, slots: int) -> float | None:
    """Seconds until the next chunk of the job starts: median of the chunks done lately, times those ahead, by workers."""
    if ahead is None:
        return None if where.next is None else round(max(0.0, float(where.next.run_after) - tx.now), 1)
    done = (
        select(chunks.c.started_at, chunks.c.finished_at)
        .where(chunks.c.queue == job.queue, in_state(chunks, "done"), chunks.c.finished_at.is_not(None))
        .order_by(chunks.c.finished_at.desc())
        .limit(_LATELY)
    )
    lately = [row.finished_at - row.started_at for row in tx.execute(done) if row.started_at is not None]
    if not lately or ahead >= _FAR:
        return None
    busy = tx.number(select(func.count()).select_from(chunks).where(in_state(chunks, "running"), chunks.c.queue == job.queue))
    seconds: float = median(lately) * (ahead + (busy >= slots)) / slots
    return round(seconds, 1)


def _words(seconds: float) -> str:
    if seconds < 1:
        return "a moment"
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
