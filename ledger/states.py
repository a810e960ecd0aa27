"""The legal moves of an item, a job, a chunk and a delivery: tables and nothing else.

The database refuses every move that is not here (`guards.py` makes its triggers from these tables).
A state without moves is final.
"""

from __future__ import annotations

from typing import Final

Moves = dict[str, frozenset[str]]


def _moves(**table: str) -> Moves:
    return {state: frozenset(targets.split()) for state, targets in table.items()}


JOB: Final[Moves] = _moves(
    queued="running cancelled",
    running="succeeded partial failed cancelled",
    succeeded="",
    partial="queued",  # only by an explicit retry of the items that failed
    failed="queued",  # likewise
    cancelled="",
)

CHUNK: Final[Moves] = _moves(
    queued="running waiting cancelled",  # waiting: its job was paused
    running="done waiting dead cancelled queued",  # queued again: rescued, its lease ended
    waiting="queued cancelled",  # for its time (run_after), or for a place (max_concurrency; a paused job has none)
    done="",
    dead="",  # its items failed with it, or were moved to chunks of their own
    cancelled="",
)

ITEM: Final[Moves] = _moves(
    pending="succeeded failed cancelled",
    succeeded="",
    failed="pending",  # only by an explicit retry of the job
    cancelled="",
)

DELIVERY: Final[Moves] = _moves(owed="sending", sending="delivered waiting dead", waiting="sending", delivered="", dead="")

TABLES: Final[dict[str, Moves]] = {"jobs": JOB, "chunks": CHUNK, "items": ITEM, "deliveries": DELIVERY}
BIRTH: Final[dict[str, frozenset[str]]] = {
    "jobs": frozenset({"queued"}),
    "chunks": frozenset({"queued", "waiting"}),
    "items": frozenset({"pending"}),
    "deliveries": frozenset({"owed"}),
}


def ended(table: str) -> tuple[str, ...]:
    """States in which nothing more happens by itself. A job may leave failed and partial, but only when asked."""
    if table == "jobs":
        return ("succeeded", "partial", "failed", "cancelled")
    return tuple(state for state, targets in TABLES[table].items() if not targets)
