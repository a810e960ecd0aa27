"""Endpoints of webhooks: who is told, in which order, with which secret, and when no longer."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select, text

from foundation.errors import Failure
from foundation.sealing import Sealing
from ledger import changes, delivery_views, endpoints, outbox, retention, signing, tenants
from ledger.endpoints import NewEndpoint
from ledger.outbox import Delivery, Try
from ledger.rows import audit
from ledger.webhook_rows import deliveries, tries, webhook_secrets
from tests.ledger.conftest import Desk

SEALING = Sealing(b"a secret of an installation, 32 bytes")
DAY = 86_400.0
HOOK = "https://example.com/hook"


def _add(desk: Desk, *events: str, enabled: bool = True, most: int = 20) -> str:
    with desk.ledger.write() as tx:
        return endpoints.add(tx, SEALING, desk.tenant.id, NewEndpoint(HOOK, events or outbox.EVENTS, "", enabled), most)[0]


def _owed(desk: Desk, endpoint: str | None, state: str | None = None) -> list[Any]:
    with desk.ledger.read() as tx:
        query = select(deliveries).where(deliveries.c.endpoint_id.is_not_distinct_from(endpoint)).order_by(deliveries.c.id)
        return [row for row in tx.execute(query) if state in (None, row.state)]


def _claim(desk: Desk, name: str, at_once: int = 100) -> Delivery | None:
    with desk.ledger.write() as tx:
        return outbox.claim(tx, name, 30, at_once)


def _settle(desk: Desk, sent: Delivery, status: int = 204, again_in: float | None = None) -> list[str]:
    """As the courier does it; answers what it would ring."""
    good = status < 300
    with desk.ledger.write() as tx:
        assert outbox.settle(tx, sent, Try(tx.now, 0.1, good, status, None, ""), None if again_in is None else tx.now + again_in)
        return [*endpoints.judged(tx, sent, good, status == 410, 5 * DAY), *outbox.follow(tx, sent)]


def _send(desk: Desk, name: str, status: int = 204, again_in: float | None = None) -> list[str]:
    sent = _claim(desk, name)
    assert sent is not None
    return _settle(desk, sent, status, again_in)


def _run(desk: Desk, *failed: int, **more: Any) -> str:
    job = desk.add(2, **more)
    desk.finish(desk.must_claim(f"{job}.0"), *failed)
    return job


def _state(desk: Desk, endpoint: str) -> dict[str, Any]:
    with desk.ledger.read() as tx:
        return endpoints.view(endpoints.get(tx, desk.tenant.id, endpoint))


def test_each_endpoint_is_told_what_it_wants_in_numbered_messages_and_the_callback_of_the_end(desk: Desk) -> None:
    every, ends = _add(desk), _add(desk, *outbox.UNLESS_SAID)
    job = _run(desk, 0, callback_url=HOOK)
    with desk.ledger.write() as tx:
        changes.retry(tx, desk.tenant.id, job, desk.size)
    desk.finish(desk.must_claim(f"{job}.1"))
    told = ["job.accepted", "job.started", "job.partial", "job.retried", "job.started", "job.succeeded"]
    assert [(row.seq, row.event, row.payload["seq"], row.payload["type"]) for row in _owed(desk, every)] == [
        (seq, event, seq, event) for seq, event in enumerate(told, 1)
    ]
    for receiver in (ends, None):
        assert [(row.seq, row.event) for row in _owed(desk, receiver)] == [(1, "job.partial"), (2, "job.succeeded")]
    assert [row.payload["data"]["state"] for row in _owed(desk, every)] == [
        "queued",
        "running",
        "partial",
        "queued",
        "running",
        "succeeded",
    ]


def test_a_later_message_of_a_job_waits_for_the_earlier_one_and_follows_it_at_once(desk: Desk) -> None:
    hook = _add(desk)
    _run(desk)
    first, second, third = (row.id for row in _owed(desk, hook))
    assert _claim(desk, second) is None
    assert _claim(desk, third) is None
    assert _send(desk, first, 500, again_in=60) == []
    assert _claim(desk, second) is None
    desk.hand.time += 61
    assert _send(desk, first, 500) == [second], "it has died: the next one's turn"
    assert _claim(desk, third) is None
    assert _send(desk, second) == [third]
    assert _send(desk, third) == []
    assert [row.state for row in _owed(desk, hook)] == ["dead", "delivered", "delivered"]


def test_other_jobs_and_other_receivers_do_not_wait(desk: Desk) -> None:
    one, other = _add(desk), _add(desk)
    _run(desk)
    _run(desk)
    heads = [_owed(desk, one)[0], _owed(desk, one)[3], _owed(desk, other)[0]]
    assert all(_claim(desk, row.id) for row in heads)


def test_upkeep_rings_heads_of_lines_only_and_no_more_than_its_window(desk: Desk) -> None:
    hook = _add(desk)
    for _ in range(3):
        _run(desk)
    with desk.ledger.write() as tx:
        tx.connection.execute(text("UPDATE deliveries SET rung_at = NULL"))
    with desk.ledger.write() as tx:
        rung = outbox.ring(tx, 2, 100)
        assert len(rung) == 2
        assert outbox.ring(tx, 2, 100) == []
        rung += outbox.ring(tx, 100, 100)
    assert sorted(rung) == sorted(row.id for row in _owed(desk, hook) if row.seq == 1)


def test_what_is_owed_to_a_paused_endpoint_waits_and_goes_on_when_it_is_enabled(desk: Desk) -> None:
    hook = _add(desk, enabled=False)
    _run(desk)
    first = _owed(desk, hook)[0].id
    assert _claim(desk, first) is None
    with desk.ledger.write() as tx:
        assert outbox.ring(tx, 10, 100) == []
        assert endpoints.enable(tx, desk.tenant.id, hook, redeliver=False) == 0
        assert outbox.ring(tx, 10, 100) == [first]
    assert _send(desk, first)
    with desk.ledger.write() as tx:
        endpoints.pause(tx, desk.tenant.id, hook)
    assert _claim(desk, _owed(desk, hook)[1].id) is None
    assert {row.state for row in _owed(desk, hook)} == {"delivered", "owed"}


def test_410_switches_an_endpoint_off_tells_the_others_and_there_is_a_way_back(desk: Desk) -> None:
    hook, other = _add(desk), _add(desk, outbox.SWITCHED_OFF)
    _run(desk)
    first = _owed(desk, hook)[0].id
    (rung,) = _send(desk, first, 410)
    told = _state(desk, hook)
    assert (told["state"], told["enabled"], told["reason"]) == ("off", False, "gone")
    assert [row.state for row in _owed(desk, hook)] == ["dead"] * 3
    (event,) = _owed(desk, other)
    assert (event.id, event.event, event.payload["data"]["webhook_id"]) == (rung, outbox.SWITCHED_OFF, hook)
    assert HOOK not in str(event.payload), "an address may hold a secret"
    with desk.ledger.read() as tx:
        assert tx.execute(select(audit.c.detail).where(audit.c.action == "webhook.switched_off")).scalar_one()["reason"] == "gone"

    _run(desk)  # what happens meanwhile is written down
    assert [row.state for row in _owed(desk, hook)] == ["dead"] * 6
    with pytest.raises(Failure, match="WEBHOOK_OFF"), desk.ledger.write() as tx:
        delivery_views.redeliver(tx, desk.tenant.id, first)
    with desk.ledger.write() as tx:
        endpoints.pause(tx, desk.tenant.id, hook)
    assert _state(desk, hook)["state"] == "off"
    with desk.ledger.write() as tx:
        assert endpoints.enable(tx, desk.tenant.id, hook, redeliver=True) == 6
    assert [(row.state, row.attempt) for row in _owed(desk, hook)] == [("owed", 1)] + [("owed", 0)] * 5
    assert _state(desk, hook)["failing_since"] is None


def test_an_endpoint_that_accepts_nothing_for_five_days_is_switched_off_and_one_success_begins_anew(desk: Desk) -> None:
    hook = _add(desk, "job.succeeded")
    begun = desk.hand.time
    for day, status, state in ((0, 500, "enabled"), (4, 500, "enabled"), (4.9, 204, "enabled"), (5, 500, "enabled"), (9.9, 500, "enabled")):
        desk.hand.time = begun + day * DAY
        _run(desk)
        _send(desk, _owed(desk, hook)[-1].id, status)
        assert _state(desk, hook)["state"] == state
    desk.hand.time = begun + 10 * DAY
    _run(desk)
    _send(desk, _owed(desk, hook)[-1].id, 500, again_in=5)
    assert (_state(desk, hook)["state"], _state(desk, hook)["reason"]) == ("off", "failing")
    assert _owed(desk, hook)[-1].state == "dead"


def test_what_was_in_flight_when_its_endpoint_was_switched_off_ends_too(desk: Desk) -> None:
    hook = _add(desk, "job.succeeded")
    _run(desk)
    _run(desk)
    one, other = (_claim(desk, row.id) for row in _owed(desk, hook))
    assert one is not None
    assert other is not None
    _settle(desk, one, 410)
    _settle(desk, other, 500, again_in=5)
    assert _owed(desk, hook)[1].state == "waiting"
    with desk.ledger.write() as tx:
        assert outbox.bury(tx) == 1
    assert [row.state for row in _owed(desk, hook)] == ["dead", "dead"]


def test_a_test_goes_to_an_endpoint_in_any_state_and_means_nothing_for_it(desk: Desk) -> None:
    hook = _add(desk, "job.failed", enabled=False)
    with desk.ledger.write() as tx:
        name = endpoints.test(tx, desk.tenant.id, hook)
    assert _send(desk, name, 410) == []
    assert (_state(desk, hook)["state"], _state(desk, hook)["failing_since"]) == ("paused", None)


def test_a_redelivery_is_the_same_message_with_a_new_schedule_and_asking_twice_is_asking_once(desk: Desk) -> None:
    hook = _add(desk, "job.succeeded")
    _run(desk)
    name = _owed(desk, hook)[0].id
    _send(desk, name, 500)
    with desk.ledger.write() as tx:
        assert delivery_views.redeliver(tx, desk.tenant.id, name) == [name]
    with desk.ledger.write() as tx:
        assert delivery_views.redeliver(tx, desk.tenant.id, name) == []
    sent = _claim(desk, name)
    assert sent is not None
    assert (sent.attempt, sent.tries) == (2, 1), "attempts go on being counted, the schedule begins anew"
    _settle(desk, sent)
    with desk.ledger.read() as tx:
        told = delivery_views.get(tx, desk.tenant.id, name)
    assert ([one["attempt"] for one in told["tries"]], told["state"]) == ([1, 2], "delivered")


def test_a_waiting_message_is_due_at_once_when_it_is_redelivered(desk: Desk) -> None:
    hook = _add(desk, "job.succeeded")
    _run(desk)
    name = _owed(desk, hook)[0].id
    _send(desk, name, 500, again_in=1000)
    assert _claim(desk, name) is None
    with desk.ledger.write() as tx:
        assert delivery_views.redeliver(tx, desk.tenant.id, name) == [name]
    assert _send(desk, name) == []


def test_a_range_is_sent_again_in_bites_and_repeating_it_skips_what_was(desk: Desk) -> None:
    hook = _add(desk, "job.succeeded")
    begun = desk.hand.time
    for _ in range(5):
        desk.hand.time += 10
        _run(desk)
        _send(desk, _owed(desk, hook)[-1].id)
    since, until = begun + 15, begun + 45  # the 2nd, 3rd and 4th
    desk.hand.time += 100

    def again(most: int, *states: str) -> tuple[int, bool]:
        with desk.ledger.write() as tx:
            begun, more = delivery_views.redeliver_range(tx, desk.tenant.id, hook, states, since, until, most)
        for name in begun:
            _send(desk, name)
        return len(begun), more

    assert again(10, "dead") == (0, False)
    assert again(2, "dead", "delivered") == (2, True)
    assert again(2, "dead", "delivered") == (1, False)
    assert again(2, "dead", "delivered") == (0, False)
    assert [row.attempt for row in _owed(desk, hook)] == [1, 2, 2, 2, 1]


def test_secrets_are_sealed_two_sign_while_one_is_rotated_and_never_three(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        hook, first = endpoints.add(tx, SEALING, desk.tenant.id, NewEndpoint(HOOK, ("job.failed",)), 20)

    def live() -> tuple[str, ...]:
        with desk.ledger.write() as tx:
            return signing.live(tx, SEALING, desk.tenant.id, hook)

    def rotate() -> str:
        with desk.ledger.write() as tx:
            return signing.rotate(tx, SEALING, desk.tenant.id, hook, DAY)

    assert live() == (first,)
    second = rotate()
    assert live() == (second, first)
    third = rotate()
    assert live() == (third, second)
    with desk.ledger.read() as tx:
        stored = str(tx.execute(select(webhook_secrets)).all())
    assert not any(secret.removeprefix("whsec_") in stored for secret in (first, second, third))
    desk.hand.time += DAY + 1
    assert live() == (third,)
    with desk.ledger.write() as tx:
        signing.forget(tx)
        assert len(tx.execute(select(webhook_secrets)).all()) == 1
    with pytest.raises(Failure, match="SECRET_MISMATCH"), desk.ledger.write() as tx:
        signing.live(tx, Sealing(b"another installation, 32 bytes...."), desk.tenant.id, hook)


def test_a_tenant_gets_the_secret_of_its_callbacks_when_it_is_first_needed(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        first = signing.live(tx, SEALING, desk.tenant.id, desk.tenant.id)
        assert signing.live(tx, SEALING, desk.tenant.id, desk.tenant.id) == first


def test_nobody_sees_or_moves_what_belongs_to_another_tenant(desk: Desk) -> None:
    hook = _add(desk, "job.succeeded")
    _run(desk)
    name = _owed(desk, hook)[0].id
    with desk.ledger.write() as tx:
        other = tenants.add(tx, "other").id
    for code, verb in (
        ("WEBHOOK_NOT_FOUND", lambda tx: endpoints.get(tx, other, hook)),
        ("WEBHOOK_NOT_FOUND", lambda tx: endpoints.change(tx, other, hook, {"description": "x"})),
        ("WEBHOOK_NOT_FOUND", lambda tx: endpoints.pause(tx, other, hook)),
        ("WEBHOOK_NOT_FOUND", lambda tx: endpoints.enable(tx, other, hook, True)),
        ("WEBHOOK_NOT_FOUND", lambda tx: endpoints.test(tx, other, hook)),
        ("WEBHOOK_NOT_FOUND", lambda tx: endpoints.remove(tx, other, hook)),
        ("DELIVERY_NOT_FOUND", lambda tx: delivery_views.get(tx, other, name)),
        ("DELIVERY_NOT_FOUND", lambda tx: delivery_views.redeliver(tx, other, name)),
    ):
        with pytest.raises(Failure, match=code), desk.ledger.write() as tx:
            verb(tx)
    with desk.ledger.read() as tx:
        assert delivery_views.page(tx, other, hook, 10, None, None) == []
        assert endpoints.page(tx, other, 10, None) == []


def test_endpoints_are_limited_a_removed_one_takes_its_log_and_secrets_along(desk: Desk) -> None:
    hook = _add(desk, most=1)
    with pytest.raises(Failure, match="WEBHOOK_LIMIT"):
        _add(desk, most=1)
    _run(desk)
    sent = _claim(desk, _owed(desk, hook)[0].id)
    assert sent is not None
    with desk.ledger.write() as tx:
        endpoints.remove(tx, desk.tenant.id, hook)
        assert not outbox.settle(tx, sent, Try(tx.now, 0.1, True, 204, None, ""), None), "nobody wants to know any more"
    with desk.ledger.read() as tx:
        for table in (deliveries, webhook_secrets):
            assert tx.execute(select(table)).all() == []


def test_messages_that_tell_of_no_job_go_by_age_with_their_tries(desk: Desk) -> None:
    hook = _add(desk)
    with desk.ledger.write() as tx:
        name = endpoints.test(tx, desk.tenant.id, hook)
    _send(desk, name)
    with desk.ledger.write() as tx:
        assert retention.drop_deliveries(tx, tx.now - 1) is None
        assert retention.drop_deliveries(tx, tx.now + 1) == 1
        assert tx.execute(select(tries)).all() == []


def test_one_host_has_so_many_in_flight_and_the_others_wait_without_charge_until_one_ends(desk: Desk) -> None:
    slow, again = _add(desk), _add(desk)  # two endpoints, one host
    with desk.ledger.write() as tx:
        elsewhere, _ = endpoints.add(tx, SEALING, desk.tenant.id, NewEndpoint("https://other.example.com/", outbox.EVENTS), 20)
    for _ in range(2):
        _run(desk)
    (one, two), (three, four), (free, _) = ([row.id for row in _owed(desk, hook) if row.seq == 1] for hook in (slow, again, elsewhere))
    sent = [_claim(desk, name, 2) for name in (one, two)]
    assert all(sent)
    assert _claim(desk, three, 2) is None
    assert _claim(desk, free, 2) is not None, "who is not slow does not wait"
    with desk.ledger.write() as tx:
        told = delivery_views.get(tx, desk.tenant.id, three)
        assert (told["state"], told["attempts"], told["tries"]) == ("owed", 0, [])
        assert three not in [name for name, _ in outbox.rung(tx, tx.now + 1)], "nobody rings it in vain"
        assert not {three, four} & set(outbox.ring(tx, 100, 2)), "nor does upkeep while its receiver is full"
    assert sent[0] is not None
    assert _settle(desk, sent[0], 500) == [_owed(desk, slow)[1].id], "the next of the job goes first"
    assert sent[1] is not None
    with desk.ledger.write() as tx:
        endpoints.pause(tx, desk.tenant.id, slow)
    assert _settle(desk, sent[1]) == [three], "then whoever waits longest for that host"
    assert _claim(desk, three, 2) is not None


def test_what_is_owed_counts_for_the_host_that_its_endpoint_has_moved_to(desk: Desk) -> None:
    hook, there = _add(desk), _add(desk)
    _run(desk)
    with desk.ledger.write() as tx:
        endpoints.change(tx, desk.tenant.id, hook, {"url": "https://Moved.example.com:8443/"})
    assert {row.receiver for row in _owed(desk, hook)} == {"moved.example.com"}
    assert [_claim(desk, _owed(desk, name)[0].id, 1) is not None for name in (hook, there)] == [True, True]


def test_a_delivery_that_was_put_off_waits_is_logged_and_charged_no_try(desk: Desk) -> None:
    hook = _add(desk, "job.succeeded")
    _run(desk)
    (row,) = _owed(desk, hook)
    sent = _claim(desk, row.id)
    assert sent is not None
    with desk.ledger.write() as tx:
        assert outbox.put_off(tx, sent, Try(tx.now, 0.0, False, None, "BREAKER_OPEN", "not sent"), tx.now + 5)
    with desk.ledger.write() as tx:
        assert not outbox.put_off(tx, sent, Try(tx.now, 0.0, False, None, "BREAKER_OPEN", "not sent"), tx.now + 5)
        assert tx.number(select(func.count()).select_from(tries).where(tries.c.error_code == "BREAKER_OPEN")) == 1
    assert _claim(desk, row.id) is None
    desk.hand.time += 6
    again = _claim(desk, row.id)
    assert again is not None
    assert (again.attempt, again.tries) == (sent.attempt + 1, sent.tries)
