"""A migration undone in one step, byte for byte, on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, select, update

from foundation.errors import Failure
from ledger import changes, retention, rows, superseded, vector_rows
from ledger.chunking import ChunkSize
from tasks.rollback import rollback
from tests.workers.migration.conftest import Mill

NAMES = ("dxf/wrench.dxf", "dxf/LM2.dxf", "dxf/single_arc.dxf", "stl/plate_holes.STL")


def migrate(mill: Mill, parts: list[str], source: str, target: str, **more: Any) -> str:
    job_id = mill.submit("migration", {"from": source, "to": target, "selector": {"parts": parts}, **more})
    mill.work(job_id)
    return job_id


def undo(mill: Mill, job_id: str, **more: Any) -> dict[str, int]:
    return dict(rollback(mill.ledger, mill.worker.settings, mill.tenant_id, job_id, **more)["rollback"])


def trail(mill: Mill, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    ours = (rows.audit.c.subject == job_id, rows.audit.c.action.in_(("job.rolled_back", "vectors.put_back")))
    with mill.ledger.read() as tx:
        return [(row.action, row.detail) for row in tx.execute(select(rows.audit).where(*ours).order_by(rows.audit.c.seq))]


def remembered(mill: Mill) -> int:
    with mill.ledger.read() as tx:
        return tx.number(select(func.count()).select_from(vector_rows.superseded))


def test_new_vectors_go_replaced_ones_come_back_and_others_stay_as_they_are(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superseded, "BITE", 2)
    parts = mill.upload(*NAMES)
    mill.extract(parts, "v2")
    mill.extract(parts[:1], "v4")
    for part in parts[1:3]:
        mill.lose(part)
    projections = migrate(mill, parts, "v2", "v4", allow_projection=True)
    assert mill.job(projections)["summary"] == {"present": 1, "projection": 2, "extraction": 1}
    mill.upload(NAMES[1])
    before = mill.vectors()
    # one projected vector is replaced by an extracted one
    job_id = migrate(mill, parts[:2], "v2", "v4")
    down = migrate(mill, parts, "v4", "v1")
    assert mill.job(job_id)["summary"] == {"present": 1, "extraction": 1}
    changed = mill.vectors()
    assert changed[mill.sha256(parts[1]), "v4"] != before[mill.sha256(parts[1]), "v4"]
    assert len(changed) == len(before) + 4

    assert undo(mill, down) == {"restored": 0, "removed": 4, "kept": 0}
    assert undo(mill, job_id) == {"restored": 1, "removed": 0, "kept": 0}
    assert mill.vectors() == before, "not what it was, byte for byte, with its time, its provenance and who wrote it"
    assert [told for told, _ in trail(mill, down)] == ["job.rolled_back", "vectors.put_back", "vectors.put_back"], "bounded transactions"
    assert mill.job(down)["rolled_back_at"] is not None

    written = trail(mill, job_id)
    assert undo(mill, job_id) == {"restored": 0, "removed": 0, "kept": 0}
    assert (mill.vectors(), trail(mill, job_id)) == (before, written), "a second rollback has done something"
    assert undo(mill, projections) == {"restored": 0, "removed": 3, "kept": 0}
    assert {version for _, version in mill.vectors()} == {"v2", "v4"}
    assert remembered(mill) == 0


def test_it_refuses_where_a_later_job_has_written_and_says_which(mill: Mill) -> None:
    parts = mill.upload(*NAMES[:3])
    mill.extract(parts, "v1")
    job_id = migrate(mill, parts, "v1", "v3")
    before_forced = mill.vectors()
    forced = mill.submit("extraction", {"parts": parts[:1], "feature_version": "v3", "force": True})
    mill.work(forced)
    after = mill.vectors()
    with pytest.raises(Failure) as caught:
        undo(mill, job_id)
    assert (caught.value.code, caught.value.context["jobs"], caught.value.context["vectors"]) == ("ROLLBACK_CONFLICT", [forced], 1)
    assert (mill.vectors(), mill.job(job_id)["rolled_back_at"]) == (after, None), "refused, but something was done"
    assert undo(mill, job_id, keep_changed=True) == {"restored": 0, "removed": 2, "kept": 1}
    assert mill.vectors() == {key: row for key, row in after.items() if key[1] == "v1" or key[0] == mill.sha256(parts[0])}
    assert before_forced.keys() == after.keys()


def test_migrations_one_upon_the_other_are_undone_in_turn(mill: Mill) -> None:
    (part,) = mill.upload(NAMES[0])
    mill.extract([part], "v1")
    start = mill.vectors()
    mill.lose(part)
    first = migrate(mill, [part], "v1", "v4", allow_projection=True)
    between = mill.vectors()
    mill.upload(NAMES[0])
    second = migrate(mill, [part], "v1", "v4")
    with pytest.raises(Failure) as caught:
        undo(mill, first)
    assert caught.value.context["jobs"] == [second]
    undo(mill, second)
    assert mill.vectors() == between
    undo(mill, first)
    assert mill.vectors() == start


def test_a_rollback_that_was_broken_off_goes_on_where_it_stopped(mill: Mill, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superseded, "BITE", 1)
    parts = mill.upload(*NAMES)
    mill.extract(parts, "v3")
    before = mill.vectors()
    job_id = migrate(mill, parts, "v3", "v1")
    with mill.ledger.write() as tx:
        superseded.begin(tx, mill.tenant_id, job_id, 30)
        superseded.put_back(tx, mill.tenant_id, job_id)
    assert len(mill.vectors()) == len(before) + 3
    # decided is decided: what is written meanwhile is left, and nothing is refused
    mill.work(late := mill.submit("extraction", {"parts": parts, "feature_version": "v1", "force": True}))
    assert undo(mill, job_id) == {"restored": 0, "removed": 0, "kept": 3}
    ours = mill.vectors()
    assert {key: row for key, row in ours.items() if key[1] == "v3"} == before
    assert mill.job(late)["state"] == "succeeded"


def test_only_a_migration_that_has_ended_and_is_not_too_old_is_undone_and_then_not_retried(mill: Mill) -> None:
    parts = mill.upload(*NAMES[:2])
    extraction = mill.submit("extraction", {"parts": parts, "feature_version": "v1"})
    mill.work(extraction)
    mill.lose(parts[1])
    job_id = mill.submit("migration", {"from": "v1", "to": "v2", "selector": {"parts": parts}})
    for name, code in ((extraction, "JOB_NOT_MIGRATION"), (job_id, "JOB_NOT_ENDED"), ("job_of_nobody", "JOB_NOT_FOUND")):
        with pytest.raises(Failure, match=code):
            undo(mill, name)
    mill.work(job_id)
    assert mill.job(job_id)["state"] == "partial"
    old = rows.jobs.c.id == job_id
    with mill.ledger.write() as tx:
        tx.execute(update(rows.jobs).where(old).values(finished_at=rows.jobs.c.finished_at - 31 * 86_400.0))
    with pytest.raises(Failure, match="ROLLBACK_EXPIRED"):
        undo(mill, job_id)
    with mill.ledger.write() as tx:
        assert retention.drop_superseded(tx, tx.now - 40 * 86_400.0) is None
        assert remembered_in(tx) == 1
        tx.execute(update(rows.jobs).where(old).values(finished_at=rows.jobs.c.finished_at + 2 * 86_400.0))
    undo(mill, job_id)
    with mill.ledger.write() as tx, pytest.raises(Failure, match="JOB_NOT_RETRYABLE"):
        changes.retry(tx, mill.tenant_id, job_id, ChunkSize(1, 1, 1))


def remembered_in(tx: Any) -> int:
    return int(tx.number(select(func.count()).select_from(vector_rows.superseded)))


def test_a_cancelled_migration_is_undone_as_far_as_it_came(mill: Mill) -> None:
    parts = mill.upload(*NAMES)
    mill.extract(parts, "v3")
    before = mill.vectors()
    job_id = mill.submit("migration", {"from": "v3", "to": "v1", "selector": {"parts": parts}})
    mill.work(job_id, most=2)
    assert len(mill.vectors()) == len(before) + 2
    with mill.ledger.write() as tx:
        changes.cancel(tx, mill.tenant_id, job_id)
    assert undo(mill, job_id) == {"restored": 0, "removed": 2, "kept": 0}
    assert mill.vectors() == before


def test_what_was_replaced_goes_with_its_time_and_with_its_file(mill: Mill) -> None:
    parts = mill.upload(*NAMES)
    mill.extract(parts, "v3")
    migrate(mill, parts, "v3", "v1")
    later = migrate(mill, parts, "v3", "v2")
    assert remembered(mill) == 8
    with mill.ledger.write() as tx:
        tx.execute(update(rows.jobs).where(rows.jobs.c.id != later).values(finished_at=0.0))
        assert retention.drop_superseded(tx, 1.0) == 4
        assert retention.drop_superseded(tx, 1.0) is None
        tx.execute(update(rows.parts).where(rows.parts.c.id == parts[0]).values(deleted_at=1.0))
    assert retention.sweep_files(mill.ledger, mill.worker.files, 2.0, folder=0) == 1
    assert remembered(mill) == 3
    assert undo(mill, later) == {"restored": 0, "removed": 3, "kept": 0}
