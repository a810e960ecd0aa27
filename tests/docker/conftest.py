"""Both images, built once a session and not kept: each is some hundred megabytes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests.docker.image import Image, build


@pytest.fixture(scope="session")
def api_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("docker")
    yield build("api", folder / "api")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def worker_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("docker")
    yield build("worker", folder / "worker")
    shutil.rmtree(folder)
