"""down(up(x)) is x, bit for bit, on the real samples."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.engine_settings import CadSettings
from ledger.vectors import EXTRACTED, PROJECTED, Stored
from tasks.vocabulary import FeatureVersion
from tests.stack import SAMPLES
from workers.features.extraction import extract
from workers.features.packing import packed
from workers.migration import cut, plan, projected

FILES = sorted(path for folder in ("stl", "dxf") for path in (SAMPLES / folder).iterdir())
VERSIONS = list(FeatureVersion)


@cache
def extracted(place: int, version: FeatureVersion) -> dict[str, Any]:
    path = FILES[place]
    result = extract(path, path.name, version, CadSettings()).result
    assert not result["missing_slots"], "a sample of which no vector is whole: take it out"
    return result


def told(result: dict[str, Any]) -> dict[str, Any]:
    """All that a result says, but for what the machine took to find it."""
    return result | {"vector": packed(result["vector"]), "seconds": 0, "preview_seconds": 0, "memory_bytes": 0}


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.integers(0, len(FILES) - 1), ends=st.tuples(st.sampled_from(VERSIONS), st.sampled_from(VERSIONS)))
def test_up_and_down_again_is_the_vector_that_was_there(place: int, ends: tuple[FeatureVersion, FeatureVersion]) -> None:
    low, high = sorted(ends, key=lambda version: version.width)
    start = extracted(place, low)
    # by the file, as long as it is there
    up = extracted(place, high)
    assert told(cut(up, low)) == told(start)
    # and without it: what is imputed never comes back as something computed
    filled = projected(start, high)
    assert told(cut(filled, low)) == told(start)
    held = {high.value: Stored(filled, EXTRACTED if low is high else PROJECTED)}
    back = plan(high, low, held, file_there=False, allow_projection=False)
    assert back.made is not None
    assert back.made.provenance != PROJECTED
    assert told({name: value for name, value in back.made.result.items() if name != "imputed_slots"}) == told(start)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.integers(0, len(FILES) - 1), way=st.lists(st.sampled_from(VERSIONS), min_size=2, max_size=5))
def test_any_walk_over_the_versions_leaves_every_vector_an_extraction_would_give(place: int, way: list[FeatureVersion]) -> None:
    held = {way[0].value: Stored(extracted(place, way[0]))}
    for source, target in pairwise(way):
        chosen = plan(source, target, held, file_there=True, allow_projection=False)
        held[target.value] = chosen.made or Stored(extracted(place, target))
    assert {version: told(one.result) for version, one in held.items()} == {
        version: told(extracted(place, FeatureVersion(version))) for version in held
    }
