"""The audit trail as chains: numbers, hashes, heads; origin, request and outcome of each line

Lines from before are chained in their order, as they stand. Whether they were changed before this, nobody can tell.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from ledger.trail.chain import GENESIS, linked
from ledger.trail.details import plain


revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_BITE = 2_000


def upgrade() -> None:
    on = op.get_bind()
    if on.dialect.name == "sqlite":  # the guards are laid down again behind every migration
        op.execute("DROP TRIGGER IF EXISTS guard_audit_update")
    else:
        op.execute("DROP TRIGGER IF EXISTS guard_audit_change ON audit")
    op.add_column("audit", sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True))
    op.add_column("audit", sa.Column("hash", sa.String(length=64), server_default="", nullable=False))
    op.add_column("audit", sa.Column("origin", sa.String(), server_default="", nullable=False))
    op.add_column("audit", sa.Column("request_id", sa.String(), server_default="", nullable=False))
    op.add_column("audit", sa.Column("outcome", sa.String(), server_default="done", nullable=False))
    op.create_table(
        "audit_heads",
        sa.Column("chain", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("floor", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("floor_hash", sa.String(length=64), nullable=False),
        sa.Column("floor_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_heads")),
    )
    _chain(on)
    op.drop_index("ix_audit_page", "audit")
    op.create_index("ix_audit_chain", "audit", ["tenant_id", "number"], unique=True)
    op.create_index("ix_audit_action", "audit", ["tenant_id", "action", "number"])
    op.create_index("ix_audit_subject", "audit", ["subject", "seq"])
    op.create_index("ix_audit_actor", "audit", ["actor", "seq"])
    asked, not_done = sa.text("request_id <> ''"), sa.text("outcome <> 'done'")
    op.create_index("ix_audit_request_id", "audit", ["request_id", "seq"], sqlite_where=asked, postgresql_where=asked)
    op.create_index("ix_audit_not_done", "audit", ["seq"], sqlite_where=not_done, postgresql_where=not_done)


def _chain(on: sa.Connection) -> None:
    audit = sa.table(
        "audit", sa.column("seq"), sa.column("tenant_id"), sa.column("at"), sa.column("actor"), sa.column("action"), sa.column("subject"),
        sa.column("detail", sa.JSON(none_as_null=True)), sa.column("number"), sa.column("hash"),
    )
    heads: dict[str, tuple[int, str]] = {}
    after = 0
    linking = sa.update(audit).where(audit.c.seq == sa.bindparam("s")).values(number=sa.bindparam("n"), hash=sa.bindparam("h"), detail=sa.bindparam("d"))
    while rows := on.execute(sa.select(audit).where(audit.c.seq > after).order_by(audit.c.seq).limit(_BITE)).all():
        values: list[dict[str, Any]] = []
        for row in rows:
            number, last = heads.get(row.tenant_id, (0, GENESIS))
            body = {
                "chain": row.tenant_id, "at": row.at, "actor": row.actor, "action": row.action, "subject": row.subject,
                "origin": "", "request_id": "", "outcome": "done", "detail": plain(row.detail),
            }
            heads[row.tenant_id] = number + 1, linked(last, number + 1, body)
            values.append({"s": row.seq, "n": number + 1, "h": heads[row.tenant_id][1], "d": body["detail"]})
        on.execute(linking, values)
        after = rows[-1].seq
    if heads:
        table = sa.table("audit_heads", *(sa.column(name) for name in ("chain", "number", "hash", "floor", "floor_hash")))
        on.execute(
            sa.insert(table),
            [{"chain": chain, "number": n, "hash": h, "floor": 0, "floor_hash": GENESIS} for chain, (n, h) in heads.items()],
        )


def downgrade() -> None:
    raise NotImplementedError("what proves the audit trail would be lost: restore a backup instead")
