"""Numbers of changes to vectors, so that an index can ask what is new to it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op


revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_REMOVED = sa.text("removed_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "epochs",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("feature_version", sa.String(), nullable=False),
        sa.Column("engine_build", sa.String(), nullable=False),
        sa.Column("number", _COUNT, nullable=False),
        sa.Column("floor", _COUNT, nullable=False, server_default="0"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_epochs_tenant_id")),
        sa.PrimaryKeyConstraint("tenant_id", "feature_version", "engine_build", name=op.f("pk_epochs")),
    )
    op.create_table(
        "vector_changes",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("feature_version", sa.String(), nullable=False),
        sa.Column("engine_build", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("number", _COUNT, nullable=False),
        sa.Column("removed_at", sa.Double()),
        sa.PrimaryKeyConstraint("tenant_id", "feature_version", "engine_build", "sha256", name=op.f("pk_vector_changes")),
    )
    op.create_index("ix_vector_changes_number", "vector_changes", ["tenant_id", "feature_version", "engine_build", "number"])
    op.create_index(
        "ix_vector_changes_removed_at", "vector_changes", ["removed_at"], sqlite_where=_REMOVED, postgresql_where=_REMOVED
    )
    # what is there already was written by commit number one
    op.execute(
        "INSERT INTO vector_changes (tenant_id, feature_version, engine_build, sha256, number) "
        "SELECT tenant_id, feature_version, engine_build, sha256, 1 FROM vectors"
    )
    op.execute(
        "INSERT INTO epochs (tenant_id, feature_version, engine_build, number) "
        "SELECT DISTINCT tenant_id, feature_version, engine_build, 1 FROM vectors"
    )


def downgrade() -> None:
    op.drop_table("vector_changes")
    op.drop_table("epochs")
