"""Failed items by code, and parts by label, on both databases."""

from __future__ import annotations

from ledger import failures, parts, tenants
from ledger.parts import NewPart
from tests.ledger.conftest import Desk


def test_failed_items_are_counted_by_code_over_all_jobs_of_their_tenant_alone(desk: Desk) -> None:
    found = [desk.add(10), desk.add(10), desk.add(10)]
    for job, failed in zip(found, ((1, 2), (3,), ()), strict=True):
        desk.ring()
        desk.finish(desk.must_claim(f"{job}.0"), *failed)
    with desk.ledger.write() as tx:
        other = tenants.add(tx, "other")
    with desk.ledger.read() as tx:
        (group,) = failures.by_code(tx, desk.tenant.id, 0)
        assert (group["code"], group["items"], group["jobs"], group["newest_job"]) == ("PROBE_FAILED", 3, 2, found[1])
        assert failures.by_code(tx, desk.tenant.id, tx.now + 1) == []
        assert failures.by_code(tx, other.id, 0) == []
        assert [job["id"] for job in failures.jobs_with(tx, desk.tenant.id, 10, None, "PROBE_FAILED")] == [found[1], found[0]]
        assert [job["id"] for job in failures.jobs_with(tx, desk.tenant.id, 10, found[1], "PROBE_FAILED")] == [found[0]]
        assert failures.jobs_with(tx, desk.tenant.id, 10, None, "FILE_CORRUPT") == []
        assert failures.jobs_with(tx, other.id, 10, None, "PROBE_FAILED") == []


def test_parts_are_found_by_name_and_labels(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        parts.add(tx, desk.tenant.id, [NewPart("part_1", "left bracket.stl", "a" * 64, 1, "stl")], {"project": "alpha"})
        parts.add(tx, desk.tenant.id, [NewPart("part_2", "right bracket.stl", "b" * 64, 1, "stl")], {"project": "beta"})
    with desk.ledger.read() as tx:
        assert [one["id"] for one in parts.page(tx, desk.tenant.id, 9, None, "bracket", None, {"project": "beta"})] == ["part_2"]
        assert [one["id"] for one in parts.page(tx, desk.tenant.id, 9, None, "left", None, {"project": "beta"})] == []
        assert [one["id"] for one in parts.page(tx, desk.tenant.id, 9, None, "bracket", None)] == ["part_2", "part_1"]
