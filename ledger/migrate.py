"""Bring a database to the newest shape and lay down its guards, in one transaction. Any number may call it at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from ledger import guards
from ledger.session import Ledger

_LOCK = 0x0CAD_0311  # any fixed number: two migrations must not run together


def configuration(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def migrate(ledger: Ledger) -> None:
    """Upgrade to the newest revision. Raises DATABASE_UNAVAILABLE."""
    with ledger.write() as tx:
        if tx.connection.dialect.name == "postgresql":
            tx.connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        command.upgrade(configuration(tx.connection), "head")
        guards.install(tx.connection)
