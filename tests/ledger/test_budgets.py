"""Retry budgets: what a dead dependency costs, and how fast all is well when it is back."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from foundation.errors import Failure
from foundation.resilience.retry import COST, RetryPolicy
from ledger import budgets, jobs, outbox, repair, settling
from ledger.budgets import Budget
from ledger.chunking import ChunkSize
from ledger.rows import chunks
from ledger.webhook_rows import deliveries
from tests.ledger.conftest import Desk

BUDGET = Budget(capacity=20, trickle=1)


def spend(desk: Desk, cost: float = COST) -> float:
    with desk.ledger.write() as tx:
        return budgets.spend(tx, "X", cost, BUDGET)


def test_tokens_are_spent_owed_and_come_back_slowly(desk: Desk) -> None:
    assert [spend(desk) for _ in range(6)] == [0, 0, 0, 0, 5, 10]
    desk.hand.time += 10
    assert spend(desk, 10) == 10
    desk.hand.time += 10_000
    assert [spend(desk, 20), spend(desk)] == [0, 5], "no more than the capacity comes back"
    desk.hand.time -= 5_000
    assert spend(desk) == 10, "a clock that is put back changes nothing"


def test_a_retry_that_gets_through_ends_the_debt_and_frees_what_waits_for_the_same(desk: Desk) -> None:
    desk.size = ChunkSize(1, 10**9, 1)
    job_id = desk.add(3)
    with desk.ledger.write() as tx:
        owed = outbox.owe(tx, desk.tenant.id, job_id, "https://example.com", "job.failed", {})
        sent = outbox.claim(tx, owed, 60, 2)
        assert sent is not None
        outbox.settle(tx, sent, outbox.Try(tx.now, 1, False, 500, "RECEIVER_REFUSED", ""), tx.now + 5)
        budgets.charge(tx, budgets.delivery(owed), "other", 100, BUDGET)
    for chunk in desk.ring()[:3]:
        claimed = desk.must_claim(chunk)
        with desk.ledger.write() as tx:
            jobs.fail(tx, claimed, [], Failure("PROBE_UNSTEADY").public(), tx.now + 1)
            budgets.charge(tx, budgets.chunk(chunk), "X", 15, BUDGET)
    with desk.ledger.read() as tx:
        waits = tx.execute(select(chunks.c.run_after).where(chunks.c.waits_for == "X").order_by(chunks.c.run_after)).scalars().all()
    assert [at - desk.hand.time for at in waits] == [1, 10, 25]
    with desk.ledger.write() as tx:
        budgets.refund(tx, "X", COST, BUDGET)
        assert repair.due(tx) == 3
        left = tx.execute(select(deliveries.c.run_after).where(deliveries.c.id == owed)).scalar_one()
    assert left - desk.hand.time == 80, "what waits for something else goes on waiting"
    assert spend(desk) == 0


def outage(desk: Desk, budget: Budget) -> tuple[float, float]:
    """60 s in which 5 chunks arrive each second and their dependency is dead, then 60 s in which it is back.

    Answers the attempts per chunk while it was dead, and the share of chunks that were done in the end.
    """
    desk.size = ChunkSize(1, 10**9, 1)
    policy = RetryPolicy(tries=100, first_seconds=2, most_seconds=30, jitter=0)
    attempts, made, done = 0, 0, 0
    for second in range(120):
        dead = second < 60
        if dead:
            desk.add(5)
            made += 5
        with desk.ledger.write() as tx:  # one commit a second: what counts is their number, not their speed
            repair.due(tx)
            for chunk in jobs.ring(tx, "probe", 6, 100_000):
                claimed = jobs.claim(tx, chunk, "worker", 60)
                assert claimed is not None
                if dead:
                    attempts += 1
                    jobs.fail(tx, claimed, [], Failure("PROBE_UNSTEADY").public(), tx.now + (policy.wait(claimed.attempt, 0) or 0))
                    budgets.charge(tx, budgets.chunk(chunk), "X", COST, budget)
                else:
                    jobs.finish(tx, claimed, [settling.Outcome(claimed.items[0].index, result={})])
                    done += 1
                    if claimed.waits_for:
                        budgets.refund(tx, claimed.waits_for, COST, budget)
        desk.hand.time += 1
    return attempts / made, done / made


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_dead_dependency_is_not_asked_much_more_than_the_load_itself_asks(desk: Desk) -> None:
    ratio, done = outage(desk, Budget(capacity=60, trickle=1))
    assert 1.0 < ratio <= 1.1
    assert done >= 0.95


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_without_a_budget_a_dead_dependency_would_be_asked_several_times_as_often(desk: Desk) -> None:
    ratio, done = outage(desk, Budget(capacity=1e9, trickle=1))
    assert ratio > 2
    assert done >= 0.95
