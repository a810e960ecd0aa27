"""The update that seals what older installations kept in plain text, and makes the table of deliveries anew on SQLite."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import select, text

from foundation.errors import Failure
from foundation.sealing import Sealing
from ledger import signing
from ledger.migrate import configuration, migrate
from ledger.session import Ledger
from ledger.webhook_rows import deliveries, tries

SEALING = Sealing(b"a secret of an installation, 32 bytes")
OLD = "whsec_b2xkIGFuZCBwbGFpbiwgb2xkIGFuZCBwbGFpbiE="
_ROWS = (
    f"INSERT INTO tenants (id, name, webhook_secret, created_at) VALUES ('ten_1', 'acme', '{OLD}', 1)",
    "INSERT INTO jobs (id, tenant_id, kind, queue, state, generation, priority, step, input, labels, chunks_made, total, created_at)"
    " VALUES ('job_1', 'ten_1', 'probe', 'probe', 'queued', 1, 'normal', 6, '{}', '{}', 1, 1, 1)",
    *(
        "INSERT INTO deliveries (id, tenant_id, job_id, event, url, payload, state, run_after, created_at)"
        f" VALUES ('{name}', 'ten_1', 'job_1', 'job.failed', 'https://example.com', '{{}}', 'owed', 1, 1)"
        for name in ("msg_1", "msg_2")
    ),
    "INSERT INTO tries (delivery_id, attempt, at, seconds, accepted, detail) VALUES ('msg_1', 1, 1, 0.1, false, 'no')",
)


def test_plain_secrets_are_sealed_and_deliveries_keep_their_tries(empty_ledger: Ledger) -> None:
    ledger = empty_ledger
    with ledger.write() as tx:
        command.upgrade(configuration(tx.connection), "0009")
        for statement in _ROWS:
            tx.execute(text(statement))
    with pytest.raises(Failure, match="SECRET_MISMATCH"):
        migrate(ledger)  # nobody may lose a secret because nobody could seal it
    migrate(ledger, SEALING)
    with ledger.write() as tx:
        assert signing.live(tx, SEALING, "ten_1", "ten_1") == (OLD,)
        assert [(row.id, row.seq, row.endpoint_id) for row in tx.execute(select(deliveries).order_by(deliveries.c.id))] == [
            ("msg_1", 1, None), ("msg_2", 2, None),
        ]  # fmt: skip
        assert [row.delivery_id for row in tx.execute(select(tries))] == ["msg_1"]
        stored = " ".join(str(tx.execute(text(f"SELECT * FROM {table}")).all()) for table in ("tenants", "webhook_secrets"))
    assert OLD.removeprefix("whsec_") not in stored
