"""One delivery from the outbox: claim, sign, send, record, say when to try again, and ring for the next of its line."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from foundation.resilience.protection import Refused, protect
from foundation.resilience.retry import COST, COST_OF_TIMEOUT
from foundation.telemetry import DeliveryTried, RetryDelayed, emit
from ledger import budgets, endpoints, outbox, signing
from ledger.budgets import Budget
from ledger.outbox import Delivery, Try
from ledger.session import Tx
from tasks import ring
from workers.webhooks.send import Attempt, next_wait, send, sign
from workers.worker import Worker

_DAY = 86_400.0


def deliver(delivery_id: str, worker: Worker) -> None:
    """Try a delivery that is due. A crash between sending and recording repeats it: at least once, same id."""
    webhook, clock = worker.settings.webhook, worker.clock
    with worker.ledger.write() as tx:
        owed = outbox.claim(tx, delivery_id, webhook.timeout_seconds + webhook.margin_seconds, webhook.at_once)
        secrets = signing.live(tx, worker.sealing, owed.tenant_id, owed.owner) if owed else ()
    if owed is None:
        return
    body = json.dumps(owed.payload, separators=(",", ":"))
    at = clock.now()
    headers = {"content-type": "application/json"} | sign(secrets, owed.id, datetime.fromtimestamp(at, UTC), body)
    receiver = protect("webhook", outbox.receiver_of(owed.url), bad=_speaks_against_it)
    try:
        attempt = receiver.run(send, owed.url, body, headers, webhook, clock)
    except Refused as refused:
        with worker.ledger.write() as tx:
            outbox.put_off(tx, owed, Try(at, 0.0, False, None, refused.code, refused.message), tx.now + refused.context["retry_after"])
        emit(DeliveryTried(owed.id, owed.attempt, "put off", None, 0.0))
        return
    # a person who sends a test looks at what comes of it, and sends another one
    schedule = webhook.schedule_seconds[:1] if owed.event == outbox.TEST else webhook.schedule_seconds
    wait = None if attempt.gone else next_wait(owed.tries, schedule, attempt.retry_after, clock.dice())
    outcome = Try(at, attempt.seconds, attempt.accepted, attempt.status, attempt.error_code, attempt.detail)
    ready: list[str] = []
    with worker.ledger.write() as tx:
        if outbox.settle(tx, owed, outcome, None if wait is None else tx.now + wait):
            _account(tx, owed, attempt, wait, worker)
            ready = endpoints.judged(tx, owed, attempt.accepted, attempt.gone, webhook.off_after_days * _DAY)
            ready += outbox.follow(tx, owed)
    worker.doorbell.ring(ring.of_deliveries(ready))
    state = "delivered" if attempt.accepted else "waiting" if wait is not None else "dead"
    emit(DeliveryTried(owed.id, owed.attempt, state, attempt.status, attempt.seconds))


def _speaks_against_it(attempt: Attempt) -> bool:
    """Whether the receiver's host is unwell. One that answers no is well."""
    return attempt.error_code == "RECEIVER_UNREACHABLE" or (attempt.status or 0) >= 500


def _account(tx: Tx, owed: Delivery, attempt: Attempt, wait: float | None, worker: Worker) -> None:
    """Receivers have a retry budget each, by host: one that is down is not called ever more often."""
    queue = worker.settings.queue
    budget = Budget(queue.retry_tokens, queue.retry_trickle)
    if attempt.accepted:
        if owed.waits_for is not None:
            budgets.refund(tx, owed.waits_for, COST, budget)
    elif wait is not None:
        cost = COST_OF_TIMEOUT if attempt.seconds >= worker.settings.webhook.timeout_seconds else COST
        debt = budgets.charge(tx, budgets.delivery(owed.id), f"receiver {outbox.receiver_of(owed.url)}", cost, budget)
        if debt > wait:
            emit(RetryDelayed("receiver", debt))
