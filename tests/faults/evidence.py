"""What the ledger says about a job after a fault: whether every item ended once, and whether the fault bit at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from ledger import rows
from ledger.session import Ledger
from tests.stack import ENDED, Stack


@dataclass(frozen=True, slots=True)
class Evidence:
    """The database of a stack, read past the API."""

    ledger: Ledger

    def trail(self, job_id: str, action: str) -> list[Row[Any]]:
        """The audit rows of a job that tell of one action."""
        chosen = select(rows.audit).where(rows.audit.c.subject == job_id, rows.audit.c.action == action).order_by(rows.audit.c.seq)
        with self.ledger.read() as tx:
            return list(tx.execute(chosen))

    def chunks(self, job_id: str, state: str | None = None) -> list[Row[Any]]:
        chosen = select(rows.chunks).where(rows.chunks.c.job_id == job_id).order_by(rows.chunks.c.ordinal)
        with self.ledger.read() as tx:
            return [row for row in tx.execute(chosen) if state in (None, row.state)]

    def job_state(self, job_id: str) -> str:
        with self.ledger.read() as tx:
            return str(tx.execute(select(rows.jobs.c.state).where(rows.jobs.c.id == job_id)).scalar_one())

    def most_rings(self, job_id: str) -> int:
        return max(int(chunk.rings) for chunk in self.chunks(job_id))

    def jobs(self) -> list[str]:
        with self.ledger.read() as tx:
            return list(tx.execute(select(rows.jobs.c.id).order_by(rows.jobs.c.created_at)).scalars())

    def upkeep_owner(self) -> str:
        """The process that mends at present: "host:pid"."""
        with self.ledger.read() as tx:
            return str(tx.execute(select(rows.leases.c.owner).where(rows.leases.c.name == "upkeep")).scalar_one_or_none() or "")

    def no_lock_is_held(self, job_id: str) -> bool:
        """Whether a writer gets through to this job at once."""
        try:
            with self.ledger.write() as tx:
                tx.execute(select(rows.jobs.c.id).where(rows.jobs.c.id == job_id).with_for_update(nowait=True))
        except Exception as error:
            if type(error).__name__ == "Failure":
                return False
            raise
        return True


def check_each_item_ended_once(stack: Stack, evidence: Evidence, job_id: str, **expected: int) -> list[dict[str, Any]]:
    """The oracle of this folder. `expected`: how many items ended in which state. Answers the items."""
    job, items = stack.job(job_id), stack.items(job_id)
    assert [item["index"] for item in items] == list(range(job["counts"]["total"]))
    assert Counter(item["state"] for item in items) == Counter(expected)
    assert job["counts"] == {"succeeded": 0, "failed": 0, "cancelled": 0, "pending": 0} | expected | {"total": len(items)}
    ends = [row for state in ENDED for row in evidence.trail(job_id, f"job.{state}")]
    assert [row.action for row in ends] == [f"job.{job['state']}"]
    done = evidence.trail(job_id, "chunk.done")
    assert len({row.actor for row in done}) == len(done), "a chunk was committed twice"
    assert all(chunk.state in ("done", "dead", "cancelled") for chunk in evidence.chunks(job_id))
    by_chunks = sum(row.detail["items"] for row in [*done, *evidence.trail(job_id, "chunk.handed_back")])
    elsewhere = sum(1 for item in items if item["state"] == "cancelled" or (item["error"] or {}).get("code") == "ENGINE_CRASH")
    assert by_chunks + elsewhere == len(items), "commits and items do not add up"
    for item in items:
        if item["state"] == "succeeded":
            # The probe tells which attempt computed the result: it must be the one that was allowed to write it.
            assert item["result"]["index"] == item["index"]
            assert item["result"]["attempt"] == item["attempts"]
    return items
