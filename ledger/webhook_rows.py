"""The tables of webhooks: who is told (endpoints), what proves it is us (secrets), what is owed (deliveries), what came of it (tries)."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Double, ForeignKey, Index, Integer, PrimaryKeyConstraint, String, Table, text

from ledger.rows import Json, metadata

_OPEN, _SENDING, _LIVE = text("state IN ('owed', 'waiting')"), text("state = 'sending'"), text("retires_at IS NULL")

endpoints = Table(
    "endpoints",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("url", String, nullable=False),
    Column("events", Json, nullable=False),  # names of the events it wants
    Column("description", String, nullable=False),
    Column("state", String, nullable=False),
    Column("reason", String),  # why it was switched off
    Column("changed_at", Double, nullable=False),  # when its state changed last
    Column("failing_since", Double),  # the first failure after which nothing was accepted
    Column("created_at", Double, nullable=False),
    Index("ix_endpoints_page", "tenant_id", "id"),
)

webhook_secrets = Table(
    "webhook_secrets",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("owner", String, nullable=False),  # an endpoint, or a tenant: that of its jobs' callbacks
    Column("sealed", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("retires_at", Double),  # null: the current one
    Index("uq_webhook_secrets_current", "owner", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    Index("ix_webhook_secrets_owner", "owner"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", String, primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("job_id", ForeignKey("jobs.id", ondelete="CASCADE")),  # null: it tells of an endpoint
    Column("endpoint_id", ForeignKey("endpoints.id", ondelete="CASCADE")),  # null: the callback of its job
    Column("seq", Integer, nullable=False, server_default="1"),  # its place among the messages of this job to this receiver
    Column("event", String, nullable=False),
    Column("url", String, nullable=False),
    Column("receiver", String),  # the host of its url; null: owed before there was a bound for each
    Column("payload", Json, nullable=False),
    Column("state", String, nullable=False),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("spent", Integer, nullable=False, server_default="0"),  # attempts of earlier rounds: each redelivery has the whole schedule
    Column("redelivered_at", Double),
    Column("lease_until", Double),
    Column("run_after", Double, nullable=False),
    Column("waits_for", String),  # the receiver that failed its last try
    Column("rung_at", Double),
    Column("created_at", Double, nullable=False),
    Column("finished_at", Double),
    Index("ix_deliveries_job_id", "job_id"),
    Index("ix_deliveries_page", "endpoint_id", "id"),
    Index("ix_deliveries_open", "endpoint_id", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_deliveries_receiver", "receiver", "run_after", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_deliveries_due", "run_after", sqlite_where=_OPEN, postgresql_where=_OPEN),
    Index("ix_deliveries_lease", "lease_until", sqlite_where=_SENDING, postgresql_where=_SENDING),
)

tries = Table(
    "tries",
    metadata,
    Column("delivery_id", ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("accepted", Boolean, nullable=False),
    Column("status", Integer),
    Column("error_code", String),
    Column("detail", String, nullable=False),
    PrimaryKeyConstraint("delivery_id", "attempt"),
)
