"""Queues as a whole: pause and resume, who serves them, how full they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from foundation.clock import iso
from foundation.errors import Failure
from ledger import audit, line, telling
from ledger.rows import chunks, in_state, queues, workers
from ledger.session import Tx

ALIVE_SECONDS = 30.0
"""A worker that gave no sign of life for so long does not count."""
_FORGOTTEN_SECONDS = 3600.0
_NOT_ENDED = ("queued", "running", "waiting")


def pause(tx: Tx, tenant_id: str, name: str, by: str, reason: str) -> None:
    """Start nothing more of a queue; what runs finishes. Raises QUEUE_PAUSED."""
    values = {"paused_at": tx.now, "paused_by": by, "reason": reason}
    moved = tx.execute(update(queues).where(queues.c.name == name, queues.c.paused_at.is_(None)).values(**values))
    if moved.rowcount != 1:
        if tx.first(select(queues.c.name).where(queues.c.name == name)) is not None:
            raise Failure("QUEUE_PAUSED", {"queue": name})
        tx.execute(insert(queues).values(name=name, **values))
    # Their rings are refused by the claim; after the pause they are rung anew.
    tx.execute(update(chunks).where(chunks.c.queue == name, in_state(chunks, "queued"), chunks.c.rung_at.is_not(None)).values(rung_at=None))
    audit.record(tx, tenant_id, "admin", "queue.paused", name, by=by, reason=reason)
    telling.queue(tx, name, True, reason)


def resume(tx: Tx, tenant_id: str, name: str, by: str) -> None:
    """Let a queue go on; the caller rings. Raises QUEUE_NOT_PAUSED."""
    moved = tx.execute(
        update(queues).where(queues.c.name == name, queues.c.paused_at.is_not(None)).values(paused_at=None, paused_by=None, reason=None)
    )
    if moved.rowcount != 1:
        raise Failure("QUEUE_NOT_PAUSED", {"queue": name})
    audit.record(tx, tenant_id, "admin", "queue.resumed", name, by=by)
    telling.queue(tx, name, False)


def paused(tx: Tx, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Paused queues: since when, by whom and why."""
    rows = tx.execute(select(queues).where(queues.c.name.in_(names), queues.c.paused_at.is_not(None)))
    return {row.name: {"since": iso(row.paused_at), "by": row.paused_by, "reason": row.reason} for row in rows}


# -- workers -----------------------------------------------------------------------------------------------------------


def beat(tx: Tx, name: str, serves: Sequence[str], slots: int) -> None:
    """A worker process lives, serves these queues and can work on so many chunks at once."""
    if tx.execute(update(workers).where(workers.c.name == name).values(beat_at=tx.now, queues=list(serves), slots=slots)).rowcount != 1:
        tx.execute(insert(workers).values(name=name, queues=list(serves), slots=slots, started_at=tx.now, beat_at=tx.now))


def leave(tx: Tx, name: str) -> None:
    """A worker process ends."""
    tx.execute(delete(workers).where(workers.c.name == name))


def forget_workers(tx: Tx) -> int:
    """Forget workers that died without a word."""
    return int(tx.execute(delete(workers).where(workers.c.beat_at < tx.now - _FORGOTTEN_SECONDS)).rowcount)


def slots(tx: Tx) -> dict[str, int]:
    """How many chunks of each queue the workers that are alive can work on at once; queues nobody serves are not in it."""
    found: dict[str, int] = {}
    for row in tx.execute(select(workers.c.queues, workers.c.slots).where(workers.c.beat_at >= tx.now - ALIVE_SECONDS)):
        for name in row.queues:
            found[name] = found.get(name, 0) + row.slots
    return found


# -- seen from outside -------------------------------------------------------------------------------------------------


def view(tx: Tx, names: Sequence[str], priorities: dict[int, str]) -> list[dict[str, Any]]:
    """Each queue as clients see it. `priorities` names the steps."""
    stopped, serving = paused(tx, names), slots(tx)
    found = _lines(tx)
    return [
        {
            "name": name,
            "paused": stopped.get(name),
            "depth": {state: sum(n for (q, _, s), (n, _) in found.items() if (q, s) == (name, state)) for state in _NOT_ENDED},
            "queued_by_priority": {word: found.get((name, step, "queued"), (0, 0))[0] for step, word in priorities.items()},
            "oldest_wait_seconds": round(
                max((tx.now - since for (q, _, s), (_, since) in found.items() if (q, s) == (name, "queued")), default=0.0), 3
            ),
            "workers": serving.get(name, 0),
        }
        for name in names
    ]


def _lines(tx: Tx) -> dict[tuple[str, int, str], tuple[int, float]]:
    """By (queue, step, state): how many chunks, and since when the oldest is queued. One query an index."""
    found: dict[tuple[str, int, str], tuple[int, float]] = {}
    kinds = (
        ("queued", line.unrung()),
        ("queued", line.rung()),
        ("running", in_state(chunks, "running")),
        ("waiting", in_state(chunks, "waiting")),
    )
    for state, condition in kinds:
        grouped = select(chunks.c.queue, chunks.c.step, func.count().label("n"), func.min(chunks.c.queued_at).label("since"))
        for row in tx.execute(grouped.where(condition).group_by(chunks.c.queue, chunks.c.step)):
            n, since = found.get((row.queue, row.step, state), (0, tx.now))
            found[row.queue, row.step, state] = n + row.n, min(since, tx.now if row.since is None else row.since)
    return found
