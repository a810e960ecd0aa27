"""A bound for each receiver of webhooks"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_OPEN = sa.text("state IN ('owed', 'waiting')")


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("receiver", sa.String(), nullable=True))
    op.create_index("ix_deliveries_receiver", "deliveries", ["receiver", "run_after"], sqlite_where=_OPEN, postgresql_where=_OPEN)


def downgrade() -> None:
    op.drop_index("ix_deliveries_receiver", "deliveries")
    op.drop_column("deliveries", "receiver")
