"""Order in the ledger: turns, paused queues, workers alive"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)


def partial(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "chunks", columns, unique=False, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    for column in (
        sa.Column("cost", sa.Double(), server_default="1", nullable=False),
        sa.Column("turn", sa.Double(), server_default="0", nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=True),
        sa.Column("stepped_at", sa.Double(), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.Column("error", JSON, nullable=True),
    ):
        op.add_column("chunks", column)
    # What waits already keeps its order: all have turn 0, and equal turns are served by age.
    op.execute("UPDATE chunks SET queued_at = created_at, stepped_at = created_at WHERE state = 'queued'")
    op.drop_index("ix_chunks_next", table_name="chunks")
    partial("ix_chunks_line", ["queue", "step", "turn", "created_at", "ordinal"], "state = 'queued' AND rung_at IS NULL")
    partial("ix_chunks_rung", ["queue", "step", "rung_at"], "state = 'queued' AND rung_at IS NOT NULL")
    partial("ix_chunks_age", ["step", "stepped_at", "turn"], "state = 'queued' AND step > 0")
    partial("ix_chunks_done", ["queue", "finished_at"], "state = 'done'")
    op.create_table(
        "turns",
        sa.Column("queue", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("flow", sa.String(), nullable=False),
        sa.Column("turn", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("queue", "step", "flow", name=op.f("pk_turns")),
    )
    op.create_table(
        "queues",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("paused_at", sa.Double(), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_queues")),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("queues", JSON, nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("beat_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )


def downgrade() -> None:
    raise NotImplementedError("places in line cannot be given back: restore a backup instead")
