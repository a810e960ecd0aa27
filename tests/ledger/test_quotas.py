"""Quotas hold to the byte, also between two who ask at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from foundation.clock import SYSTEM
from foundation.errors import Failure
from foundation.settings import QuotaSettings, Settings
from ledger import changes, parts, quotas, tenants
from ledger.chunking import ChunkSize
from ledger.parts import NewPart
from ledger.rows import files
from ledger.rows import jobs as job_rows
from ledger.rows import parts as part_rows
from ledger.session import Ledger
from tests.ledger.conftest import Desk


def upload(desk: Desk, *sizes: int) -> list[str]:
    new = [NewPart(SYSTEM.new_id("part"), "a.dxf", f"{size:064x}", size, "dxf") for size in sizes]
    with desk.ledger.write() as tx:
        parts.add(tx, desk.tenant.id, new, {})
    return [part.id for part in new]


def delete(desk: Desk, part_id: str) -> None:
    with desk.ledger.write() as tx:
        parts.delete(tx, desk.tenant.id, part_id)


def allow(desk: Desk, **quota: int | None) -> None:
    with desk.ledger.write() as tx:
        tenants.change(tx, desk.tenant.id, quota=quota)


def used(desk: Desk) -> dict[str, int]:
    with desk.ledger.read() as tx:
        return {name: told["used"] for name, told in quotas.usage(tx, desk.tenant.id).items()}


def test_bytes_and_parts_are_counted_as_they_come_and_go(desk: Desk) -> None:
    ids = upload(desk, 100, 20, 20)
    assert used(desk) == {"bytes": 140, "parts": 3, "jobs": 0}
    delete(desk, ids[0])
    with pytest.raises(Failure, match="PART_NOT_FOUND"):
        delete(desk, ids[0])
    assert used(desk) == {"bytes": 40, "parts": 2, "jobs": 0}
    with desk.ledger.read() as tx:
        live = select(func.sum(files.c.bytes), func.count()).join(part_rows, part_rows.c.sha256 == files.c.sha256)
        assert tuple(tx.execute(live.where(part_rows.c.deleted_at.is_(None))).one()) == (40, 2)


def test_an_upload_beyond_a_quota_leaves_no_trace_and_says_which(desk: Desk) -> None:
    allow(desk, bytes=100, parts=3)
    ids = upload(desk, 60, 40)
    for sizes, quota, told in (((1,), "bytes", (100, 1, 100)), ((0, 0), "parts", (2, 2, 3))):
        with pytest.raises(Failure, match="QUOTA_EXCEEDED") as caught:
            upload(desk, *sizes)
        assert caught.value.context == {"quota": quota, **dict(zip(("used", "asked", "limit"), told, strict=True))}
    assert used(desk) == {"bytes": 100, "parts": 2, "jobs": 0}
    delete(desk, ids[1])
    upload(desk, 40)


def test_a_lowered_quota_takes_nothing_away_but_lets_nothing_in(desk: Desk) -> None:
    ids = upload(desk, 60, 40)
    allow(desk, bytes=10)
    with pytest.raises(Failure, match="QUOTA_EXCEEDED"):
        upload(desk, 1)
    for part in ids:
        delete(desk, part)
    upload(desk, 10)


def test_jobs_in_flight_are_those_that_have_not_ended(desk: Desk) -> None:
    allow(desk, jobs=2)
    first, second = desk.add(1), desk.add(1)
    with pytest.raises(Failure, match="QUOTA_EXCEEDED") as caught:
        desk.add(1)
    assert caught.value.context == {"quota": "jobs", "used": 2, "asked": 1, "limit": 2}
    with desk.ledger.write() as tx:
        changes.cancel(tx, desk.tenant.id, first)
    third = desk.add(1)
    assert used(desk)["jobs"] == 2
    chunk = f"{second}.0"
    desk.ring()
    desk.finish(desk.must_claim(chunk), 0)
    with desk.ledger.write() as tx:
        changes.retry(tx, desk.tenant.id, second, ChunkSize(10, 10**9, 1))
    for ended in (second, third):
        with desk.ledger.write() as tx:
            changes.cancel(tx, desk.tenant.id, ended)
    assert used(desk)["jobs"] == 0


def test_the_settings_hold_for_tenants_without_quotas_of_their_own(desk: Desk, new_ledger: Callable[..., Ledger]) -> None:
    strict = replace(desk, ledger=Ledger(str(desk.ledger.engine.url.render_as_string(False)), Settings().database, desk.hand.clock()))
    strict.ledger.quota = QuotaSettings(bytes=0, parts=1, jobs=1)
    upload(strict, 5)
    strict.add(1)
    for refused in (lambda: upload(strict, 5), lambda: strict.add(1)):
        with pytest.raises(Failure, match="QUOTA_EXCEEDED"):
            refused()
    allow(strict, parts=0, jobs=2)
    upload(strict, 5, 5)
    strict.add(1)
    allow(strict, parts=None)
    with pytest.raises(Failure, match="QUOTA_EXCEEDED"):
        upload(strict, 5)
    with strict.ledger.read() as tx:
        assert {name: told["limit"] for name, told in quotas.usage(tx, strict.tenant.id).items()} == {"bytes": None, "parts": 1, "jobs": 2}
    strict.ledger.close()


@pytest.mark.parametrize("what", ["jobs", "parts"])
def test_of_many_at_the_limit_exactly_as_many_as_fit_get_in(desk: Desk, what: str) -> None:
    allow(desk, **{what: 5})
    start, refused = threading.Barrier(12), []

    def ask() -> None:
        start.wait()
        try:
            desk.add(1) if what == "jobs" else upload(desk, 7)
        except Failure as failure:
            refused.append(failure.code)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["QUOTA_EXCEEDED"] * 7
    assert used(desk)[what] == 5
    table = job_rows if what == "jobs" else part_rows
    with desk.ledger.read() as tx:
        assert tx.number(select(func.count()).select_from(table)) == 5
