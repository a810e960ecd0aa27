"""The tables that tell an index what is new to it; the others are in `rows.py`."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, PrimaryKeyConstraint, String, Table, text

from ledger.rows import Count, metadata

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
