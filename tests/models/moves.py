"""Who makes each move of `ledger/states.py`, in which verb. The state machine watches that no verb does anything else."""

from __future__ import annotations

from typing import Final

from ledger.states import BIRTH, TABLES

Move = tuple[str, str, str]  # table, old state, new state; the old state of a birth is ""

WHO: Final[dict[str, str]] = {
    "jobs.add": "the API",
    "jobs.claim": "a worker",
    "jobs.finish": "a worker",
    "jobs.fail": "a worker",
    "jobs.hand_back": "a worker",
    "repair.rescue": "upkeep",
    "repair.due": "upkeep",
    "repair.expire": "upkeep",
    "changes.cancel": "a user",
    "changes.retry": "a user",
    "changes.pause": "a user",
    "changes.resume": "a user",
    "outbox.claim": "a courier",
    "outbox.settle": "a courier",
    "outbox.rescue": "upkeep",
    "outbox.bury": "upkeep",
    "delivery_views.redeliver": "a user",
    "delivery_views.redeliver_range": "a user",
    "endpoints.add": "a user",
    "endpoints.pause": "a user",
    "endpoints.enable": "a user",
    "endpoints.test": "a user",
    "endpoints.judged": "a courier",
}

_HAPPENS = "jobs.add jobs.claim jobs.finish jobs.fail jobs.hand_back repair.rescue repair.expire changes.cancel changes.retry"
_TABLE = f"""
jobs        -         queued     jobs.add
jobs        queued    running    jobs.claim repair.expire
jobs        queued    cancelled  changes.cancel
jobs        running   succeeded  jobs.finish jobs.fail jobs.hand_back
jobs        running   partial    jobs.finish jobs.fail jobs.hand_back repair.rescue repair.expire
jobs        running   failed     jobs.finish jobs.fail jobs.hand_back repair.rescue repair.expire
jobs        running   cancelled  changes.cancel
jobs        partial   queued     changes.retry
jobs        failed    queued     changes.retry
chunks      -         queued     jobs.add repair.rescue changes.retry
chunks      -         waiting    jobs.add repair.rescue changes.retry
chunks      queued    running    jobs.claim
chunks      queued    waiting    changes.pause jobs.claim
chunks      queued    cancelled  changes.cancel repair.expire
chunks      running   done       jobs.finish jobs.fail jobs.hand_back
chunks      running   waiting    jobs.fail jobs.hand_back repair.rescue
chunks      running   dead       jobs.fail repair.rescue
chunks      running   cancelled  changes.cancel repair.expire
chunks      running   queued     repair.rescue jobs.hand_back
chunks      waiting   queued     repair.due jobs.finish jobs.fail jobs.hand_back repair.rescue changes.resume
chunks      waiting   cancelled  changes.cancel repair.expire
items       -         pending    jobs.add
items       pending   succeeded  jobs.finish jobs.fail jobs.hand_back
items       pending   failed     jobs.finish jobs.fail jobs.hand_back repair.rescue repair.expire
items       pending   cancelled  changes.cancel
items       failed    pending    changes.retry
deliveries  -         owed       {_HAPPENS} endpoints.test endpoints.judged
deliveries  -         dead       {_HAPPENS} endpoints.judged
deliveries  owed      sending    outbox.claim
deliveries  sending   delivered  outbox.settle
deliveries  sending   waiting    outbox.settle outbox.rescue
deliveries  sending   dead       outbox.settle
deliveries  waiting   sending    outbox.claim
deliveries  owed      dead       endpoints.judged outbox.bury
deliveries  waiting   dead       endpoints.judged outbox.bury
deliveries  delivered owed       delivery_views.redeliver delivery_views.redeliver_range
deliveries  dead      owed       delivery_views.redeliver delivery_views.redeliver_range endpoints.enable
endpoints   -         enabled    endpoints.add
endpoints   -         paused     endpoints.add
endpoints   enabled   paused     endpoints.pause
endpoints   enabled   off        endpoints.judged
endpoints   paused    enabled    endpoints.enable
endpoints   paused    off        endpoints.judged
endpoints   off       enabled    endpoints.enable
"""

MADE_BY: Final[dict[Move, tuple[str, ...]]] = {
    (table, old.strip("-"), new): tuple(verbs) for table, old, new, *verbs in map(str.split, _TABLE.strip().splitlines())
}

LEGAL: Final[frozenset[Move]] = frozenset(
    [(table, old, new) for table, moves in TABLES.items() for old, targets in moves.items() for new in targets]
    + [(table, "", born) for table, states in BIRTH.items() for born in states]
)
