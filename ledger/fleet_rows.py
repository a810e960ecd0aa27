"""The tables by which the fleet of worker processes is steered, and in which it reports."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Integer, PrimaryKeyConstraint, String, Table

from ledger.rows import Count, Json, metadata

fleet = Table(
    "fleet",
    metadata,
    Column("name", String, primary_key=True),  # one row, which every worker process reads every two seconds
    Column("cache_epoch", Integer, nullable=False),  # of the newest row of cache_settings
    Column("order_number", Integer, nullable=False),  # of the newest row of orders
)

orders = Table(
    "orders",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),  # recovery or prewarm: each worker process alive does it once
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("asked_by", String, nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("until", Double, nullable=False),  # whoever has not begun by then does not
    Column("input", Json, nullable=False),
)

order_answers = Table(
    "order_answers",
    metadata,
    Column("number", ForeignKey("orders.number", ondelete="CASCADE"), nullable=False),
    Column("process", String, nullable=False),
    Column("at", Double, nullable=False),
    Column("answer", Json, nullable=False),
    PrimaryKeyConstraint("number", "process"),
)

worker_reports = Table(
    "worker_reports",
    metadata,
    Column("process", String, primary_key=True),
    Column("at", Double, nullable=False),
    Column("cache_epoch", Integer, nullable=False),  # the setting it has taken
    Column("order_number", Integer, nullable=False),  # the last order it has carried out
    Column("index", Json, nullable=False),  # state, since, reason, tries, history
    Column("cache", Json, nullable=False),  # sizes, hits, misses
)

cache_settings = Table(
    "cache_settings",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("capacity", Count),  # null: as the environment of each process says
    Column("ttl_seconds", Double),  # null: as the environment says; 0: no end
    Column("set_at", Double, nullable=False),
    Column("set_by", String, nullable=False),
    Column("way", String, nullable=False),  # applied or rolled_back
    Column("before", Json),  # the snapshot: epoch, capacity and ttl_seconds before it; null for a rollback
    Column("rollback_until", Double),
    Column("rolled_back_at", Double),
)
