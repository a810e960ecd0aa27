"""Connecting is tried again before anything was done; a database that is gone costs nobody a timeout, and is found again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError

from foundation.errors import Failure
from foundation.resilience import protection
from foundation.resilience.breaker import State
from foundation.resilience.retry import RetryPolicy
from foundation.settings import DatabaseSettings
from ledger.session import Ledger, _begin_sqlite

CONNECT, BEGIN = "database-connect", "database-statement"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of the table, a hundredth as long."""
    wait = RetryPolicy.wait
    monkeypatch.setattr(RetryPolicy, "wait", lambda self, made, dice: None if (it := wait(self, made, dice)) is None else it / 100)


class Failing:
    """A listener that fails so many times."""

    def __init__(self, times: int) -> None:
        self.left, self.calls = times, 0

    def __call__(self, *_words: object) -> None:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise OperationalError("connect", {}, psycopg.OperationalError("gone for a moment"))


def _before_begin(ledger: Ledger, listener: Callable[..., object]) -> None:
    """Before the ledger's own listener, which begins."""
    ours = ledger.engine.dialect.name == "sqlite"
    if ours:
        event.remove(ledger.engine, "begin", _begin_sqlite)
    event.listen(ledger.engine, "begin", listener)
    if ours:
        event.listen(ledger.engine, "begin", _begin_sqlite)


def test_a_connection_is_asked_for_five_times(ledger: Ledger) -> None:
    protection.HERE.forget()  # what it took to make the database
    failing = Failing(4)
    event.listen(ledger.engine.pool, "checkout", failing)
    with ledger.read() as tx:
        assert tx.number(text("SELECT 7")) == 7
    assert failing.calls == 5
    failing.left = 5
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"), ledger.read():
        pass
    assert failing.calls == 10


def test_a_transaction_is_begun_three_times_and_never_repeated(ledger: Ledger) -> None:
    failing, bodies = Failing(2), 0
    _before_begin(ledger, failing)
    with ledger.write() as tx:
        bodies += 1
        assert tx.number(text("SELECT 7")) == 7
    assert (failing.calls, bodies) == (3, 1)
    with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"), ledger.write() as tx:
        bodies += 1
        raise OperationalError("a statement", {}, psycopg.OperationalError("gone"))
    assert (failing.calls, bodies) == (4, 2)


def test_a_database_that_is_gone_is_not_asked_and_is_found_again(tmp_path: Path) -> None:
    folder = tmp_path / "away"
    folder.mkdir()
    ledger = Ledger(f"sqlite:///{folder / 'ledger.db'}", DatabaseSettings())
    asked = Failing(0)
    event.listen(ledger.engine.pool, "connect", asked)
    folder.rename(tmp_path / "moved")
    reasons = []
    for _ in range(5):
        with pytest.raises(Failure) as failure, ledger.read():
            pass
        assert failure.value.code == "DATABASE_UNAVAILABLE"
        reasons.append(failure.value.context["reason"])
    assert reasons == ["OperationalError"] * 2 + ["BREAKER_OPEN"] * 3
    breaker = protection.HERE.of(CONNECT).breaker
    assert breaker is not None
    assert breaker.state is State.OPEN
    (tmp_path / "moved").rename(folder)
    for _ in range(1000):
        try:
            with ledger.read() as tx:
                assert tx.number(text("SELECT 7")) == 7
            break
        except Failure:
            protection.HERE.clock.sleep(0.005)
    assert breaker.state is State.CLOSED
    ledger.close()


def test_who_waited_for_another_writer_is_not_made_to_wait_again(tmp_path: Path) -> None:
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", DatabaseSettings(busy_seconds=2.1))
    begun: list[Connection] = []
    with ledger.write() as tx:
        tx.execute(text("CREATE TABLE t (n INTEGER)"))
        _before_begin(ledger, begun.append)
        with pytest.raises(Failure, match="DATABASE_UNAVAILABLE"), ledger.write():
            pass
    assert len(begun) == 1
    ledger.close()
