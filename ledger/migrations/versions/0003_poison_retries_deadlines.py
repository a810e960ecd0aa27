"""Quarantine, retry budgets and deadlines"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "quarantine",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("engine_build", sa.String(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("last_at", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_quarantine_tenant_id")),
        sa.ForeignKeyConstraint(["sha256"], ["files.sha256"], name=op.f("fk_quarantine_sha256")),
        sa.PrimaryKeyConstraint("tenant_id", "sha256", "engine_build", name=op.f("pk_quarantine")),
    )
    op.create_table(
        "budgets",
        sa.Column("dependency", sa.String(), nullable=False),
        sa.Column("tokens", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("dependency", name=op.f("pk_budgets")),
    )
    op.add_column("jobs", sa.Column("deadline", sa.Double(), nullable=True))
    live = sa.text("state IN ('queued', 'running')")
    op.create_index("ix_jobs_deadline", "jobs", ["deadline"], sqlite_where=live, postgresql_where=live)
    op.add_column("chunks", sa.Column("engine_build", sa.String(), nullable=True))
    op.add_column("chunks", sa.Column("waits_for", sa.String(), nullable=True))
    op.add_column("deliveries", sa.Column("waits_for", sa.String(), nullable=True))


def downgrade() -> None:
    for table, column in (("deliveries", "waits_for"), ("chunks", "waits_for"), ("chunks", "engine_build")):
        op.drop_column(table, column)
    op.drop_index("ix_jobs_deadline", "jobs")
    op.drop_column("jobs", "deadline")
    op.drop_table("budgets")
    op.drop_table("quarantine")
