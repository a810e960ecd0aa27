"""Insiders at work on one database of each kind, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from foundation.settings import DatabaseSettings
from ledger.migrate import migrate
from ledger.session import Ledger
from tests.ledger.trail.insider import Insider


@pytest.fixture(scope="module")
def insiders(tmp_path_factory: pytest.TempPathFactory, postgresql_database: Callable[[], str]) -> Iterator[dict[str, Insider]]:
    urls = {"sqlite": f"sqlite:///{tmp_path_factory.mktemp('trail') / 'ledger.db'}", "postgresql": postgresql_database()}
    made = {dialect: Insider(Ledger(url, DatabaseSettings())) for dialect, url in urls.items()}
    for insider in made.values():
        migrate(insider.ledger)
        insider.settle()
    yield made
    for insider in made.values():
        insider.ledger.close()
