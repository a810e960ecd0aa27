"""Draws `docs/states.md` from `ledger/states.py`: a picture of each table, and who makes each move. `make docs` writes it."""

from __future__ import annotations

from ledger.states import BIRTH, TABLES, ended
from tests.models.moves import MADE_BY, WHO
from tests.stack import ROOT
from workers.index.failover import MOVES

PAGE = ROOT / "docs" / "states.md"

_HEAD = """# The states, and who moves them

Drawn by `make docs` from `ledger/states.py`, the one table. The database's triggers (`ledger/guards.py`), the Promela models and the
state machine of `tests/models/` are made from the same table; a test fails when this page no longer is. Every other move is refused by
the database itself, whoever asks.

A worker acts for a numbered attempt, and what an attempt that is no longer the current one wants to write is refused.
"""

_WORDS = {
    "jobs": "## A job\n\nOne asking of a task, over when its last item is. Only an explicit retry opens it again, as a new generation.",
    "chunks": "## A chunk\n\nThe slice of a job that one worker claims. `running` to `queued`: its lease ended, or it was handed back.\n"
    "`waiting`: for a time, or for a place within `max_concurrency`; a paused job has no places.\n"
    "`dead`: its items failed with it, or moved to chunks of their own.",
    "items": "## An item\n\nOne input of a job. Its outcome is recorded once in each generation.",
    "deliveries": "## A delivery\n\nOne webhook owed, written in the commit of what it tells of. Those of one job to one receiver leave\n"
    "in order. `dead`: after its last try, or its endpoint was switched off. Only an explicit redelivery opens it again, under the\n"
    "same id.",
    "endpoints": "## An endpoint\n\nAn address that is told of events. `paused`: by its owner; what is owed waits. `off`: its receiver\n"
    "said 410, or accepted nothing for five days; what is owed dies, and can be redelivered.",
}


_ENGINE = """## The fast index of a worker process

From `workers/index/failover.py`, and in the memory of the process alone: the ledger holds what it tells of it. In every state but `healthy`
the exact index answers, and answers say `"engine": "degraded"`. `held`: a recovery by hand runs, so nothing is tried by itself. What
stands in the table and nowhere else is refused; a search that fails in any other state than `healthy` began before and changes nothing.
"""


def page() -> str:
    return "\n".join([_HEAD, *(f"{_WORDS[table]}\n\n{_picture(table)}\n\n{_who(table)}\n" for table in TABLES), _ENGINE, _engine()])


def _engine() -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR", "    [*] --> healthy"]
    moves = [(old, event, new) for old, events in MOVES.items() for event, (new, _) in events.items() if new is not old]
    return "\n".join([*lines, *(f"    {old} --> {new}: {event}" for old, event, new in moves), "```", ""])


def _picture(table: str) -> str:
    lines = ["```mermaid", "stateDiagram-v2", "    direction LR"]
    lines += [f"    [*] --> {state}" for state in sorted(BIRTH[table])]
    lines += [f"    {old} --> {new}" for old, targets in TABLES[table].items() for new in sorted(targets)]
    lines += [f"    {state} --> [*]" for state in ended(table)]
    return "\n".join([*lines, "```"])


def _who(table: str) -> str:
    lines = ["| from | to | by | in the verb |", "|---|---|---|---|"]
    for (of, old, new), verbs in MADE_BY.items():
        if of == table:
            by = ", ".join(dict.fromkeys(WHO[verb] for verb in verbs))
            lines.append(f"| {old or '(new)'} | {new} | {by} | {', '.join(f'`{verb}`' for verb in verbs)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(ROOT)} is drawn")
