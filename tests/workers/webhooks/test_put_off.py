"""A host that is down is not called by every delivery that is owed to it, and costs none of them a try that was not made."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

from sqlalchemy import select

from foundation.clock import SYSTEM
from foundation.resilience import protection
from foundation.resilience.breaker import State
from foundation.settings import WebhookSettings
from ledger import outbox, tenants
from ledger.session import Ledger
from ledger.webhook_rows import deliveries, tries
from tests.workers.fleet import member
from tests.workers.webhooks.conftest import Receiver
from workers.webhooks.delivery import deliver

OWED = 15


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_breaker_of_a_dead_host_puts_deliveries_off_and_lets_others_through(ledger: Ledger, tmp_path: Path, receiver: Receiver) -> None:
    worker = member("courier", ledger, SYSTEM, tmp_path).worker
    worker = replace(worker, settings=worker.settings.model_copy(update={"webhook": WebhookSettings(allow_private=True)}))
    with ledger.write() as tx:
        tenant = tenants.add(tx, "default").id
        dead = [outbox.owe(tx, tenant, None, f"http://127.0.0.1:{_closed_port()}/", "job.succeeded", {}) for _ in range(OWED)]
        alive = outbox.owe(tx, tenant, None, f"http://localhost:{receiver.port}/", "job.succeeded", {})
    for name in [*dead, alive]:
        deliver(name, worker)
    with ledger.read() as tx:
        codes = list(tx.execute(select(tries.c.error_code).where(tries.c.delivery_id.in_(dead))).scalars())
        rows = {row.id: row for row in tx.execute(select(deliveries))}
    assert codes.count("RECEIVER_UNREACHABLE") == 10
    assert codes.count("BREAKER_OPEN") == OWED - 10
    assert sorted(rows[name].attempt - rows[name].spent for name in dead) == [0] * (OWED - 10) + [1] * 10
    assert {rows[name].state for name in dead} == {"waiting"}
    assert rows[alive].state == "delivered"
    breaker = protection.HERE.of("webhook", "127.0.0.1").breaker
    assert breaker is not None
    assert breaker.state is State.OPEN
