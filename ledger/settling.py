"""How items end, and with the last of them their job: recorded, added up, and told to whoever wants to know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, bindparam, case, literal, select, update

from ledger import audit, json_text, outbox, telling
from ledger.job_views import view
from ledger.prepared import Prepared
from ledger.rows import items, jobs
from ledger.session import Tx


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one item: exactly one of `result` and `error`; and what it adds to the summary of its job."""

    index: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    tally: Mapping[str, float] = field(default_factory=dict)

    @property
    def state(self) -> str:
        return "failed" if self.error else "succeeded"


@dataclass(frozen=True, slots=True)
class Settled:
    """What a finish led to: the deliveries to ring, and the job's state if it ended."""

    job_state: str
    deliveries: tuple[str, ...] = ()


_ITEM = Prepared(
    update(items)
    .where(items.c.job_id == bindparam("of"), items.c.index == bindparam("i"), items.c.state == "pending")
    .values(
        state=bindparam("s"), attempts=bindparam("a"), error=bindparam("e"), result=bindparam("r"), finished_at=bindparam("at"),
    )
)  # fmt: skip
_COUNTED = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("of"))
    .values(succeeded=jobs.c.succeeded + bindparam("good"), failed=jobs.c.failed + bindparam("bad"))
)
_ENDED = Prepared(
    update(jobs)
    .where(jobs.c.id == bindparam("of"), jobs.c.state == "running")
    .where(jobs.c.total - jobs.c.succeeded - jobs.c.failed - jobs.c.cancelled == 0)
    .values(state=case((jobs.c.failed == 0, literal("succeeded")), (jobs.c.succeeded == 0, literal("failed")), else_=literal("partial")))
    .returning(*jobs.c)
)
_JOB = Prepared(select(jobs).where(jobs.c.id == bindparam("of")))


# PostgreSQL: one statement for a chunk; its driver takes eight times as long for arrays as for one text. The job stands in the subquery
# (which OFFSET keeps one): where the planner knows of no row of a new job it would look through the whole text for each item of that.
_ITEMS_AT_ONCE = """
UPDATE items SET state = new.state, attempts = %s, error = new.error, result = new.result, finished_at = %s
FROM (
    SELECT %s::text AS job_id, (one->>0)::int AS at, one->>1 AS state, (one->>2)::json AS error, (one->>3)::json AS result
    FROM json_array_elements(%s::json) AS all_of_them(one) OFFSET 0
) AS new
WHERE items.job_id = new.job_id AND items."index" = new.at AND items.state = 'pending'"""


def settle_items(tx: Tx, job: Row[Any], attempt: int, outcomes: Sequence[Outcome]) -> None:
    if not outcomes:
        return
    _settle_each(tx, job.id, attempt, outcomes)
    bad = sum(1 for outcome in outcomes if outcome.error)
    summary = added_up(job.summary, outcomes)
    counted = {"of": job.id, "good": len(outcomes) - bad, "bad": bad}
    _COUNTED.run(tx.connection, counted if summary == job.summary else {**counted, "summary": summary})
    failed = [(outcome.index, outcome.error) for outcome in outcomes if outcome.error]
    telling.progress(tx, job, failed, succeeded=job.succeeded + len(outcomes) - bad, failed=job.failed + bad)


def _settle_each(tx: Tx, job_id: str, attempt: int, outcomes: Sequence[Outcome]) -> None:
    if tx.connection.dialect.name != "postgresql":
        common = {"of": job_id, "a": attempt, "at": tx.now}
        told = [{"i": one.index, "s": one.state, "e": one.error, "r": one.result, **common} for one in outcomes]
        _ITEM.each(tx.connection, told)
        return
    new = json_text.written([(one.index, one.state, one.error, one.result) for one in outcomes])
    tx.connection.exec_driver_sql(_ITEMS_AT_ONCE, (attempt, tx.now, job_id, new))


def added_up(summary: dict[str, float] | None, outcomes: Sequence[Outcome]) -> dict[str, float] | None:
    """The summary of a job, whose row is locked, with what these outcomes add to it."""
    new = dict(summary or {})
    for outcome in outcomes:
        for name, amount in outcome.tally.items():
            new[name] = round(new.get(name, 0) + amount, 6)
    return new or None


def close(tx: Tx, job: Row[Any]) -> Settled:
    """End the job when its last item has ended, and owe its webhook."""
    row = _ENDED.first(tx.connection, {"of": job.id, "finished_at": tx.now, "paused_at": None})
    return Settled("running") if row is None else announce(tx, row)


def announce(tx: Tx, job: Row[Any]) -> Settled:
    """Tell of the end of a job: in the audit trail, by its callback if it has one, and to the endpoints that want it."""
    record_end(tx, job, "ledger")
    telling.job(tx, job)
    return Settled(job.state, outbox.tell(tx, job.tenant_id, f"job.{job.state}", lambda: view(job), job.id, job.callback_url))


def record_end(tx: Tx, job: Row[Any], actor: str, **more: Any) -> None:
    """The line of the trail that tells of the end of a job."""
    counts = {"succeeded": job.succeeded, "failed": job.failed, "cancelled": job.cancelled}
    outcome = audit.FAILED if job.state == "failed" else audit.DONE
    audit.record(tx, job.tenant_id, actor, f"job.{job.state}", job.id, outcome=outcome, **more, **counts)


def tell(tx: Tx, tenant_id: str, job_id: str, event: str) -> tuple[str, ...]:
    """Tell the endpoints that want it how a job goes on. Answers the deliveries to ring."""
    return outbox.tell(tx, tenant_id, f"job.{event}", lambda: view(_JOB.first(tx.connection, {"of": job_id})), job_id)
