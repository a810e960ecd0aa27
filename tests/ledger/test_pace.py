"""How long items take, told by chunks that are done."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from ledger import jobs, pace
from ledger.chunking import ChunkSize
from ledger.rows import jobs as job_rows
from ledger.settling import Outcome
from tests.ledger.conftest import Desk


@pytest.fixture(autouse=True)
def size(desk: Desk) -> None:
    desk.size = ChunkSize(10, 10**9, 1)


def _work(desk: Desk, seconds: float, input: dict[str, Any], chunks: int = 2) -> str:
    """A job of full chunks each of which takes so long."""
    job_id = desk.add(10 * chunks)
    with desk.ledger.write() as tx:
        tx.execute(update(job_rows).where(job_rows.c.id == job_id).values(input=input))
    for ordinal in range(chunks):
        with desk.ledger.write() as tx:
            claimed = jobs.claim(tx, f"{job_id}.{ordinal}", "worker", 60)
        assert claimed is not None
        desk.hand.time += seconds
        with desk.ledger.write() as tx:
            jobs.finish(tx, claimed, [Outcome(item.index, result={}) for item in claimed.items])
        desk.hand.time += 1000
    return job_id


def _seconds(desk: Desk, input: dict[str, Any]) -> float | None:
    with desk.ledger.write() as tx:
        return pace.seconds(tx, desk.tenant.id, "probe", input)


def test_the_pace_is_that_of_the_last_jobs_that_asked_for_the_same(desk: Desk) -> None:
    assert _seconds(desk, {"ms": 5}) is None
    _work(desk, 0.5, {"ms": 5})
    _work(desk, 7.0, {"ms": 70})
    assert _seconds(desk, {"ms": 5}) == pytest.approx(0.5)
    assert _seconds(desk, {"ms": 70}) == pytest.approx(7.0)
    assert _seconds(desk, {"ms": 1}) is None
    for _ in range(3):
        _work(desk, 0.1, {"ms": 5})
    assert _seconds(desk, {"ms": 5}) == pytest.approx(0.1), "the last three count"


def test_another_tenant_or_kind_tells_nothing(desk: Desk) -> None:
    _work(desk, 0.5, {"ms": 5})
    with desk.ledger.write() as tx:
        assert pace.seconds(tx, "ten_other", "probe", {"ms": 5}) is None
        assert pace.seconds(tx, desk.tenant.id, "extraction", {"ms": 5}) is None


def test_a_job_that_waits_tells_nothing(desk: Desk) -> None:
    desk.add(10)
    with desk.ledger.write() as tx:
        found = tx.execute(job_rows.select()).one()
    assert _seconds(desk, found.input) is None
