"""Alembic's entry: runs the migrations on the connection that `ledger.migrate` hands over."""

from __future__ import annotations

from alembic import context

from ledger.index_rows import epochs  # with its tables all others are known

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=epochs.metadata, render_as_batch=True, transactional_ddl=False)
context.run_migrations()
