"""From one feature version to another."""

from __future__ import annotations

import pytest

from foundation.settings import CadSettings
from tasks.extraction import UnitsAsked
from tasks.vocabulary import SOLID_SLOTS, FeatureVersion, LengthUnit
from tests.stack import SAMPLES
from workers.features.extraction import extract
from workers.migration import cut, plan


@pytest.mark.parametrize("name", ["stl/angle_block.STL", "dxf/ae.r2000a.dxf"])
@pytest.mark.parametrize("target", list(FeatureVersion))
def test_cutting_down_is_bit_for_bit_an_extraction(name: str, target: FeatureVersion) -> None:
    path = SAMPLES / name
    whole = extract(path, path.name, FeatureVersion.V4, CadSettings()).result
    short = extract(path, path.name, target, CadSettings()).result
    timeless = {"seconds": 0, "preview_seconds": 0, "memory_bytes": 0}
    assert cut(whole, target) | timeless == short | timeless


def test_up_is_a_new_extraction_and_never_padding() -> None:
    inches = UnitsAsked(units=LengthUnit.INCH)
    chosen = plan(FeatureVersion.V1, FeatureVersion.V4, None, {"vector": [0.0] * 8, "units_asked": inches.model_dump(mode="json")})
    # what was said of the file's unit still holds
    assert (chosen.way, chosen.units) == ("extraction", inches)
    assert plan(FeatureVersion.V4, FeatureVersion.V1, None, None).way == "extraction"
    whole = {"family": "3d", "vector": list(range(24)), "slots": {name: n for n, name in enumerate(SOLID_SLOTS)}}
    assert plan(FeatureVersion.V4, FeatureVersion.V1, None, whole).way == "prefix"
    assert plan(FeatureVersion.V4, FeatureVersion.V1, {"vector": []}, {"vector": []}).way == "present"
