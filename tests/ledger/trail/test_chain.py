"""The chain of the trail: its form, its writers, and what insiders cannot hide."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from foundation import caller, canonical
from foundation.sealing import Sealing
from foundation.settings import DatabaseSettings
from ledger import audit
from ledger.rows import audit as rows
from ledger.rows import audit_heads
from ledger.session import Ledger
from ledger.trail import letting_go, proving, reading
from ledger.trail.chain import GENESIS, Verdict, linked
from ledger.trail.details import MASK, Details, plain
from tests.ledger.conftest import HandClock
from tests.ledger.trail.insider import DEEDS, Deed, Insider, nothing
from tests.stack import ROOT

KEY = "cadmill_01hv5k3c9q_" + "ab" * 32
SECRET = "whsec_" + "QUJD" * 10


def tell(ledger: Ledger, chain: str = "ten_a", times: int = 1, **detail: object) -> None:
    for number in range(times):
        with ledger.write() as tx:
            audit.record(tx, chain, "somebody", "thing.done", f"thing_{number}", **detail)


def proved(ledger: Ledger) -> Verdict:
    verdict = proving.prove(ledger)
    assert verdict.whole, verdict.told()
    return verdict


def test_the_form_of_a_line_is_the_one_that_docs_audit_tells() -> None:
    """These two vectors are in the manual: a stranger's program must come to the same."""
    body = {
        "chain": "ten_1", "at": 1800000000.25, "actor": "key:k1", "action": "job.accepted", "subject": "job_1", "origin": "192.0.2.7",
        "request_id": "req_1", "outcome": "done", "detail": {"items": 3, "share": 0.5, "note": "Größe 10\u00a0€"},
    }  # fmt: skip
    by_hand = (
        '{"action":"job.accepted","actor":"key:k1","at":1800000000.25,"chain":"ten_1",'
        '"detail":{"items":3,"note":"Größe 10\u00a0€","share":0.5},"origin":"192.0.2.7","outcome":"done","request_id":"req_1",'
        '"subject":"job_1"}'
    )
    first = hashlib.sha256(f"{GENESIS}\n1\n{by_hand}".encode()).hexdigest()
    assert linked(GENESIS, 1, body) == first
    assert linked(first, 2, body) == hashlib.sha256(f"{first}\n2\n{by_hand}".encode()).hexdigest()
    manual = (ROOT / "docs" / "audit.md").read_text()
    assert first in manual
    assert linked(first, 2, body) in manual


