"""Idempotency keys, parts, vectors and deliveries."""

from __future__ import annotations

import pytest

from foundation.clock import SYSTEM
from foundation.errors import Failure
from ledger import delivery_views, idempotency, outbox, parts, tenants, vectors
from ledger.outbox import Try
from ledger.parts import NewPart
from ledger.vectors import Vector
from tests.ledger.conftest import Desk


def test_an_idempotency_key_is_in_flight_then_tied_then_bound_to_its_body(desk: Desk) -> None:
    tenant = desk.tenant.id
    with desk.ledger.write() as tx:
        first = idempotency.claim(tx, tenant, "k", "body", 30)
    with pytest.raises(Failure, match="IDEMPOTENCY_KEY_IN_FLIGHT"), desk.ledger.write() as tx:
        idempotency.claim(tx, tenant, "k", "body", 30)
    with desk.ledger.write() as tx:
        idempotency.tie(tx, tenant, first, "job_1")
    with desk.ledger.write() as tx:
        assert idempotency.claim(tx, tenant, "k", "body", 30).job_id == "job_1"
    with pytest.raises(Failure, match="IDEMPOTENCY_KEY_REUSED"), desk.ledger.write() as tx:
        idempotency.claim(tx, tenant, "k", "another body", 30)


def test_the_claim_of_a_request_that_died_is_taken_over_and_it_cannot_come_back(desk: Desk) -> None:
    tenant = desk.tenant.id
    with desk.ledger.write() as tx:
        dead = idempotency.claim(tx, tenant, "k", "body", 30)
    desk.hand.time += 31
    with desk.ledger.write() as tx:
        heir = idempotency.claim(tx, tenant, "k", "body", 30)
        idempotency.tie(tx, tenant, heir, "job_2")
    with pytest.raises(Failure, match="IDEMPOTENCY_KEY_IN_FLIGHT"), desk.ledger.write() as tx:
        idempotency.tie(tx, tenant, dead, "job_1")


def test_a_released_key_may_be_used_for_a_corrected_request(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        idempotency.release(tx, desk.tenant.id, idempotency.claim(tx, desk.tenant.id, "k", "wrong", 30))
        assert idempotency.claim(tx, desk.tenant.id, "k", "right", 30).job_id is None


def two_parts(desk: Desk, labels: dict[str, str] | None = None) -> list[NewPart]:
    new = [NewPart(SYSTEM.new_id("part"), name, "ab" * 32, 5, "dxf") for name in ("a.dxf", "b.dxf")]
    with desk.ledger.write() as tx:
        parts.add(tx, desk.tenant.id, new, labels or {})
    return new


def test_parts_of_one_file_share_its_bytes_and_a_stranger_sees_neither(desk: Desk) -> None:
    one, two = two_parts(desk)
    with desk.ledger.write() as tx:
        other = tenants.add(tx, "other")
        assert parts.get(tx, desk.tenant.id, one.id)["sha256"] == two.sha256
        with pytest.raises(Failure, match="PART_NOT_FOUND"):
            parts.get(tx, other.id, one.id)
        with pytest.raises(Failure, match="PART_NOT_FOUND"):
            parts.delete(tx, other.id, one.id)
        assert parts.page(tx, other.id, 10, None, None, None) == []
        assert parts.sizes(tx, other.id, [one.id]) == {}
        assert vectors.results(tx, other.id, [one.sha256], "v3", "1") == {}


def test_parts_are_found_by_label_format_and_name_and_gone_when_deleted(desk: Desk) -> None:
    one, two = two_parts(desk, {"project": "x"})
    two_parts(desk)
    with desk.ledger.write() as tx:
        assert set(parts.select_ids(tx, desk.tenant.id, {"labels": {"project": "x"}}, 10)) == {one.id, two.id}
        assert len(parts.select_ids(tx, desk.tenant.id, {"format": "dxf"}, 10)) == 4
        assert parts.select_ids(tx, desk.tenant.id, {"format": "stl"}, 10) == {}
        assert len(parts.page(tx, desk.tenant.id, 10, None, "a.d", None)) == 2
        assert parts.page(tx, desk.tenant.id, 10, None, "%", None) == []
        parts.delete(tx, desk.tenant.id, one.id)
        assert one.id not in parts.select_ids(tx, desk.tenant.id, {}, 10)


def test_the_gallery_is_every_part_with_a_vector_and_a_vector_put_again_replaces_the_old_one(desk: Desk) -> None:
    tenant = desk.tenant.id
    with desk.ledger.write() as tx:
        new = [NewPart(SYSTEM.new_id("part"), f"{n}.stl", f"{n:064x}", 1, "stl") for n in range(5)]
        parts.add(tx, tenant, new, {})
        vectors.put(tx, tenant, [Vector(part.sha256, "v3", "1", "3d", bytes([n]), {"n": n}) for n, part in enumerate(new)])
        assert set(vectors.written(tx, tenant, [new[0].sha256, "nobody"], "v3", "1")) == {new[0].sha256}
        vectors.put(tx, tenant, [Vector(new[0].sha256, "v3", "1", "3d", b"new", {"n": 9})])
        assert vectors.load(tx, tenant, [new[0].sha256], "v3", "1") == {new[0].sha256: b"new"}


def test_a_delivery_is_claimed_by_one_tried_again_and_a_stale_try_refused(desk: Desk) -> None:
    job_id = desk.add(1)
    with desk.ledger.write() as tx:
        name = outbox.owe(tx, desk.tenant.id, job_id, "https://example.com", "job.failed", {"id": job_id})
    with desk.ledger.write() as tx:
        first = outbox.claim(tx, name, 30, 2)
        assert first is not None
        assert outbox.claim(tx, name, 30, 2) is None
    desk.hand.time += 31
    with desk.ledger.write() as tx:
        assert outbox.rescue(tx) == 1
        second = outbox.claim(tx, name, 30, 2)
        assert second is not None
        assert second.attempt == 2
    refused = Try(desk.hand.time, 0.1, False, 500, "RECEIVER_REFUSED", "no")
    with desk.ledger.write() as tx:
        assert not outbox.settle(tx, first, refused, None)
        assert outbox.settle(tx, second, refused, tx.now + 60)
        assert outbox.claim(tx, name, 30, 2) is None
    desk.hand.time += 61
    with desk.ledger.write() as tx:
        assert outbox.ring(tx, 10, 2) == [name]
        third = outbox.claim(tx, name, 30, 2)
        assert third is not None
        assert outbox.settle(tx, third, Try(tx.now, 0.1, True, 204, None, ""), None)
        (told,) = delivery_views.of_job(tx, desk.tenant.id, job_id)
    assert told["state"] == "delivered"
    assert [(one["attempt"], one["status"]) for one in told["tries"]] == [(1, None), (2, 500), (3, 204)]
