"""Failures in real rows: what they say survives, and a code that was renamed since is found by both names."""

from __future__ import annotations

import errno
import json

import pytest
from sqlalchemy import select

from foundation import codes
from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from ledger import changes, failures, hits, job_views, jobs, repair
from ledger.chunking import ChunkSize
from ledger.settling import Outcome
from ledger.webhook_rows import deliveries
from tests.ledger.conftest import Desk

SIZE = ChunkSize(10, 10**9, 1)


def failed(desk: Desk, *errors: dict[str, object]) -> str:
    """A job whose first items failed with these."""
    job = desk.add(len(errors) + 1)
    desk.ring()
    claimed = desk.must_claim(f"{job}.0")
    outcomes = [Outcome(index, error=dict(error)) for index, error in enumerate(errors)] + [Outcome(len(errors), result={})]
    with desk.ledger.write() as tx:
        assert jobs.finish(tx, claimed, outcomes) is not None
    return job


def test_an_item_that_failed_with_an_old_name_is_found_told_and_retried_by_both(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = Failure("PROBE_FAILED").public() | {"code": "PROBE_BROKE"}, Failure("PROBE_FAILED").public()
    first, second = failed(desk, old, new), failed(desk, old)
    failed(desk, Failure("FILE_CORRUPT").public())
    monkeypatch.setitem(codes.RENAMED, "PROBE_BROKE", "PROBE_FAILED")
    with desk.ledger.read() as tx:
        assert [(one["code"], one["items"], one["jobs"]) for one in failures.by_code(tx, desk.tenant.id, 0)] == [
            ("PROBE_FAILED", 3, 2), ("FILE_CORRUPT", 1, 1),
        ]  # fmt: skip
        for name in ("PROBE_BROKE", "PROBE_FAILED"):
            assert {one["id"] for one in failures.jobs_with(tx, desk.tenant.id, 9, None, name)} == {first, second}
            assert set(job_views.find(tx, desk.tenant.id, 9, ["partial"], None, {}, name)) == {first, second}
        assert hits.failures(tx, first) == {"PROBE_FAILED": 2}
        assert [one["error"]["code"] for one in job_views.page_items(tx, first, 9, -1, "failed")] == ["PROBE_FAILED"] * 2
    for job, name in ((first, "PROBE_BROKE"), (second, "PROBE_FAILED")):
        with desk.ledger.write() as tx:
            changes.retry(tx, desk.tenant.id, job, SIZE, name)
    assert (desk.counts(first)[3], desk.counts(second)[3]) == (2, 1)


def test_without_renamed_codes_an_unknown_name_finds_nothing(desk: Desk) -> None:
    failed(desk, Failure("PROBE_FAILED").public())
    with desk.ledger.read() as tx:
        assert failures.jobs_with(tx, desk.tenant.id, 9, None, "PROBE_BROKE") == []


def test_what_a_library_threw_is_told_by_its_item_with_its_code_and_its_cause(desk: Desk) -> None:
    thrown = failure_of(OSError(errno.ENOSPC, "no space", "/srv/secret"), Provider.STORAGE)
    job = desk.add(2)
    desk.ring()
    claimed = desk.must_claim(f"{job}.0")
    with desk.ledger.write() as tx:
        assert jobs.fail(tx, claimed, [Outcome(0, result={})], thrown.public(), None) is not None
    with desk.ledger.read() as tx:
        (item,) = job_views.page_items(tx, job, 9, -1, "failed")
    assert (item["error"]["code"], item["error"]["context"]) == ("STORAGE_FULL", {"reason": "OSError", "errno": "ENOSPC"})
    assert item["error"] == thrown.public()


def test_a_webhook_tells_why_its_job_failed_as_the_job_does(desk: Desk) -> None:
    job = desk.add(2, deadline=desk.hand.time + 60, callback_url="https://receiver.example/hook")
    desk.hand.time += 61
    with desk.ledger.write() as tx:
        assert len(repair.expire(tx)) == 1
    with desk.ledger.read() as tx:
        (sent,) = tx.execute(select(deliveries.c.payload).where(deliveries.c.job_id == job)).scalars()
    told = json.loads(json.dumps(sent))["data"]["error"]
    assert told == desk.job(job)["error"]
    assert told == Failure("JOB_DEADLINE_PASSED", {"deadline": told["context"]["deadline"]}).public()