def test_thirty_two_writers_make_unbroken_chains(ledger: Ledger, database_url: str) -> None:
    failures: list[BaseException] = []

    def write(name: int) -> None:
        own = Ledger(database_url, DatabaseSettings(busy_seconds=60))
        try:
            for number in range(4):
                with own.write() as tx:
                    for chain in ("ten_b", "ten_a") if name % 2 else ("ten_a", "ten_b"):  # in either order: none waits for the other
                        audit.record(tx, chain, f"writer_{name}", "thing.done", f"thing_{number}", number=number)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            own.close()

    threads = [threading.Thread(target=write, args=(name,)) for name in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not failures
    verdict = proved(ledger)
    assert (verdict.chains, verdict.lines) == (2, 2 * 32 * 4)
    with ledger.read() as tx:
        numbers = tx.execute(select(rows.c.number).where(rows.c.tenant_id == "ten_a").order_by(rows.c.seq)).scalars().all()
    assert numbers == list(range(1, 129)), "and `seq` agrees with the chain"


@pytest.mark.parametrize("deed", [*DEEDS, nothing], ids=lambda deed: deed.__name__)
@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_what_an_insider_does_is_found_at_the_right_line(insiders: dict[str, Insider], dialect: str, deed: Deed) -> None:
    """Forty of each here, beside a chain that nobody touched; `make tampers` does a thousand."""
    for expected, found in insiders[dialect].act(deed):
        assert found == expected


PROGRAM = """
import os, signal, sys
from sqlalchemy import event
from foundation.settings import DatabaseSettings
from ledger import audit
from ledger.session import Ledger
ledger = Ledger(sys.argv[1], DatabaseSettings())
if sys.argv[2] == "at the commit":  # the lines are written, the commit is not
    event.listen(ledger.engine, "commit", lambda connection: os.kill(os.getpid(), signal.SIGKILL))
with ledger.write() as tx:
    audit.record(tx, "ten_a", "somebody", "thing.done", "lost")
    if sys.argv[2] == "before it":
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("moment", ["before it", "at the commit"])
def test_a_death_leaves_no_hole(ledger: Ledger, database_url: str, moment: str) -> None:
    tell(ledger, times=2)
    died = subprocess.run([sys.executable, "-c", PROGRAM, database_url, moment], cwd=ROOT, timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    tell(ledger)
    assert proved(ledger).lines == 3


def test_a_transaction_that_fails_tells_nothing_and_one_that_reads_may_not_tell(ledger: Ledger) -> None:
    with pytest.raises(ZeroDivisionError), ledger.write() as tx:
        audit.record(tx, "ten_a", "somebody", "thing.done", "x")
        _ = 1 / 0
    assert proved(ledger).lines == 0
    with pytest.raises(RuntimeError), ledger.read() as tx:
        audit.record(tx, "ten_a", "somebody", "thing.done", "x")


def test_a_line_tells_who_asked_from_where_under_which_request(ledger: Ledger) -> None:
    with caller.asking("192.0.2.7", "req_1") as who:
        tell(ledger)
        who.actor = "key:k1"
        tell(ledger)
    tell(ledger)
    with ledger.read() as tx:
        told = [(row.actor, row.origin, row.request_id, row.outcome) for row in tx.execute(select(rows).order_by(rows.c.number))]
    assert told == [
        ("somebody", "192.0.2.7", "req_1", "done"), ("key:k1", "192.0.2.7", "req_1", "done"), ("somebody", "", "", "done"),
    ]  # fmt: skip


def test_what_json_and_databases_cannot_hold_is_told_as_text(ledger: Ledger) -> None:
    tell(ledger, big=2**60, endless=float("inf"), half="a\ud800b", nul="a\x00b", zero=-0.0, names=("b", "a"), tenth=0.1, whole=60.0)
    proved(ledger)
    with ledger.read() as tx:
        detail = tx.execute(select(rows.c.detail)).scalar_one()
    assert detail == {
        "big": str(2**60), "endless": "inf", "half": "a?b", "nul": "a\ufffdb", "zero": 0, "names": ["b", "a"], "tenth": 0.1, "whole": 60,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"webhook_secret": "x", "Api-Token": "x"}, {"webhook_secret": MASK, "Api-Token": MASK}),
        ({"key": "x", "password": "x"}, {"key": MASK, "password": MASK}),
        ({"key_id": "k1", "secrets_rotated": 2, "token_count": 3}, {"key_id": "k1", "secrets_rotated": 2, "token_count": 3}),
        ({"note": f"my key is {KEY}, and {SECRET}."}, {"note": f"my key is {MASK}, and {MASK}."}),
        ({"url": "redis://me:pass@host/0", "deep": [{"token": "x"}]}, {"url": f"redis://{MASK}@host/0", "deep": [{"token": MASK}]}),
    ],
)  # fmt: skip
def test_secrets_are_masked_wherever_they_stand(given: dict[str, object], kept: dict[str, object]) -> None:
    assert plain(given) == kept


def test_a_key_that_is_named_as_the_subject_is_masked_too(ledger: Ledger) -> None:
    with ledger.write() as tx:
        audit.record(tx, "ten_a", KEY, "thing.done", f"of {SECRET}")
    with ledger.read() as tx:
        row = tx.execute(select(rows)).one()
    assert (row.actor, row.subject) == (MASK, f"of {MASK}")


@pytest.mark.parametrize("table", ["audit", "audit_heads"])
@pytest.mark.parametrize("change", ["UPDATE {table} SET hash = 'x'", "DELETE FROM {table}", "TRUNCATE {table}"])
def test_the_database_refuses_any_change_of_the_trail(ledger: Ledger, table: str, change: str) -> None:
    tell(ledger)
    if change.startswith("TRUNCATE") and ledger.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no TRUNCATE; DELETE without a condition fires the trigger")
    if table == "audit_heads" and change.startswith("UPDATE"):
        change = "UPDATE {table} SET number = number - 1"
    with pytest.raises(DBAPIError, match="append-only"), ledger.engine.begin() as on:
        on.execute(text(change.format(table=table)))
    proved(ledger)


@pytest.fixture
def old(new_ledger: Callable[..., Ledger]) -> tuple[Ledger, HandClock]:
    """A chain of 30 lines, ten of them a day."""
    hand = HandClock()
    ledger = new_ledger(hand.clock())
    for _ in range(3):
        tell(ledger, times=10)
        hand.time += 86_400
    return ledger, hand


def let_go(ledger: Ledger, before: float) -> int:
    with ledger.write() as tx:
        count = letting_go.raise_floor(tx, "ten_a", before)
    with ledger.write() as tx:
        while letting_go.drop(tx):
            pass
    return count


def test_what_retention_let_go_is_told_and_the_rest_is_still_proved(old: tuple[Ledger, HandClock], tmp_path: Path) -> None:
    ledger, hand = old
    assert let_go(ledger, hand.time - 2 * 86_400) == 10
    assert let_go(ledger, hand.time - 2 * 86_400) == 0, "nothing more is that old"
    verdict = proved(ledger)
    assert (verdict.lines, verdict.let_go) == (21, {"ten_a": 10})
    assert let_go(ledger, hand.time - 86_400) == 10
    assert (proved(ledger).lines, proved(ledger).let_go) == (12, {"ten_a": 20})
    offline = proving.prove_lines(reading.exported(ledger, ["ten_a"]))
    assert (offline.whole, offline.lines, offline.let_go, offline.open_ended) == (True, 12, {"ten_a": 20}, [])
    with pytest.raises(DBAPIError, match="append-only"), ledger.write() as tx:
        tx.connection.execute(text("DELETE FROM audit WHERE number = 21"))


def test_a_floor_that_no_line_tells_of_is_found(old: tuple[Ledger, HandClock]) -> None:
    """The guards let a floor rise: what they cannot see is whether retention told of it."""
    ledger, _ = old
    with ledger.write() as tx:
        raised = select(rows.c.hash).where(rows.c.number == 5).scalar_subquery()
        tx.execute(audit_heads.update().values(floor=5, floor_hash=raised))
        tx.execute(rows.delete().where(rows.c.number <= 5))
    assert [(one.kind, one.number) for one in proving.prove(ledger).breaks] == [("floor", 5)]


def test_an_export_is_proved_without_the_database_and_by_twenty_lines_of_anybody(ledger: Ledger) -> None:
    tell(ledger, times=5, share=0.1)
    tell(ledger, "ten_b", times=3)
    lines = list(reading.exported(ledger, ["ten_a", "ten_b"]))
    assert proving.prove_lines(lines).whole
    last = {"ten_a": GENESIS, "ten_b": GENESIS}
    for told in map(json.loads, lines):  # the program of the manual
        if "hash" in told and "action" in told:
            number, told_hash = told.pop("number"), told.pop("hash")
            last[told["chain"]] = hashlib.sha256(f"{last[told['chain']]}\n{number}\n{canonical.text(told)}".encode()).hexdigest()
            assert last[told["chain"]] == told_hash
    kinds = {
        "changed": [*lines[:2], lines[2].replace("somebody", "nobody"), *lines[3:]],
        "missing": [*lines[:2], *lines[3:]],
        "cut": [*lines[:5], *lines[6:]],
        "inserted": [*lines[:3], *lines[2:]],
    }
    for kind, tampered in kinds.items():
        assert {one.kind for one in proving.prove_lines(tampered).breaks} == {kind}
    assert proving.prove_lines(lines[:-1]).open_ended == ["ten_b"], "a file without its end says so"


def test_sealed_details_are_read_with_the_secret_and_proved_without(database_url: str, ledger: Ledger) -> None:
    sealed = Ledger(database_url, DatabaseSettings(), details=Details(lambda: Sealing(b"s" * 32), encrypts=True))
    tell(sealed, note="Größe")
    with sealed.read() as tx:
        (line,) = reading.page(tx, reading.Wanted("ten_a"), 10)
    sealed.close()
    assert line["detail"] == {"note": "Größe"}
    with ledger.read() as tx:
        kept = tx.execute(select(rows.c.detail)).scalar_one()
    assert list(kept) == ["sealed"]
    assert "note" not in kept["sealed"]
    assert proved(ledger).lines == 1
