"""The second wall: on PostgreSQL a statement without its tenant filter gives a tenant nothing of anybody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import create_engine, delete, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError

from foundation import caller
from foundation.clock import SYSTEM
from foundation.errors import Failure
from foundation.sealing import Sealing
from foundation.settings import Settings
from ledger import endpoints, jobs, keys, migrate, outbox, parts, quarantine, reviews, schedules, tenants, vectors, walls
from ledger.chunking import ChunkSize
from ledger.jobs import NewItem, NewJob
from ledger.parts import NewPart
from ledger.reviews import Review
from ledger.rows import metadata
from ledger.schedules import Schedule
from ledger.session import Ledger
from ledger.vectors import Vector
from tests.ledger.conftest import Desk

PEPPER = b"p" * 32
SEALING = Sealing(PEPPER)
WALLED = sorted(set(metadata.tables) - set(walls.SHARED))


def test_every_table_names_its_tenant_is_held_by_one_that_does_or_says_why_not() -> None:
    for name, table in metadata.tables.items():
        ways = [name in walls.SHARED, name in walls.HELD_BY, name in walls.NAMED_BY or "tenant_id" in table.c]
        assert ways.count(True) == 1, f"{name}: give it a tenant_id, or list it in walls.HELD_BY, NAMED_BY or SHARED"
    assert {*walls.SHARED, *walls.HELD_BY} <= set(metadata.tables)


@pytest.fixture(scope="module")
def filled(postgresql_database: Callable[[], str]) -> Iterator[tuple[Ledger, str, str]]:
    """A ledger on PostgreSQL with two tenants, each with rows in every table that is walled off."""
    ledger = Ledger(postgresql_database(), Settings().database)
    ids = [_fill(ledger, name) for name in ("one", "two")]
    yield ledger, ids[0], ids[1]
    ledger.close()


def _fill(ledger: Ledger, name: str) -> str:
    sha256 = name[0] * 64
    with ledger.write() as tx:
        tenant = tenants.add(tx, name).id
        keys.add(tx, PEPPER, tenant)
        part = NewPart(SYSTEM.new_id("part"), f"{name}.dxf", sha256, 5, "dxf")
        parts.add(tx, tenant, [part], {})
        job_id, own = SYSTEM.new_id("job"), {"tenant_id": tenant}
        size, items = ChunkSize(10, 10**9, 1), [NewItem(part_id=part.id)]
        jobs.add(tx, NewJob(job_id, tenant, "extraction", "extraction", "normal", 6, {}, items, size))
        delivery = outbox.owe(tx, tenant, job_id, "https://example.com", "job.failed", {})
        vectors.put(tx, tenant, [Vector(sha256, "v3", "1", "2d", b"1234", {})])
        quarantine.crashed(tx, tenant, sha256, "1", 60.0, "upkeep", job_id, 2)
        plan = Schedule(SYSTEM.new_id("sch"), tenant, "nightly", "0 0 * * *", "UTC", {}, "none", 1, True, None)
        schedules.add(tx, plan, 10)
        reviews.put(tx, tenant, [Review(reviews.ordered(sha256, "f" * 64), "rejected", name, "")])
        more: dict[str, Any] = {
            "tries": {"delivery_id": delivery, "attempt": 1, "at": 0, "seconds": 0, "accepted": False, "detail": ""},
            "schedule_slots": {"schedule_id": plan.id, "slot": 1, "asked_by": "clock", "outcome": "missed"}
            | {"slots": 1, "until": 1, "at": 0},
            "idempotency": own | {"key": "k", "body_hash": "h", "claim": "c", "claimed_until": 0, "created_at": 0},
            "orders": own | {"number": ord(name[0]), "kind": "prewarm", "asked_by": "x", "asked_at": 0, "until": 0, "input": {}},
            "superseded": own | {"job_id": job_id, "sha256": sha256, "feature_version": "v3", "engine_build": "1"},
        }
        endpoints.add(tx, SEALING, tenant, endpoints.NewEndpoint("https://example.com", ("job.failed",)), 10)  # and its secret
        for table, values in more.items():
            tx.execute(insert(metadata.tables[table]).values(values))
    return tenant


@contextmanager
def asked_by(tenant_id: str) -> Iterator[None]:
    with caller.asking("127.0.0.1", "req") as asking:
        asking.tenant_id = tenant_id
        yield


def _count(ledger: Ledger, name: str) -> int:
    with ledger.read() as tx:
        return len(tx.execute(select(metadata.tables[name])).all())


@pytest.mark.parametrize("name", WALLED)
def test_a_statement_without_its_tenant_filter_gives_no_foreign_rows(filled: tuple[Ledger, str, str], name: str) -> None:
    ledger, one, two = filled
    every = _count(ledger, name)
    seen = []
    for tenant in (one, two):
        with asked_by(tenant):
            seen.append(_count(ledger, name))
            with pytest.raises(_Undone), ledger.write() as tx:
                if name != "audit":  # which nobody may change at all
                    key = metadata.tables[name].primary_key.columns[0]
                    assert tx.execute(update(metadata.tables[name]).values({key.name: key})).rowcount == seen[-1]
                raise _Undone
    assert min(seen) > 0, "each has rows, or this shows nothing"
    assert sum(seen) == every
    with asked_by("ten_nobody"):
        assert _count(ledger, name) == 0


class _Undone(Exception):
    pass


def test_a_tenant_can_neither_write_nor_remove_for_another(filled: tuple[Ledger, str, str]) -> None:
    ledger, one, two = filled
    with asked_by(one):
        with pytest.raises(DBAPIError, match="row-level security"), ledger.write() as tx:
            keys.add(tx, PEPPER, two)
        with pytest.raises(DBAPIError, match="row-level security"), ledger.write() as tx:
            tx.execute(update(metadata.tables["keys"]).values(tenant_id=two))
        with ledger.write() as tx:
            assert tx.execute(delete(metadata.tables["reviews"]).where(text(f"tenant_id = '{two}'"))).rowcount == 0
        for verb in ("UPDATE audit SET actor = ''", "DELETE FROM audit", "DROP TABLE parts", "CREATE TABLE mine (id text)"):
            with pytest.raises(DBAPIError, match=r"permission denied|must be owner"), ledger.write() as tx:
                tx.execute(text(verb))


def test_our_own_processes_and_what_is_asked_as_house_see_everybody(filled: tuple[Ledger, str, str]) -> None:
    ledger, one, _ = filled
    assert _count(ledger, "parts") == 2
    with asked_by(one):
        with ledger.read(as_house=True) as tx:
            assert len(tx.execute(select(metadata.tables["parts"])).all()) == 2
        assert _count(ledger, "parts") == 1
    assert _count(ledger, "parts") == 2, "the role ends with its transaction"


def test_a_role_that_is_no_administrator_puts_the_wall_up_or_says_what_is_missing(empty_database: Callable[[str], str]) -> None:
    url = make_url(empty_database("postgresql"))
    admin = create_engine(url.set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    plain = f"plain_{url.database}"
    with admin.connect() as connection:
        connection.execute(text(f"CREATE ROLE {plain} LOGIN"))
        connection.execute(text(f"ALTER DATABASE {url.database} OWNER TO {plain}"))
        connection.execute(text(f"ALTER SCHEMA public OWNER TO {plain}"))
        ledger = Ledger(url.set(username=plain).render_as_string(False), Settings().database)
        with pytest.raises(Failure, match="TENANT_ROLE_MISSING") as caught:
            migrate.migrate(ledger)
        for statement in caught.value.context["statements"]:
            if not statement.startswith("CREATE"):  # another database of this server has it already
                connection.execute(text(statement))
        migrate.migrate(ledger)
        ids = [_fill(ledger, name) for name in ("one", "two")]
        with asked_by(ids[0]):
            assert _count(ledger, "jobs") == 1
        assert _count(ledger, "jobs") == 2
        ledger.close()
    admin.dispose()


def test_an_sqlite_ledger_has_the_first_wall_only(desk: Desk) -> None:
    if desk.ledger.engine.dialect.name == "sqlite":
        with asked_by("ten_nobody"):
            assert desk.add(1)
