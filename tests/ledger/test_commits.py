"""A commit that is told failed: the database is asked, and what it says holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import RootTransaction

from foundation import telemetry
from foundation.errors import Failure
from foundation.telemetry import CommitDoubted, Event
from ledger import commits, leases, rows
from ledger.session import Ledger
from tests.faults import points
from tests.faults.points import Armoury, Mode

Answers = Callable[[], list[str]]


@pytest.fixture
def armoury(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Armoury:
    """The point of commits, set in this process for one test."""
    monkeypatch.setattr(RootTransaction, "commit", RootTransaction.commit)
    monkeypatch.setattr(commits, "name", commits.name)
    arms = Armoury(tmp_path / "points")
    points.set_commits(arms, "test", only_changes=False)
    return arms


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Tells what the database has said of commits in doubt."""
    heard: list[Event] = []
    monkeypatch.setattr(telemetry, "_sinks", [heard.append])
    return lambda: [event.answer for event in heard if isinstance(event, CommitDoubted)]


def held(ledger: Ledger) -> int:
    with ledger.read() as tx:
        return tx.number(select(func.count()).select_from(rows.leases))


def take(ledger: Ledger, name: str) -> None:
    with ledger.write() as tx:
        leases.acquire(tx, name, "nobody", 1)


def test_a_commit_done_but_told_failed_ends_as_any_other(ledger: Ledger, armoury: Armoury, answers: Answers) -> None:
    take(ledger, "before")
    armoury.arm("database.commit", "done_told_failed")
    armoury.arm("database.commit", "done_told_failed")
    take(ledger, "one")
    take(ledger, "two")
    assert armoury.bites() == [("database.commit", "done_told_failed")] * 2, "the fault did not bite"
    assert answers() == ["done", "done"]
    assert held(ledger) == 3


def test_a_commit_not_done_and_told_failed_leaves_no_trace_and_says_so(ledger: Ledger, armoury: Armoury, answers: Answers) -> None:
    take(ledger, "before")
    armoury.arm("database.commit", "undone_told_failed")
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"):
        take(ledger, "one")
    assert answers() == ["undone"]
    assert held(ledger) == 1
    take(ledger, "one")
    assert held(ledger) == 2


def test_a_commit_nobody_can_tell_of_is_told_as_unknown(
    ledger: Ledger, armoury: Armoury, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "_ask", lambda connection, named: None)
    monkeypatch.setattr(ledger, "_patience", 0.0)
    armoury.arm("database.commit", "done_told_failed")
    with pytest.raises(Failure, match="COMMIT_UNKNOWN"):
        take(ledger, "one")
    assert answers() == ["unknown"]
    assert held(ledger) == 1


@pytest.mark.parametrize("mode", ["done_told_failed", "undone_told_failed"])
def test_a_transaction_that_changed_nothing_is_never_in_doubt(ledger: Ledger, armoury: Armoury, answers: Answers, mode: Mode) -> None:
    armoury.arm("database.commit", mode)
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"), ledger.write() as tx:
        tx.number(select(func.count()).select_from(rows.leases))
    assert answers() == []


def test_names_of_commits_are_few_and_forgotten(ledger: Ledger) -> None:
    def names() -> int:
        with ledger.read() as tx:
            return tx.number(select(func.count()).select_from(rows.commits))

    before = names()  # of whoever migrated this database
    for name in ("one", "two", "three"):
        take(ledger, name)
    sqlite = ledger.engine.dialect.name == "sqlite"
    assert names() - before == (1 if sqlite else 0), "a row a connection on SQLite, none on PostgreSQL"
    with ledger.write() as tx:
        commits.forget(tx.connection, tx.now + 1)
    assert names() == (1 if sqlite else 0), "forgetting is a commit too, and has its name"
