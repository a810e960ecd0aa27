"""Steering of the fleet: orders to every worker process, what each reports, versions of the cache setting; when a vector was asked for"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)
COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ASKED_FOR = sa.text("hit_at IS NOT NULL")


def upgrade() -> None:
    op.add_column("vectors", sa.Column("hit_at", sa.Double(), nullable=True))
    op.create_index(
        "ix_vectors_hit_at",
        "vectors",
        ["tenant_id", "engine_build", "hit_at"],
        sqlite_where=ASKED_FOR,
        postgresql_where=ASKED_FOR,
    )
    fleet = op.create_table(
        "fleet",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("cache_epoch", sa.Integer(), nullable=False),
        sa.Column("order_number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fleet")),
    )
    op.bulk_insert(fleet, [{"name": "fleet", "cache_epoch": 0, "order_number": 0}])
    op.create_table(
        "orders",
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("input", JSON, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_orders_tenant_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_orders")),
    )
    op.create_table(
        "order_answers",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("process", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("answer", JSON, nullable=False),
        sa.ForeignKeyConstraint(["number"], ["orders.number"], name=op.f("fk_order_answers_number"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", "process", name=op.f("pk_order_answers")),
    )
    op.create_table(
        "worker_reports",
        sa.Column("process", sa.String(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("cache_epoch", sa.Integer(), nullable=False),
        sa.Column("order_number", sa.Integer(), nullable=False),
        sa.Column("index", JSON, nullable=False),
        sa.Column("cache", JSON, nullable=False),
        sa.PrimaryKeyConstraint("process", name=op.f("pk_worker_reports")),
    )
    op.create_table(
        "cache_settings",
        sa.Column("epoch", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("capacity", COUNT, nullable=True),
        sa.Column("ttl_seconds", sa.Double(), nullable=True),
        sa.Column("set_at", sa.Double(), nullable=False),
        sa.Column("set_by", sa.String(), nullable=False),
        sa.Column("way", sa.String(), nullable=False),
        sa.Column("before", JSON, nullable=True),
        sa.Column("rollback_until", sa.Double(), nullable=True),
        sa.Column("rolled_back_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("epoch", name=op.f("pk_cache_settings")),
    )


def downgrade() -> None:
    for table in ("cache_settings", "worker_reports", "order_answers", "orders", "fleet"):
        op.drop_table(table)
    op.drop_index("ix_vectors_hit_at", "vectors")
    op.drop_column("vectors", "hit_at")
