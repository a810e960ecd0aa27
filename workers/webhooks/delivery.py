"""One delivery from the outbox: claim, sign, send, record, and say when to try again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import urlsplit

from foundation.telemetry import DeliveryTried, RetryDelayed, emit
from ledger import budgets, outbox
from ledger.budgets import Budget
from ledger.outbox import Delivery, Try
from ledger.session import Tx
from workers.webhooks.send import Attempt, next_wait, send, sign
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
        if outbox.settle(tx, owed, outcome, None if wait is None else tx.now + wait):
            _account(tx, owed, attempt, wait, worker)
    state = "delivered" if attempt.accepted else "waiting" if wait is not None else "dead"
    emit(DeliveryTried(owed.id, owed.attempt, state, attempt.status, attempt.seconds))


def _account(tx: Tx, owed: Delivery, attempt: Attempt, wait: float | None, worker: Worker) -> None:
    """Receivers have a retry budget each, by host: one that is down is not called ever more often."""
    queue = worker.settings.queue
    budget = Budget(queue.retry_tokens, queue.retry_trickle)
    if attempt.accepted:
        if owed.waits_for is not None:
            budgets.refund(tx, owed.waits_for, budgets.COST, budget)
    elif wait is not None:
        cost = budgets.COST_OF_TIMEOUT if attempt.seconds >= worker.settings.webhook.timeout_seconds else budgets.COST
        debt = budgets.charge(tx, budgets.delivery(owed.id), f"receiver {urlsplit(owed.url).hostname}", cost, budget)
        if debt > wait:
            emit(RetryDelayed("receiver", debt))
