"""One delivery from the outbox: claim, sign, send, record, and say when to try again."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from foundation.telemetry import DeliveryTried, emit
from ledger import outbox
from ledger.outbox import Try
from workers.webhooks.send import next_wait, send, sign
from workers.worker import Worker

_MARGIN_SECONDS = 10.0  # a lease outlives the longest try by this much


def deliver(delivery_id: str, worker: Worker) -> None:
    """Try a delivery that is due. A crash between sending and recording repeats it: at least once, same id."""
    webhook, clock = worker.settings.webhook, worker.clock
    with worker.ledger.write() as tx:
        owed = outbox.claim(tx, delivery_id, webhook.timeout_seconds + _MARGIN_SECONDS)
    if owed is None:
        return
    body = json.dumps(owed.payload, separators=(",", ":"))
    at = clock.now()
    headers = {"content-type": "application/json"} | sign(owed.secret, owed.id, datetime.fromtimestamp(at, UTC), body)
    attempt = send(owed.url, body, headers, webhook, clock)
    wait = None if attempt.gone else next_wait(owed.attempt, webhook.schedule_seconds, attempt.retry_after, clock.dice())
    outcome = Try(at, attempt.seconds, attempt.accepted, attempt.status, attempt.error_code, attempt.detail)
    with worker.ledger.write() as tx:
        outbox.settle(tx, owed, outcome, None if wait is None else tx.now + wait)
    state = "delivered" if attempt.accepted else "waiting" if wait is not None else "dead"
    emit(DeliveryTried(owed.id, owed.attempt, state, attempt.status, attempt.seconds))
