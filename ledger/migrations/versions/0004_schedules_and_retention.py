"""Schedules, attempts that are not charged, and what retention needs"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    op.create_table(
        "schedules",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("cron", sa.String(length=255), nullable=False),
        sa.Column("timezone", sa.String(length=255), nullable=False),
        sa.Column("job", JSON, nullable=False),
        sa.Column("catch_up", sa.String(), nullable=False),
        sa.Column("catch_up_most", sa.Integer(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("last_slot", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_schedules_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_schedules_tenant_id_name")),
    )
    op.create_index(
        "ix_schedules_due", "schedules", ["next_at"], sqlite_where=sa.text("enabled"), postgresql_where=sa.text("enabled")
    )
    op.create_table(
        "schedule_slots",
        sa.Column("schedule_id", sa.String(), nullable=False),
        sa.Column("slot", sa.Double(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=True),
        sa.Column("error", JSON, nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedules.id"], name=op.f("fk_schedule_slots_schedule_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("schedule_id", "slot", "asked_by", name=op.f("pk_schedule_slots")),
    )
    op.create_index("ix_schedule_slots_at", "schedule_slots", ["at"])
    op.add_column("chunks", sa.Column("handed_back", sa.Integer(), server_default="0", nullable=False))
    op.add_column("jobs", sa.Column("results_pruned_at", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("pruned_at", sa.Double(), nullable=True))
    for table, index, column, where in (
        ("jobs", "ix_jobs_with_results", "finished_at", "results_pruned_at IS NULL"),
        ("jobs", "ix_jobs_pruned_at", "pruned_at", "pruned_at IS NOT NULL"),
        ("parts", "ix_parts_deleted_at", "deleted_at", "deleted_at IS NOT NULL"),
    ):
        op.create_index(index, table, [column], sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def downgrade() -> None:
    raise NotImplementedError("schedules would be lost: restore a backup instead")
