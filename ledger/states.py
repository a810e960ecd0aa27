"""The legal moves of an item, a job, a chunk, a delivery and an endpoint of webhooks: tables and nothing else.

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

DELIVERY: Final[Moves] = _moves(
    owed="sending dead",  # dead unsent: its endpoint was switched off
    sending="delivered waiting dead",
    waiting="sending dead",  # likewise
    delivered="owed",  # only by an explicit redelivery
    dead="owed",  # likewise
)

ENDPOINT: Final[Moves] = _moves(
    enabled="paused off",
    paused="enabled off",  # off: what was in flight came back as "gone"
    off="enabled",  # switched off by us; only its owner switches it on again
)

TABLES: Final[dict[str, Moves]] = {"jobs": JOB, "chunks": CHUNK, "items": ITEM, "deliveries": DELIVERY, "endpoints": ENDPOINT}
BIRTH: Final[dict[str, frozenset[str]]] = {
    "jobs": frozenset({"queued"}),
    "chunks": frozenset({"queued", "waiting"}),
    "items": frozenset({"pending"}),
    "deliveries": frozenset({"owed", "dead"}),  # dead: its endpoint is switched off
    "endpoints": frozenset({"enabled", "paused"}),
}

_REOPENED: Final[dict[str, tuple[str, ...]]] = {
    "jobs": ("succeeded", "partial", "failed", "cancelled"),
    "deliveries": ("delivered", "dead"),
}


def ended(table: str) -> tuple[str, ...]:
    """States in which nothing more happens by itself. Jobs and deliveries may leave some of them, but only when asked."""
    if table in _REOPENED:
        return _REOPENED[table]
    return tuple(state for state, targets in TABLES[table].items() if not targets)
