"""The whole line on real servers: files in over HTTP, features and a signed webhook out."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.stack import SAMPLES, RedisServer, Stack, running


@pytest.fixture(params=["sqlite and valkey", "postgresql and redis"])
def line(request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Stack]:
    dialect = request.param.partition(" ")[0]
    binary = None
    if dialect == "postgresql":
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("NO redis-server ON THE PATH: install it to run the line on a real Redis")
    server = RedisServer(tmp_path / "redis", binary).start()
    with running(tmp_path / "stack", server.url, new_database(dialect)) as stack:
        yield stack
    server.kill()


def test_a_pile_of_files_becomes_features(line: Stack) -> None:
    parts = line.upload(*sorted((SAMPLES / "dxf").iterdir()), *sorted((SAMPLES / "stl").iterdir()))
    job = line.submit("extraction", {"parts": [part["id"] for part in parts], "feature_version": "v4"})
    ended = line.wait(job["id"])
    assert ended["state"] == "succeeded", line.items(job["id"])
    assert ended["counts"]["succeeded"] == len(parts)
    for item, part in zip(line.items(job["id"]), parts, strict=True):
        assert item["part_id"] == part["id"]
        assert len(item["result"]["vector"]) == 24
