"""A tenant whose parts are the samples: their real vectors, extracted once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from foundation.clock import SYSTEM
from foundation.engine_settings import CadSettings, IndexSettings, RecoverySettings
from foundation.settings import Settings
from ledger import parts, tenants, vectors
from ledger.epochs import Shelf
from ledger.migrate import migrate
from ledger.parts import NewPart
from ledger.session import Ledger
from ledger.vectors import Vector
from tasks.vocabulary import FeatureVersion
from tests.stack import SAMPLES
from workers.features.extraction import ENGINE_BUILD, extract
from workers.features.packing import packed, unpacked
from workers.index.galleries import Galleries, Held, engine
from workers.index.health import Health
from workers.index.parallel import Parallel
from workers.index.search import Asked, Query, similar

Hits = list[dict[str, Any]]


@dataclass(frozen=True)
class Sample:
    """A file: its name stands for the hash of its content."""

    name: str
    family: str
    format: str
    vector: bytes


@pytest.fixture(scope="session")
def samples() -> list[Sample]:
    """Every drawing and mesh of the samples."""
    found = []
    for path in [path for folder in ("dxf", "stl") for path in sorted((SAMPLES / folder).iterdir())]:
        told = extract(path, path.name, FeatureVersion.V4, CadSettings())
        found.append(Sample(path.name, told.family, told.result["format"], packed(told.vector)))
    return found


@dataclass
class Shop:
    """A tenant's parts and a worker that searches them."""

    ledger: Ledger
    tenant_id: str
    directory: Path
    settings: IndexSettings
    version: FeatureVersion = FeatureVersion.V4
    vectors: dict[str, bytes] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    galleries: Galleries = field(init=False)
    health: Health = field(default_factory=lambda: Health(RecoverySettings()))

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another process: what this one held is gone, what it kept on disk is there."""
        self.galleries = Galleries(self.settings, self.ledger, self.directory, engine(self.settings, self.ledger, self.health))

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.tenant_id, self.version, ENGINE_BUILD)

    def add(self, new: Sequence[Sample], labels: dict[str, str] | None = None, named: str = "{}", width: int = 24) -> None:
        """Parts with their vectors; a part is found under its name."""
        with self.ledger.write() as tx:
            rows = [NewPart(SYSTEM.new_id("part"), named.format(one.name), one.name, 1, one.format) for one in new]
            parts.add(tx, self.tenant_id, rows, labels or {})
            short = [packed(unpacked(one.vector)[:width].tolist()) for one in new]
            self.put({one.name: (one.family, vector) for one, vector in zip(new, short, strict=True)}, tx)
        self.ids |= {row.name: row.id for row in rows}

    def put(self, new: Mapping[str, tuple[str, bytes]], tx: Any = None) -> None:
        """Write vectors of files that are there."""
        if tx is None:
            with self.ledger.write() as own:
                return self.put(new, own)
        rows = [Vector(name, self.version, ENGINE_BUILD, family, vector, {}) for name, (family, vector) in new.items()]
        vectors.put(tx, self.tenant_id, rows)
        self.vectors |= {name: vector for name, (_, vector) in new.items()}
        return None

    def query(self, file: str, part: str = "") -> Query:
        return Query(self.ids[part or file], file, unpacked(self.vectors[file]))

    def hits(self, *files: str, parallel: Parallel | None = None, **asked: Any) -> list[Hits]:
        """Hits of parts that are named as their file."""
        wanted = Asked(**{"top_k": 100, "threshold": 0.0, "scale_invariant": False} | asked)
        with self.galleries.held(self.shelf) as held:
            return self.similar(held, [self.query(file) for file in files], wanted, parallel)

    def similar(self, held: Held, queries: Sequence[Query], asked: Asked, parallel: Parallel | None = None) -> list[Hits]:
        return similar(held, self.ledger, queries, asked, parallel or Parallel(10_000, 1))


@pytest.fixture
def new_shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Shop]]:
    """Opens shops on one database; SQLite, because what differs between databases is tested with the ledger."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", Settings().database)
    migrate(ledger)

    def new(name: str = "acme", version: FeatureVersion = FeatureVersion.V4, on: Ledger | None = None, **settings: Any) -> Shop:
        with (on or ledger).write() as tx:
            tenant = tenants.add(tx, name)
        return Shop(on or ledger, tenant.id, tmp_path, IndexSettings(**settings), version)

    yield new
    ledger.close()
