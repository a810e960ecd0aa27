"""What the processes of a campaign carry in addition to the product: armed points, a ledger of executions, and mutations.

Only the entry modules beside this file call `prepare`, from variables that no setting of the product knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ledger import jobs, outbox, repair
from ledger.rows import chunks
from tests.faults import points
from tests.faults.points import Armoury, note

DIRECTORY, ROLE, MUTATION = "CAMPAIGN_DIRECTORY", "CAMPAIGN_ROLE", "CAMPAIGN_MUTATION"
EXECUTIONS = "executions.log"


def prepare() -> None:
    """Wrap this process as its role, folder and mutation say. Raises KeyError where it is not a campaign's process."""
    folder, role = Path(os.environ[DIRECTORY]), os.environ[ROLE]
    points.install(Armoury(folder), role)
    if role == "compute":
        _write_down_executions(folder / EXECUTIONS)
    mutation = os.environ.get(MUTATION)
    if mutation:
        MUTATIONS[mutation]()


def _write_down_executions(log: Path) -> None:
    """Each start of work on an item is one line: job, index, chunk, attempt."""
    from workers.work import Work

    each = Work.each

    def counted(self: Work, do: Callable[[Any], dict[str, Any]]) -> None:
        def noted(item: Any) -> dict[str, Any]:
            note(log, f"{self.claimed.job_id} {item.index} {self.claimed.chunk_id} {self.claimed.attempt}")
            return do(item)

        each(self, noted)

    Work.each = counted  # type: ignore[method-assign]


def _no_fence() -> None:
    """Every write of a worker is let through, also that of an attempt before the last."""
    jobs.ours = lambda chunk_id, attempt: (chunks.c.id == chunk_id, chunks.c.attempt >= attempt, chunks.c.state == "running")


def _no_rering() -> None:
    """Lost rings stay lost."""
    repair.rering = lambda tx, chunk_ids: []
    outbox.rering = lambda tx, delivery_ids: []


def _no_split() -> None:
    """A chunk that keeps killing its process is given back whole."""
    repair.SPLIT_AFTER = 1_000_000


def _no_asking() -> None:
    """A commit that was told failed counts as failed."""
    from ledger import commits

    commits.was_done = lambda engine, named, clock, patience: False


MUTATIONS: dict[str, Callable[[], None]] = {"fence": _no_fence, "rering": _no_rering, "split": _no_split, "asking": _no_asking}
