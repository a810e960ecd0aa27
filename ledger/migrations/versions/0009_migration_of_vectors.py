"""Where vectors come from, what migrations replaced, paused jobs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("vectors", sa.Column("provenance", sa.String(), server_default="extracted", nullable=False))
    op.add_column("vectors", sa.Column("job_id", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("summary", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("jobs", sa.Column("paused_at", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("rolled_back_at", sa.Double(), nullable=True))
    op.create_table(
        "superseded",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("feature_version", sa.String(), nullable=False),
        sa.Column("engine_build", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("family", sa.String(), nullable=True),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("provenance", sa.String(), nullable=True),
        sa.Column("writer_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_superseded_job_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["sha256"], ["files.sha256"], name=op.f("fk_superseded_sha256")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_superseded_tenant_id")),
        sa.PrimaryKeyConstraint("job_id", "sha256", "feature_version", "engine_build", name=op.f("pk_superseded")),
    )
    op.create_index("ix_superseded_sha256", "superseded", ["sha256"])


def downgrade() -> None:
    raise NotImplementedError("what migrations replaced would be lost: restore a backup instead")
