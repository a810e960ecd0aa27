"""The tables beside `rows.vectors`: what is new to an index, what a migration has replaced, what people say of pairs."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, LargeBinary, PrimaryKeyConstraint, String, Table, text

from ledger.rows import Count, Json, metadata

epochs = Table(
    "epochs",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("feature_version", String, nullable=False),
    Column("engine_build", String, nullable=False),
    Column("number", Count, nullable=False),  # of the last commit that changed vectors of these three
    Column("floor", Count, nullable=False, server_default="0"),  # up to here it is forgotten which vectors were removed
    PrimaryKeyConstraint("tenant_id", "feature_version", "engine_build"),
)

vector_changes = Table(
    "vector_changes",
    metadata,
    Column("tenant_id", String, nullable=False),
    Column("feature_version", String, nullable=False),
    Column("engine_build", String, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("number", Count, nullable=False),  # of the last commit that wrote or removed this vector
    Column("removed_at", Double),  # null: it is there
    PrimaryKeyConstraint("tenant_id", "feature_version", "engine_build", "sha256"),
    Index("ix_vector_changes_number", "tenant_id", "feature_version", "engine_build", "number"),
    Index(
        "ix_vector_changes_removed_at",
        "removed_at",
        sqlite_where=text("removed_at IS NOT NULL"),
        postgresql_where=text("removed_at IS NOT NULL"),
    ),
)

superseded = Table(
    "superseded",
    metadata,
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("sha256", ForeignKey("files.sha256"), nullable=False),
    Column("feature_version", String, nullable=False),
    Column("engine_build", String, nullable=False),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("family", String),
    Column("vector", LargeBinary),
    Column("result", Json),
    Column("provenance", String),
    Column("writer_id", String),  # the job that had written it
    Column("created_at", Double),
    PrimaryKeyConstraint("job_id", "sha256", "feature_version", "engine_build"),
    Index("ix_superseded_sha256", "sha256"),
)

reviews = Table(
    "reviews",
    metadata,
    # a pair of contents, in order; they outlive their files, for the same bytes may be uploaded again
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("first", String(64), nullable=False),
    Column("second", String(64), nullable=False),
    Column("mark", String, nullable=False),  # confirmed, rejected or ignored
    Column("by", String(255), nullable=False),
    Column("note", String(1000), nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("tenant_id", "first", "second"),
)
