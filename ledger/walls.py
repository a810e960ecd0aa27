"""The second wall between tenants: on PostgreSQL the database itself shows a tenant's transaction its own rows and no others.

The first wall is the filter in each verb. A transaction that a tenant asks for (`foundation.caller` knows whose) takes the role
ROLE, to which row-level security applies; our own processes keep the role they connected with. As the owner of the tables (or a
superuser) that one is not held up, and its statements are planned as if there were no wall. SQLite has one wall only.
The policies are laid down anew after every migration, so that a new table cannot be forgotten: it names its tenant, is held by
a table that does, or is listed as SHARED.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from foundation.errors import Failure
from ledger import fleet_rows, vector_rows, webhook_rows  # noqa: F401 - more tables
from ledger.rows import metadata

ROLE = "cadmill_tenant"

# tables without a tenant of their own: by which column, of which table they are a part
HELD_BY = {"items": ("job_id", "jobs"), "tries": ("delivery_id", "deliveries"), "schedule_slots": ("schedule_id", "schedules")}

# by which column a table names its tenant, where it is another one
NAMED_BY = {"tenants": "id", "audit_heads": "chain"}

# what may not even be asked for, whatever the triggers say (`guards.py`)
VERBS = {"audit": "SELECT, INSERT", "audit_heads": "SELECT, INSERT, UPDATE"}

# tables that every tenant's transaction may use, and why
SHARED = {
    "files": "one row a content, whoever has it; nobody can ask for it but by a part of theirs",
    "chunks": "a submission rings whoever is next, and a place in line counts those before it; they hold no content",
    "turns": "how far the line has come",
    "queues": "paused or not",
    "workers": "who serves which queue",
    "fleet": "numbers of settings and orders",
    "order_answers": "what worker processes did",
    "worker_reports": "what worker processes say of themselves",
    "cache_settings": "one setting for all workers",
    "budgets": "retry budgets of dependencies",
    "leases": "who does upkeep",
    "commits": "names of commits (SQLite)",
}

_ENTER = text(
    f"SELECT set_config('role', '{ROLE}', true), set_config('cadmill.tenant', :tenant, true), extract(epoch FROM clock_timestamp())"
)


def enter(connection: Connection, tenant_id: str) -> float:
    """Do the rest of this transaction as a tenant; answers the database's time, which costs nothing more here."""
    return float(connection.execute(_ENTER, {"tenant": tenant_id}).one()[2])


def install(connection: Connection) -> None:
    """Put the wall up in the connection's transaction. Raises TENANT_ROLE_MISSING."""
    if connection.dialect.name != "postgresql":
        return
    _have_role(connection)
    connection.exec_driver_sql(";\n".join(_statements(str(connection.scalar(text("SELECT current_schema()"))))))


def _have_role(connection: Connection) -> None:
    """See that this server may take the role. Roles belong to the server, so another database may have made it, or be making it."""
    if _may_take(connection):
        return
    wanted = [f"CREATE ROLE {ROLE} NOLOGIN", f"GRANT {ROLE} TO {connection.scalar(text('SELECT quote_ident(current_user)'))}"]
    for statement in wanted:
        _try(connection, statement)
    if not _may_take(connection):
        raise Failure("TENANT_ROLE_MISSING", {"statements": wanted})


def _may_take(connection: Connection) -> bool:
    taken = _try(connection, f"SET LOCAL ROLE {ROLE}")
    if taken:
        connection.exec_driver_sql("RESET ROLE")
    return taken


def _try(connection: Connection, statement: str) -> bool:
    """Whether a statement goes through; what it is refused for shows in what is missing afterwards."""
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(statement)
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return False
    return True


def _statements(schema: str) -> Iterator[str]:
    yield f'GRANT USAGE ON SCHEMA "{schema}" TO {ROLE}'
    yield f'GRANT USAGE ON ALL SEQUENCES IN SCHEMA "{schema}" TO {ROLE}'
    for name in metadata.tables:
        yield f"REVOKE ALL ON {name} FROM {ROLE}"
        yield f"GRANT {VERBS.get(name, 'SELECT, INSERT, UPDATE, DELETE')} ON {name} TO {ROLE}"
        yield f"DROP POLICY IF EXISTS own ON {name}"
        if name in SHARED:
            yield f"ALTER TABLE {name} DISABLE ROW LEVEL SECURITY"
            continue
        yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
        yield f"CREATE POLICY own ON {name} TO {ROLE} USING ({_own(name)})"


def _own(name: str) -> str:
    """Which rows of a table are the tenant's. The setting is asked for once a statement, not once a row."""
    if name in HELD_BY:
        column, holder = HELD_BY[name]
        return f"EXISTS (SELECT FROM {holder} WHERE {holder}.id = {name}.{column})"  # which has its own policy
    return f"{NAMED_BY.get(name, 'tenant_id')} = (SELECT current_setting('cadmill.tenant', true))"
