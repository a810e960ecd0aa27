"""Both images, built once a session."""

from __future__ import annotations

import pytest

from tests.docker.image import Image, build


@pytest.fixture(scope="session")
def api_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build("api", tmp_path_factory.mktemp("docker") / "api")


@pytest.fixture(scope="session")
def worker_image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    return build("worker", tmp_path_factory.mktemp("docker") / "worker")
