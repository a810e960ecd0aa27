"""The verbs keep their promises in any order; and the machine sees it when a verb does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ledger import jobs, places, repair, settling
from ledger.rows import chunks
from ledger.session import Ledger
from tests.models.ledger_machine import Bench, prepare, run


@pytest.fixture
def bench(new_ledger: Callable[..., Ledger]) -> Bench:
    return prepare(new_ledger)


def test_the_verbs_keep_their_promises_in_any_order(bench: Bench) -> None:
    run(bench, examples=15, steps=50)
    assert bench.steps > 300


def _without_the_attempt(chunk_id: str, attempt: int) -> tuple[Any, ...]:
    return (chunks.c.id == chunk_id, chunks.c.attempt >= attempt, chunks.c.state == "running")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("module", "verb", "broken"),
    [
        (jobs, "ours", _without_the_attempt),
        (repair, "rering", lambda _tx, _ids: []),
        (repair, "_split", lambda *_: None),
        (settling, "close", lambda *_: settling.Settled("running")),
        (places, "fill", lambda *_: None),
    ],
    ids=["no fence", "no rering", "no split", "no close", "no places"],
)
def test_the_machine_sees_it_when_a_verb_is_broken(
    bench: Bench, module: Any, verb: str, broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, verb, broken)
    with pytest.raises(AssertionError):
        run(bench, examples=150, steps=50, shrink=False)
