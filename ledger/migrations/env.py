"""Alembic's entry: runs the migrations on the connection that `ledger.migrate` hands over."""

from __future__ import annotations

from alembic import context

from ledger import fleet_rows, vector_rows, webhook_rows  # noqa: F401 - more tables
from ledger.rows import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True, transactional_ddl=False)
context.run_migrations()
