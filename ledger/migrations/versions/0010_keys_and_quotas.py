"""Scopes, expiry and rotation of keys; quotas of tenants"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for column in (
        sa.Column("form", sa.String(), server_default="sha256", nullable=False),
        sa.Column("name", sa.String(length=255), server_default="", nullable=False),
        sa.Column("scopes", sa.String(), server_default="read submit admin", nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.Column("successor_id", sa.String(), nullable=True),
        sa.Column("last_used_at", sa.Double(), nullable=True),
    ):
        op.add_column("keys", column)
    op.create_index("ix_keys_page", "keys", ["tenant_id", "id"])
    for more in (
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.Column("quota_bytes", COUNT, nullable=True),
        sa.Column("quota_parts", COUNT, nullable=True),
        sa.Column("quota_jobs", COUNT, nullable=True),
        sa.Column("used_bytes", COUNT, server_default="0", nullable=False),
        sa.Column("used_parts", COUNT, server_default="0", nullable=False),
    ):
        op.add_column("tenants", more)
    live = "FROM parts JOIN files ON files.sha256 = parts.sha256 WHERE parts.tenant_id = tenants.id AND parts.deleted_at IS NULL"
    op.execute(
        f"UPDATE tenants SET used_bytes = (SELECT coalesce(sum(files.bytes), 0) {live}), used_parts = (SELECT count(*) {live})"
    )
    in_flight = sa.text("state IN ('queued', 'running')")
    op.create_index("ix_jobs_in_flight", "jobs", ["tenant_id"], sqlite_where=in_flight, postgresql_where=in_flight)


def downgrade() -> None:
    raise NotImplementedError("keys would be lost: restore a backup instead")
