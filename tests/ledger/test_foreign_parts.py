"""A job may name any id: what is another tenant's is to it as what is not there, on SQLite and on PostgreSQL."""

from __future__ import annotations

from ledger import job_views, parts, tenants
from ledger.jobs import NewItem
from ledger.parts import NewPart
from tests.ledger.conftest import Desk


def test_a_part_of_another_tenant_is_neither_read_nor_named(desk: Desk) -> None:
    ours, theirs = (NewPart(f"part_{who}", f"{who}.dxf", "ab" * 32, 10, "dxf") for who in ("ours", "theirs"))
    with desk.ledger.write() as tx:
        parts.add(tx, desk.tenant.id, [ours], {})
        parts.add(tx, tenants.add(tx, "somebody else").id, [theirs], {})
    job_id = desk.add(items=[NewItem(part_id=part_id) for part_id in (ours.id, theirs.id, "part_nobody")])
    claimed = desk.must_claim(desk.ring()[0])
    assert [(item.name, item.sha256) for item in claimed.items] == [("ours.dxf", "ab" * 32), (None, None), (None, None)]
    with desk.ledger.read() as tx:
        assert [item["name"] for item in job_views.page_items(tx, job_id, 10, -1, None)] == ["ours.dxf", None, None]


def test_labels_of_a_part_stand_beside_those_of_its_upload_which_go_first(desk: Desk) -> None:
    with desk.ledger.write() as tx:
        new = [NewPart("part_1", "a.dxf", "ab" * 32, 10, "dxf", {"of": "one", "at": "1"}), NewPart("part_2", "b.dxf", "cd" * 32, 10, "dxf")]
        parts.add(tx, desk.tenant.id, new, {"of": "all", "run": "7"})
    with desk.ledger.read() as tx:
        labels = [parts.get(tx, desk.tenant.id, part.id)["labels"] for part in new]
    assert labels == [{"of": "all", "run": "7", "at": "1"}, {"of": "all", "run": "7"}]
