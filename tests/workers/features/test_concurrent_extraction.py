"""Extraction has no state: many at once give what one after the other gives."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from foundation.engine_settings import CadSettings
from foundation.settings import Settings
from tasks.vocabulary import FeatureVersion
from tests.stack import SAMPLES
from workers.cad.sandbox.nursery import Nursery
from workers.cad.sandbox.sandbox import Sandbox
from workers.features.extraction import extract

FILES = [path for folder in ("dxf", "stl") for path in sorted((SAMPLES / folder).iterdir()) if path.stat().st_size < 200_000]


def alone(path: Path) -> tuple[list[float], int, float]:
    result = extract(path, path.name, FeatureVersion.V4, CadSettings()).result
    return result["vector"], result["surface_count"], result["shape_entropy"]


def test_many_threads_at_once_give_what_one_after_the_other_gives() -> None:
    asked = FILES * 4
    random.Random(1).shuffle(asked)
    expected = {path: alone(path) for path in FILES}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(alone, asked))
    for path, (vector, count, entropy) in zip(asked, found, strict=True):
        # where zero is meant, the noise of rounding depends on where the numbers lie in memory
        assert vector == pytest.approx(expected[path][0], rel=1e-6, abs=1e-12)
        assert (count, entropy) == expected[path][1:]


def test_two_sandboxes_at_once_give_what_one_gives() -> None:
    nursery = Nursery(Settings())
    try:

        def boxed(files: list[Path]) -> list[list[float]]:
            with Sandbox(nursery) as box:
                return [box.extract(path, path.name, FeatureVersion.V4).vector for path in files]

        with ThreadPoolExecutor(2) as pool:
            forwards, backwards = pool.map(boxed, (FILES, FILES[::-1]))
    finally:
        nursery.close()
    for path, one, other in zip(FILES, forwards, backwards[::-1], strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-12), path.name
