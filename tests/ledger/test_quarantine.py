"""Files that kill processes: counted, kept from the engine, released."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from foundation.errors import Failure
from ledger import parts, quarantine, repair, tenants
from ledger.chunking import ChunkSize
from ledger.jobs import NewItem
from ledger.parts import NewPart
from ledger.rows import audit, items
from tests.ledger.conftest import Desk

DAY = 86_400.0
FILE, OTHER = "a" * 64, "b" * 64


def keep(desk: Desk, *sha256s: str) -> None:
    with desk.ledger.write() as tx:
        parts.add(tx, desk.tenant.id, [NewPart(f"part_{sha[:1]}", f"{sha[:1]}.stl", sha, 1, "stl") for sha in sha256s], {})


def crash(desk: Desk, sha256: str = FILE, build: str = "2") -> float | None:
    with desk.ledger.write() as tx:
        return quarantine.crashed(tx, desk.tenant.id, sha256, build, DAY, "chunk", "job_x")


def active(desk: Desk, build: str = "2", tenant: str = "") -> set[str]:
    with desk.ledger.read() as tx:
        return set(quarantine.active(tx, tenant or desk.tenant.id, [FILE, OTHER], build))


def test_the_second_crash_begins_a_quarantine_for_this_tenant_file_and_build_only(desk: Desk) -> None:
    keep(desk, FILE, OTHER)
    assert crash(desk) is None
    assert active(desk) == set(), "one crash is a suspicion"
    assert crash(desk) == desk.hand.time + DAY
    assert active(desk) == {FILE}
    assert active(desk, build="3") == set()
    with desk.ledger.write() as tx:
        stranger = tenants.add(tx, "stranger")
    assert active(desk, tenant=stranger.id) == set()
    with desk.ledger.read() as tx:
        (shown,) = quarantine.page(tx, desk.tenant.id, 10, None)
        assert quarantine.page(tx, stranger.id, 10, None) == []
        assert quarantine.page(tx, desk.tenant.id, 10, shown["key"]) == []
        assert tx.execute(select(audit.c.action).where(audit.c.subject == FILE)).scalars().all() == ["file.quarantined"]
    assert (shown["sha256"], shown["crashes"], shown["parts"]) == (FILE, 2, [{"id": "part_a", "name": "a.stl"}])


def test_a_quarantine_ends_by_itself_and_crashes_far_apart_do_not_add_up(desk: Desk) -> None:
    keep(desk, FILE)
    crash(desk)
    desk.hand.time += DAY + 1
    assert crash(desk) is None
    crash(desk)
    assert active(desk) == {FILE}
    desk.hand.time += DAY + 1
    assert active(desk) == set()
    assert crash(desk) is None, "it begins anew"
    with desk.ledger.write() as tx:
        quarantine.forget(tx, tx.now + 1)
    assert crash(desk) is None, "even the suspicion was forgotten"


def test_a_released_file_may_be_read_again_and_only_its_tenant_may_release_it(desk: Desk) -> None:
    keep(desk, FILE)
    crash(desk)
    crash(desk)
    with desk.ledger.write() as tx:
        stranger = tenants.add(tx, "stranger")
    with desk.ledger.write() as tx, pytest.raises(Failure, match="QUARANTINE_NOT_FOUND"):
        quarantine.release(tx, stranger.id, FILE)
    with desk.ledger.write() as tx:
        quarantine.release(tx, desk.tenant.id, FILE)
    assert active(desk) == set()
    assert crash(desk) is None
    with desk.ledger.read() as tx:
        assert "file.released" in tx.execute(select(audit.c.action)).scalars().all()


@pytest.mark.parametrize("kinds", [("probe",), ("extraction",)])
def test_a_file_alone_with_two_dead_processes_is_quarantined_if_its_kind_reads_files(desk: Desk, kinds: tuple[str, ...]) -> None:
    keep(desk, FILE, OTHER)
    desk.size = ChunkSize(2, 10**9, 1)
    job_id = desk.add(2, items=[NewItem(part_id="part_a"), NewItem(part_id="part_b")])
    for _ in range(repair.SPLIT_AFTER + repair.GIVE_UP_AFTER):
        for chunk in desk.ring():
            claimed = desk.must_claim(chunk, lease=1)
            if 0 not in {item.index for item in claimed.items}:
                desk.finish(claimed)
        desk.hand.time += 2
        with desk.ledger.write() as tx:
            assert repair.rescue(tx, quarantine.Rule(DAY, kinds)) == 1
    assert desk.counts(job_id) == (1, 1, 0, 0)
    assert active(desk) == ({FILE} if "probe" in kinds else set()), "its neighbour is innocent"
    with desk.ledger.read() as tx:
        (error,) = tx.execute(select(items.c.error).where(items.c.job_id == job_id, items.c.index == 0)).scalars()
    assert error["code"] == "ENGINE_CRASH"
