"""One furnished stack for the short form of the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.furnished import Ids, furnished
from tests.stack import Stack


@pytest.fixture(scope="package")
def full(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[tuple[Stack, Ids]]:
    with furnished(tmp_path_factory.mktemp("contract"), redis_url) as found:
        yield found
