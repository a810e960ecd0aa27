"""Endpoints with secrets of their own, sealed; messages in order; messages that tell of no job"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

from foundation.errors import Failure
from foundation.sealing import Sealing

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True)
_OPEN, _SENDING, _LIVE = sa.text("state IN ('owed', 'waiting')"), sa.text("state = 'sending'"), sa.text("retires_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "endpoints",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("events", JSON, nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("failing_since", sa.Double(), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_endpoints_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
    )
    op.create_index("ix_endpoints_page", "endpoints", ["tenant_id", "id"])
    op.create_table(
        "webhook_secrets",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("retires_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=op.f("fk_webhook_secrets_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_secrets")),
    )
    op.create_index(
        "uq_webhook_secrets_current", "webhook_secrets", ["owner"], unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE
    )
    op.create_index("ix_webhook_secrets_owner", "webhook_secrets", ["owner"])
    _seal_secrets()
    _deliveries()


def _seal_secrets() -> None:
    """The plain secret of each tenant becomes its sealed one. Backups made before still hold it: rotate it if they went elsewhere."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        op.execute("PRAGMA secure_delete = ON")  # the file keeps no copy of what was there
    tenants = connection.execute(sa.text("SELECT id, webhook_secret, created_at FROM tenants")).all()
    sealing: Sealing | None = context.config.attributes.get("sealing")
    if tenants and sealing is None:
        raise Failure("SECRET_MISMATCH", {"reason": "webhook secrets are to be sealed, and no secret to seal them with was given"})
    for tenant in tenants:
        sealed = sealing.seal(tenant.webhook_secret, "webhook secrets", tenant.id) if sealing else ""
        values = {"id": f"sec_{tenant.id}", "tenant": tenant.id, "sealed": sealed, "at": tenant.created_at}
        connection.execute(
            sa.text("INSERT INTO webhook_secrets (id, tenant_id, owner, sealed, created_at) VALUES (:id, :tenant, :tenant, :sealed, :at)"),
            values,
        )
    op.execute("ALTER TABLE tenants DROP COLUMN webhook_secret")


def _deliveries() -> None:
    """SQLite makes the table anew, which would take the tries along: they are put aside meanwhile."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    for index in ("ix_deliveries_due", "ix_deliveries_job_id", "ix_deliveries_lease"):
        op.drop_index(index, "deliveries")
    if sqlite:
        op.execute("CREATE TEMPORARY TABLE kept_tries AS SELECT * FROM tries")
    with op.batch_alter_table("deliveries", recreate="auto") as table:
        table.alter_column("job_id", existing_type=sa.String(), nullable=True)
        table.add_column(sa.Column("endpoint_id", sa.String(), nullable=True))
        table.add_column(sa.Column("seq", sa.Integer(), server_default="1", nullable=False))
        table.add_column(sa.Column("spent", sa.Integer(), server_default="0", nullable=False))
        table.add_column(sa.Column("redelivered_at", sa.Double(), nullable=True))
        table.create_foreign_key("fk_deliveries_endpoint_id", "endpoints", ["endpoint_id"], ["id"], ondelete="CASCADE")
    if sqlite:
        op.execute("INSERT INTO tries SELECT * FROM kept_tries")
        op.execute("DROP TABLE kept_tries")
    op.execute(
        "UPDATE deliveries SET seq = (SELECT count(*) FROM deliveries AS one WHERE one.job_id = deliveries.job_id AND one.id <= deliveries.id)"
    )
    op.create_index("ix_deliveries_job_id", "deliveries", ["job_id"])
    op.create_index("ix_deliveries_page", "deliveries", ["endpoint_id", "id"])
    op.create_index("ix_deliveries_open", "deliveries", ["endpoint_id"], sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_index("ix_deliveries_due", "deliveries", ["run_after"], sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_index("ix_deliveries_lease", "deliveries", ["lease_until"], sqlite_where=_SENDING, postgresql_where=_SENDING)


def downgrade() -> None:
    raise NotImplementedError("secrets cannot be made plain again: restore a backup instead")
