"""A trail from before there were chains."""

from __future__ import annotations

from alembic import command
from sqlalchemy import text

from ledger.migrate import configuration, migrate
from ledger.session import Ledger
from ledger.trail import proving
from tests.ledger.trail.test_chain import tell

_OLD = "tenant_id, at, actor, action, subject, detail"


def test_lines_from_before_are_chained_as_they_stand(empty_ledger: Ledger) -> None:
    ledger = empty_ledger
    with ledger.write() as tx:
        command.upgrade(configuration(tx.connection), "0009")
        for number in range(30):
            line = {"c": ("ten_a", "ten_b", "")[number % 3], "at": 1.8e9 + number / 7}
            line["detail"] = f'{{"items": {number}, "share": {number / 3!r}}}'
            tx.connection.execute(text(f"INSERT INTO audit ({_OLD}) VALUES (:c, :at, 'api', 'job.accepted', 'job', :detail)"), line)
    migrate(ledger)
    tell(ledger)
    verdict = proving.prove(ledger)
    assert verdict.whole, verdict.told()
    assert (verdict.chains, verdict.lines) == (3, 31)
