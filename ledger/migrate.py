"""Bring a database to the newest shape, lay down its guards and put up its walls, in one transaction. Any number may call it at once."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

from foundation.sealing import Sealing
from ledger import guards, walls
from ledger.session import Ledger

_LOCK = 0x0CAD_0311  # any fixed number: two migrations must not run together


def configuration(connection: Connection, sealing: Sealing | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    config.attributes["sealing"] = sealing
    return config


def migrate(ledger: Ledger, sealing: Sealing | None = None) -> None:
    """Upgrade to the newest revision; what an old one kept in plain text is sealed.

    Raises DATABASE_UNAVAILABLE, SECRET_MISMATCH, TENANT_ROLE_MISSING."""
    with ledger.write() as tx:
        if tx.connection.dialect.name == "postgresql":
            tx.connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        command.upgrade(configuration(tx.connection, sealing), "head")
        guards.install(tx.connection)
        walls.install(tx.connection)
