"""Faults planted into a store by raw SQL, past the guards: one function a kind, each on a job of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from ledger import guards, parts, vectors
from ledger.files import FileStore
from ledger.session import Tx
from ledger.states import TABLES
from tasks.ring import Doorbell, Ring
from tests.ledger.conftest import Desk


@dataclass
class Ground:
    """A store to plant in."""

    desk: Desk
    files: FileStore
    bell: Doorbell
    left: Counter[str] = field(default_factory=Counter)  # what earlier plants left to a person

    @contextmanager
    def past_the_guards(self) -> Iterator[Tx]:
        with self.desk.ledger.write() as tx:
            if tx.connection.dialect.name == "sqlite":
                for name in tx.connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
                    tx.connection.exec_driver_sql(f"DROP TRIGGER {name}")
            else:
                for table in (*TABLES, *guards.APPEND_ONLY):
                    tx.connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            yield tx
            guards.install(tx.connection)

    def sql(self, statement: str, **values: Any) -> None:
        with self.past_the_guards() as tx:
            assert tx.connection.execute(text(statement), values).rowcount > 0, f"nothing was planted: {statement}"

    def queued(self, **more: object) -> str:
        """A job of three items in chunks of two."""
        self.desk.size = type(self.desk.size)(2, 10**9, 1)
        return self.desk.add(3, **more)

    def running(self, **more: object) -> str:
        """Likewise, with its first chunk in work."""
        job = self.queued(**more)
        self.desk.must_claim(f"{job}.0", 600.0)
        return job

    def ended(self, **more: object) -> str:
        job = self.queued(**more)
        for ordinal in range(2):
            assert self.desk.finish(self.desk.must_claim(f"{job}.{ordinal}")) is not None
        return job

    def failed(self) -> str:
        """Ended with one item failed."""
        job = self.queued()
        for ordinal in range(2):
            claimed = self.desk.must_claim(f"{job}.{ordinal}")
            self.desk.finish(claimed, *([claimed.items[0].index] if ordinal == 0 else []))
        return job

    def part(self, data: bytes) -> str:
        """A stored file that a part names; its hash."""
        with self.files.receive(10**6) as incoming:
            incoming.write(data)
            sha256 = incoming.keep()
        with self.desk.ledger.write() as tx:
            new = parts.NewPart(tx.clock.new_id("part"), "a.stl", sha256, len(data), "stl")
            parts.add(tx, self.desk.tenant.id, [new], {})
        return sha256


CALLBACK = "https://example.com/told"


def counters_differ(on: Ground) -> str:
    job = on.failed()
    on.sql("UPDATE jobs SET succeeded = 3, failed = 0 WHERE id = :job", job=job)
    return job


def items_missing(on: Ground) -> str:
    job = on.ended()
    on.sql('DELETE FROM items WHERE job_id = :job AND "index" = 1', job=job)
    on.sql("UPDATE jobs SET succeeded = 2 WHERE id = :job", job=job)
    return job


def chunk_numbers(on: Ground) -> str:
    job = on.queued()
    on.sql("UPDATE jobs SET chunks_made = 1 WHERE id = :job", job=job)
    return job


def live_chunk_of_ended_job(on: Ground) -> str:
    job = on.ended()
    on.sql("UPDATE chunks SET state = 'queued' WHERE id = :chunk", chunk=f"{job}.1")
    return f"{job}.1"


def open_items_of_ended_job(on: Ground) -> str:
    job = on.failed()
    on.sql("UPDATE items SET state = 'pending', error = NULL WHERE job_id = :job AND state = 'failed'", job=job)
    on.sql("UPDATE jobs SET failed = 0 WHERE id = :job", job=job)
    return job


def items_without_chunk(on: Ground) -> str:
    job = on.running()
    on.sql("DELETE FROM chunks WHERE id = :chunk", chunk=f"{job}.1")
    return f"{job}.1"


def items_of_a_dead_chunk(on: Ground) -> str:
    job = on.running()
    on.sql("UPDATE chunks SET state = 'dead' WHERE id = :chunk", chunk=f"{job}.1")
    return f"{job}.1"


def chunk_without_items(on: Ground) -> str:
    job = on.running()
    on.sql("UPDATE items SET chunk_id = :first WHERE chunk_id = :second", first=f"{job}.0", second=f"{job}.1")
    return f"{job}.1"


def lease_ended(on: Ground) -> str:
    job = on.running()
    on.sql("UPDATE chunks SET lease_until = :long_ago WHERE id = :chunk", chunk=f"{job}.0", long_ago=on.desk.hand.time - 3600)
    return f"{job}.0"


def lease_missing(on: Ground) -> str:
    job = on.running()
    on.sql("UPDATE chunks SET lease_until = NULL WHERE id = :chunk", chunk=f"{job}.0")
    return f"{job}.0"


def held_for_nothing(on: Ground) -> str:
    job = on.queued(max_concurrency=1)
    on.sql("UPDATE chunks SET state = 'waiting' WHERE id = :chunk", chunk=f"{job}.0")
    return job


def never_closed(on: Ground) -> str:
    job = on.ended(callback_url=CALLBACK)
    on.sql("DELETE FROM audit WHERE subject = :job AND action = 'job.succeeded'", job=job)
    on.sql("DELETE FROM deliveries WHERE job_id = :job", job=job)
    on.sql("UPDATE jobs SET state = 'running', finished_at = NULL WHERE id = :job", job=job)
    return job


def webhook_not_owed(on: Ground) -> str:
    job = on.ended(callback_url=CALLBACK)
    on.sql("DELETE FROM deliveries WHERE job_id = :job", job=job)
    return job


def webhook_of_no_end(on: Ground) -> str:
    ended, job = on.ended(callback_url=CALLBACK), on.running()
    on.sql("UPDATE deliveries SET job_id = :job WHERE job_id = :ended", job=job, ended=ended)
    on.sql("UPDATE jobs SET callback_url = NULL WHERE id = :ended", ended=ended)
    return job


def delivery_stuck(on: Ground) -> str:
    job = on.ended(callback_url=CALLBACK)
    on.sql("UPDATE deliveries SET state = 'sending', lease_until = NULL WHERE job_id = :job", job=job)
    with on.desk.ledger.read() as tx:
        return str(tx.connection.execute(text("SELECT id FROM deliveries WHERE job_id = :job"), {"job": job}).scalar_one())


def end_not_told(on: Ground) -> str:
    job = on.ended()
    on.sql("DELETE FROM audit WHERE subject = :job AND action = 'job.succeeded'", job=job)
    return job


def end_told_twice(on: Ground) -> str:
    job = on.ended()
    _double(on, job, "job.succeeded")
    return job


def done_twice(on: Ground) -> str:
    job = on.ended()
    on.sql(
        "INSERT INTO audit (tenant_id, at, actor, action, subject, detail)"
        " SELECT tenant_id, at, actor, action, subject, detail FROM audit WHERE actor = :chunk AND action = 'chunk.done'",
        chunk=f"{job}.1",
    )
    return f"{job}.1"


def _double(on: Ground, job: str, action: str) -> None:
    on.sql(
        "INSERT INTO audit (tenant_id, at, actor, action, subject, detail)"
        " SELECT tenant_id, at, actor, action, subject, detail FROM audit WHERE subject = :job AND action = :action",
        job=job,
        action=action,
    )


def key_of_no_job(on: Ground) -> str:
    on.sql(
        "INSERT INTO idempotency (tenant_id, key, body_hash, job_id, claim, claimed_until, created_at)"
        " VALUES (:tenant, 'my key', 'x', 'job_gone', 'c', 0, 0)",
        tenant=on.desk.tenant.id,
    )
    return "my key"


def vector_of_no_part(on: Ground) -> str:
    sha256 = on.part(b"a part that will be gone")
    with on.desk.ledger.write() as tx:
        vectors.put(tx, on.desk.tenant.id, [vectors.Vector(sha256, "v4", "1", "mesh", b"\0" * 4, {})])
    on.sql("DELETE FROM parts WHERE sha256 = :sha256", sha256=sha256)
    return sha256


def file_missing(on: Ground) -> str:
    sha256 = on.part(b"bytes that will be gone")
    on.files.path(sha256).unlink()
    return sha256


def file_damaged(on: Ground) -> str:
    sha256 = on.part(b"bytes that will be cut")
    on.files.path(sha256).write_bytes(b"bytes")
    return sha256


def file_changed(on: Ground) -> str:
    """Of the right size: only its hash tells."""
    sha256 = on.part(b"bytes that will be altered")
    on.files.path(sha256).write_bytes(b"bytes that will be alterex")
    return sha256


def file_unnamed(on: Ground) -> str:
    with on.files.receive(10**6) as incoming:
        incoming.write(b"nobody wants me")
        return incoming.keep()


def preview_of_no_file(on: Ground) -> str:
    name = f"{'ab' * 32}.1.svg"
    folder = on.files.directory / "previews" / "ab"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("<svg/>")
    return name


def ring_lost(on: Ground) -> str:
    job = on.queued()
    on.sql("UPDATE chunks SET rung_at = :long_ago WHERE id = :chunk", chunk=f"{job}.0", long_ago=on.desk.hand.time - 3600)
    return f"{job}.0"


def ring_of_nothing(on: Ground) -> str:
    assert on.bell.ring([Ring("extraction", "job_that_never_was.0", "extraction", 6)])
    return "job_that_never_was.0"


PLANTS: dict[str, tuple[Callable[[Ground], str], str]] = {
    plant.__name__: (plant, kind)
    for plant, kind in [
        (counters_differ, "counters_differ"),
        (chunk_numbers, "chunk_numbers"),
        (live_chunk_of_ended_job, "live_chunk_of_ended_job"),
        (open_items_of_ended_job, "open_items_of_ended_job"),
        (items_without_chunk, "items_without_chunk"),
        (items_of_a_dead_chunk, "items_without_chunk"),
        (chunk_without_items, "chunk_without_items"),
        (lease_ended, "lease_ended"),
        (lease_missing, "lease_ended"),
        (held_for_nothing, "held_for_nothing"),
        (never_closed, "never_closed"),
        (webhook_not_owed, "webhook_not_owed"),
        (webhook_of_no_end, "webhook_of_no_end"),
        (delivery_stuck, "delivery_stuck"),
        (end_not_told, "end_not_told"),
        (key_of_no_job, "key_of_no_job"),
        (vector_of_no_part, "vector_of_no_part"),
        (file_unnamed, "file_unnamed"),
        (preview_of_no_file, "preview_of_no_file"),
        (ring_lost, "ring_lost"),
        (ring_of_nothing, "ring_of_nothing"),
        # a person is needed for these
        (file_damaged, "file_damaged"),
        (file_changed, "file_damaged"),
        (file_missing, "file_missing"),
        (items_missing, "items_missing"),
        (end_told_twice, "end_told_twice"),
        (done_twice, "done_twice"),
    ]
}
