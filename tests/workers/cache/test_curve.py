"""What a cache of another size would have served is what it does serve."""

from __future__ import annotations

import numpy as np
import pytest

from workers.cache.curve import _FOLLOWED, STEPS, Curve
from workers.cache.store import VectorCache, VectorKey


def zipf(requests: int, files: int, seed: int = 1) -> list[int]:
    """Files by popularity, the n-th asked for in proportion to 1 / n."""
    weights = 1.0 / np.arange(1, files + 1)
    return [int(one) for one in np.random.default_rng(seed).choice(files, requests, p=weights / weights.sum())]


def key(number: int) -> VectorKey:
    return VectorKey("tenant", f"{number:064x}", "v3", "3", 0.0)


def served(trace: list[int], capacity: int) -> float:
    """The hit rate of a real cache."""
    cache = VectorCache(capacity)
    for number in trace:
        cache.get([key(number)], lambda missing: [(one, b"1234") for one in missing])
    told = cache.statistics()
    assert told["hits"] + told["misses"] == len(trace)
    return float(told["hits"]) / len(trace)


def test_each_step_is_exactly_the_hit_rate_of_a_cache_of_that_size() -> None:
    trace, curve = zipf(4000, 1000), Curve(200)
    for number in trace:
        curve.touch(key(number), key(number).sha256)
    for step in STEPS:
        assert curve.served()[f"{step:g}"] == pytest.approx(served(trace, int(step * 200)), abs=1e-9)
    assert curve.keys() == min(len(set(trace)), 800)


def test_a_sample_of_the_keys_tells_the_hit_rate_of_a_large_cache_within_three_points() -> None:
    capacity = 2 * _FOLLOWED
    trace, curve = zipf(30_000, 3 * capacity), Curve(capacity)
    assert curve.rate == pytest.approx(1 / 2)
    for number in trace:
        curve.touch(key(number), key(number).sha256)
    assert sum(map(len, curve._segments)) <= 4 * _FOLLOWED + 5
    for step in (0.25, 1.0):
        assert curve.served()[f"{step:g}"] == pytest.approx(served(trace, int(step * capacity)), abs=0.03)
    assert curve.keys() == pytest.approx(min(len(set(trace)), 4 * capacity), rel=0.1)


def test_an_unused_curve_tells_nothing_and_one_of_a_single_key_all() -> None:
    assert Curve(5).served() == {}
    curve = Curve(1)
    for _ in range(4):
        curve.touch("a", "a")
    assert curve.served() == {f"{step:g}": 0.75 for step in STEPS}
