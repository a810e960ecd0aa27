"""One whole stack for all tests of the doors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stack import Stack, running

FILE_LIMIT = 2_000_000
JSON_LIMIT = 1_000_000
ADMIN_TOKEN = "the token of whoever runs this"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    limits = {
        "CADMILL_UPLOAD_MAX_FILE_BYTES": FILE_LIMIT,
        "CADMILL_UPLOAD_MAX_BODY_BYTES": 8_000_000,
        "CADMILL_UPLOAD_MAX_JSON_BYTES": JSON_LIMIT,
        "ADMIN_TOKEN": ADMIN_TOKEN,
    }
    with running(tmp_path_factory.mktemp("stack"), redis_url, "", "api", "compute", "courier", **limits) as stack:
        yield stack


THREADS = 4
CAPS = {
    "MAX_FILES": 50,
    "MAX_FILE_BYTES": 3_000_000,
    "MAX_BODY_BYTES": 20_000_000,
    "MAX_JSON_BYTES": 100_000,
    "MAX_UNPACKED_BYTES": 10_000_000,
    "MAX_UNPACKED_RATIO": 100,
    "IDLE_SECONDS": 2.5,
    "MIN_BYTES_PER_SECOND": 5_000,
}


@pytest.fixture(scope="package")
def capped(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    """An API that accepts little, for those who send too much."""
    variables = {f"CADMILL_UPLOAD_{name}": value for name, value in CAPS.items()}
    with running(tmp_path_factory.mktemp("stack"), redis_url, "", "api", CADMILL_API_THREADS=THREADS, **variables) as stack:
        yield stack
