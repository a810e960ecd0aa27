"""Retry budgets: one token bucket a dependency for the whole fleet, so that a dead dependency is not asked ever more often.

A retry takes tokens, a retry that succeeds gives them back; beside that they come back slowly. When they are used up a retry is not
refused, for nothing accepted may be lost: it goes into debt and waits until the debt would be paid. So retries of a dead dependency
arrive at the pace of the trickle, and the first that succeeds frees all others. First tries are not counted: they are the load itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Table, case, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ledger.rows import budgets, chunks
from ledger.session import Tx
from ledger.webhook_rows import deliveries


@dataclass(frozen=True, slots=True)
class Waiting:
    """The row that will be tried again."""

    table: Table
    id: str


def chunk(chunk_id: str) -> Waiting:
    return Waiting(chunks, chunk_id)


def delivery(delivery_id: str) -> Waiting:
    return Waiting(deliveries, delivery_id)


@dataclass(frozen=True, slots=True)
class Budget:
    """`capacity` tokens at most; `trickle` come back each second."""

    capacity: float
    trickle: float


def spend(tx: Tx, dependency: str, cost: float, budget: Budget) -> float:
    """Take the tokens of one retry. Answers how many seconds it has to wait until they were there; 0 while there are enough."""
    dialect = postgresql if tx.connection.dialect.name == "postgresql" else sqlite
    refilled = budgets.c.tokens + (tx.now - budgets.c.at) * budget.trickle
    # a clock that was put back must not take tokens away
    known = case((budgets.c.at > tx.now, budgets.c.tokens), (refilled > budget.capacity, budget.capacity), else_=refilled)
    left = float(
        tx.execute(
            dialect.insert(budgets)
            .values(dependency=dependency, tokens=budget.capacity - cost, at=tx.now)
            .on_conflict_do_update(index_elements=["dependency"], set_={"tokens": known - cost, "at": tx.now})
            .returning(budgets.c.tokens)
        ).scalar_one()
    )
    return max(0.0, -left / budget.trickle)


def charge(tx: Tx, waiting: Waiting, dependency: str, cost: float, budget: Budget) -> float:
    """Take the tokens of a chunk or delivery that will be tried again. Answers how many seconds it waits for those that are missing."""
    debt, table = spend(tx, dependency, cost, budget), waiting.table
    at = tx.now + debt
    later = case((table.c.run_after < at, at), else_=table.c.run_after)
    tx.execute(update(table).where(table.c.id == waiting.id).values(run_after=later, waits_for=dependency))
    return debt


def refund(tx: Tx, dependency: str, cost: float, budget: Budget) -> None:
    """A retry got through: its tokens come back. That ends a debt, and frees whatever waits for the dependency."""
    of = budgets.c.dependency == dependency
    paid = tx.execute(update(budgets).where(of, budgets.c.tokens < 0).values(tokens=cost)).rowcount
    if not paid:
        more = case((budgets.c.tokens + cost > budget.capacity, budget.capacity), else_=budgets.c.tokens + cost)
        tx.execute(update(budgets).where(of).values(tokens=more))
        return
    for table in (chunks, deliveries):
        held = (
            select(table.c.id)
            .where(table.c.state == "waiting", table.c.waits_for == dependency, table.c.run_after > tx.now)
            .with_for_update(skip_locked=True)
        )
        tx.execute(update(table).where(table.c.id.in_(held)).values(run_after=tx.now))


def forget(tx: Tx, before: float) -> None:
    """Drop the budgets of dependencies that did not fail since a time: they would be full."""
    tx.execute(delete(budgets).where(budgets.c.at < before))
