"""The tables. Times are seconds since the epoch (float, UTC); `state` columns are guarded by `guards.py`."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    UniqueConstraint,
    literal_column,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Json = JSON(none_as_null=True)  # on PostgreSQL too: JSONB would sort the keys that we give out in order
Count = BigInteger().with_variant(Integer, "sqlite")

tenants = Table(
    "tenants",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),  # its keys open nothing, and no job of it is accepted
    Column("quota_bytes", Count),  # null: as CADMILL_QUOTA_* says; 0: none
    Column("quota_parts", Count),
    Column("quota_jobs", Count),
    Column("used_bytes", Count, nullable=False, server_default="0"),  # of its live parts, added up (`quotas.py`)
    Column("used_parts", Count, nullable=False, server_default="0"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("form", String, nullable=False, server_default="sha256"),  # of the hash (`keys.py`)
    Column("name", String(255), nullable=False, server_default=""),
    Column("scopes", String, nullable=False, server_default="read submit admin"),
    Column("expires_at", Double),
    Column("successor_id", String),  # the key that took over when it was rotated
    Column("last_used_at", Double),
    Index("ix_keys_page", "tenant_id", "id"),
)

files = Table(
    "files",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("bytes", Count, nullable=False),
    Column("format", String, nullable=False),
    Column("created_at", Double, nullable=False),
)

parts = Table(
    "parts",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("sha256", ForeignKey("files.sha256"), nullable=False),
    Column("labels", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("deleted_at", Double),
    Index("ix_parts_page", "tenant_id", "id"),
    Index("ix_parts_sha256", "sha256"),
    Index(
        "ix_parts_deleted_at", "deleted_at", sqlite_where=text("deleted_at IS NOT NULL"), postgresql_where=text("deleted_at IS NOT NULL")
    ),
)

vectors = Table(
    "vectors",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("sha256", ForeignKey("files.sha256"), nullable=False),
    Column("feature_version", String, nullable=False),
    Column("engine_build", String, nullable=False),
    Column("family", String, nullable=False),
    Column("vector", LargeBinary, nullable=False),  # float32, little endian
    Column("result", Json, nullable=False),
    Column("hits", Count, nullable=False, server_default="0"),
    Column("hit_at", Double),  # when it was last asked for
    Column("created_at", Double, nullable=False),
    Column("provenance", String, nullable=False, server_default="extracted"),  # extracted, cut or projected (`vectors.py`)
    Column("job_id", String),  # who wrote it
    PrimaryKeyConstraint("tenant_id", "sha256", "feature_version", "engine_build"),
    Index(
        "ix_vectors_hit_at",
        "tenant_id",
        "engine_build",
        "hit_at",
        sqlite_where=text("hit_at IS NOT NULL"),
        postgresql_where=text("hit_at IS NOT NULL"),
    ),
)

_IN_FLIGHT, _WITH_RESULTS = text("state IN ('queued', 'running')"), text("results_pruned_at IS NULL")

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("queue", String, nullable=False),
    Column("state", String, nullable=False),
    Column("generation", Integer, nullable=False),  # raised by each explicit retry
    Column("priority", String, nullable=False),
    Column("step", Integer, nullable=False),  # the Redis step of the priority
    Column("input", Json, nullable=False),
    Column("labels", Json, nullable=False),
    Column("callback_url", String),
    Column("max_concurrency", Integer),
    Column("run_after", Double),
    Column("deadline", Double),
    Column("chunks_made", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("succeeded", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("cancelled", Integer, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("started_at", Double),
    Column("finished_at", Double),
    Column("error", Json),
    Column("results_pruned_at", Double),  # the results of its items were emptied
    Column("pruned_at", Double),  # on its way out: hidden, while its rows go in bites
    Column("summary", Json),  # what came of its items, added up (`settling.added_up`)
    Column("paused_at", Double),  # since when it may start nothing more
    Column("rolled_back_at", Double),  # a migration whose vectors were put back
    Column("key_id", String),  # of who submitted it; null: a schedule of ours
    Index("ix_jobs_page", "tenant_id", "id"),
    Index("ix_jobs_in_flight", "tenant_id", sqlite_where=_IN_FLIGHT, postgresql_where=_IN_FLIGHT),
    Index("ix_jobs_finished_at", "finished_at"),
    Index("ix_jobs_deadline", "deadline", sqlite_where=_IN_FLIGHT, postgresql_where=_IN_FLIGHT),
    Index("ix_jobs_with_results", "finished_at", sqlite_where=_WITH_RESULTS, postgresql_where=_WITH_RESULTS),
    Index("ix_jobs_pruned_at", "pruned_at", sqlite_where=text("pruned_at IS NOT NULL"), postgresql_where=text("pruned_at IS NOT NULL")),
)

_UNRUNG, _RUNG = text("state = 'queued' AND rung_at IS NULL"), text("state = 'queued' AND rung_at IS NOT NULL")
_AGEING = text("state = 'queued' AND step > 0")  # narrow, so that SQLite takes it for nothing else

chunks = Table(
    "chunks",
    metadata,
    Column("id", String, primary_key=True),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("queue", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),  # the fencing token
    Column("crashes", Integer, nullable=False, server_default="0"),  # attempts whose process died
    Column("handed_back", Integer, nullable=False, server_default="0"),  # attempts whose process was told to stop: not charged
    Column("owner", String),
    Column("engine_build", String),  # of the process that claimed it last
    Column("lease_until", Double),
    Column("run_after", Double),
    Column("waits_for", String),  # the dependency that failed its last attempt
    Column("rung_at", Double),  # when the doorbell was last sent; null: not since it became queued
    Column("rings", Integer, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("cost", Double, nullable=False, server_default="1"),  # what it weighs, as a share of a full chunk
    Column("turn", Double, nullable=False, server_default="0"),  # its place in line: the lowest is served first (`line.py`)
    Column("queued_at", Double),  # since when it waits
    Column("stepped_at", Double),  # since when it waits in this step
    Column("started_at", Double),  # of the last attempt
    Column("finished_at", Double),
    Column("error", Json),  # why it waits for another attempt
    UniqueConstraint("job_id", "ordinal"),
    Index("ix_chunks_line", "queue", "step", "turn", "created_at", "ordinal", sqlite_where=_UNRUNG, postgresql_where=_UNRUNG),
    Index("ix_chunks_rung", "queue", "step", "rung_at", sqlite_where=_RUNG, postgresql_where=_RUNG),
    Index("ix_chunks_age", "step", "stepped_at", "turn", sqlite_where=_AGEING, postgresql_where=_AGEING),
    Index("ix_chunks_done", "queue", "finished_at", sqlite_where=text("state = 'done'"), postgresql_where=text("state = 'done'")),
    Index("ix_chunks_lease", "lease_until", sqlite_where=text("state = 'running'"), postgresql_where=text("state = 'running'")),
    Index("ix_chunks_due", "run_after", sqlite_where=text("state = 'waiting'"), postgresql_where=text("state = 'waiting'")),
)

items = Table(
    "items",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("index", Integer, nullable=False),
    Column("chunk_id", String, nullable=False),
    Column("part_id", String),
    Column("payload", Json),
    Column("bytes", Count, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("error", Json),
    Column("result", Json),
    Column("finished_at", Double),
    PrimaryKeyConstraint("job_id", "index"),
    Index("ix_items_chunk_id", "chunk_id"),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("key", String(255), nullable=False),
    Column("body_hash", String(64), nullable=False),
    Column("job_id", String),  # null: the request is in flight
    Column("claim", String, nullable=False),
    Column("claimed_until", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    PrimaryKeyConstraint("tenant_id", "key"),
)

_NOT_DONE, _ASKED = text("outcome <> 'done'"), text("request_id <> ''")

audit = Table(
    "audit",
    metadata,
    Column("seq", Count, primary_key=True, autoincrement=True),
    Column("tenant_id", String, nullable=False),  # the chain: a tenant, or the house
    Column("number", Count),  # its place in the chain; null: written past the ledger
    Column("hash", String(64), nullable=False, server_default=""),  # over the line and all before it (`trail/chain.py`)
    Column("at", Double, nullable=False),
    Column("actor", String, nullable=False),
    Column("action", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("origin", String, nullable=False, server_default=""),
    Column("request_id", String, nullable=False, server_default=""),
    Column("outcome", String, nullable=False, server_default="done"),
    Column("detail", Json, nullable=False),
    Index("ix_audit_chain", "tenant_id", "number", unique=True),
    Index("ix_audit_action", "tenant_id", "action", "number"),
    Index("ix_audit_subject", "subject", "seq"),
    Index("ix_audit_actor", "actor", "seq"),
    Index("ix_audit_request_id", "request_id", "seq", sqlite_where=_ASKED, postgresql_where=_ASKED),
    Index("ix_audit_not_done", "seq", sqlite_where=_NOT_DONE, postgresql_where=_NOT_DONE),
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", String, primary_key=True),
    Column("number", Count, nullable=False),  # of its last line
    Column("hash", String(64), nullable=False),
    Column("floor", Count, nullable=False),  # lines up to this one were let go, ...
    Column("floor_hash", String(64), nullable=False),  # ... of which this was the last
    Column("floor_at", Double),  # what was told before this time may be missing
)

commits = Table(
    "commits",
    metadata,
    Column("writer", String, primary_key=True),  # a connection; SQLite only: PostgreSQL names its transactions itself
    Column("number", Count, nullable=False),
    Column("at", Double, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("token", Count, nullable=False),  # raised by each change of owner
    Column("until", Double, nullable=False),
)

turns = Table(
    "turns",
    metadata,
    Column("queue", String, nullable=False),
    Column("step", Integer, nullable=False),
    Column("flow", String, nullable=False),  # "<tenant>/<priority>"; empty: how far the line itself has come
    Column("turn", Double, nullable=False),
    PrimaryKeyConstraint("queue", "step", "flow"),
)

queues = Table(
    "queues",
    metadata,
    Column("name", String, primary_key=True),
    Column("paused_at", Double),
    Column("paused_by", String),
    Column("reason", String),
)

workers = Table(
    "workers",
    metadata,
    Column("name", String, primary_key=True),
    Column("queues", Json, nullable=False),
    Column("slots", Integer, nullable=False),  # chunks it can work on at once
    Column("started_at", Double, nullable=False),
    Column("beat_at", Double, nullable=False),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("sha256", ForeignKey("files.sha256"), nullable=False),
    Column("engine_build", String, nullable=False),
    Column("crashes", Integer, nullable=False),  # processes this file killed
    Column("last_at", Double, nullable=False),
    Column("until", Double),  # null: suspected only
    PrimaryKeyConstraint("tenant_id", "sha256", "engine_build"),
)

budgets = Table(
    "budgets",
    metadata,
    Column("dependency", String, primary_key=True),
    Column("tokens", Double, nullable=False),  # below zero: the debt that retries wait for
    Column("at", Double, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("cron", String(255), nullable=False),
    Column("timezone", String(255), nullable=False),
    Column("job", Json, nullable=False),  # the request of the jobs it submits
    Column("catch_up", String, nullable=False),  # none, last or all
    Column("catch_up_most", Integer, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("next_at", Double),  # the slot that comes next; whoever moves it on owns that slot
    Column("last_slot", Double),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    UniqueConstraint("tenant_id", "name"),
    Index("ix_schedules_due", "next_at", sqlite_where=text("enabled"), postgresql_where=text("enabled")),
)

schedule_slots = Table(
    "schedule_slots",
    metadata,
    Column("schedule_id", ForeignKey("schedules.id", ondelete="CASCADE"), nullable=False),
    Column("slot", Double, nullable=False),
    Column("asked_by", String, nullable=False),  # clock or hand
    Column("outcome", String, nullable=False),  # submitted, refused or missed
    Column("slots", Integer, nullable=False),  # missed slots are told together: how many, ...
    Column("until", Double, nullable=False),  # ... and which was the last
    Column("job_id", String),
    Column("error", Json),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("schedule_id", "slot", "asked_by"),
    Index("ix_schedule_slots_at", "at"),
)


EXTRACTED, CUT, PROJECTED = "extracted", "cut", "projected"  # provenance of vectors


def native() -> ColumnElement[bool]:
    """Whether every slot of a vector was computed from its file."""
    return vectors.c.provenance != PROJECTED


def in_state(table: FromClause, state: str) -> ColumnElement[bool]:
    """Whether a row is in a state, written out: only then may a partial index answer (a bound value could be any state)."""
    return table.c.state == literal_column(f"'{state}'")
