"""From one feature version to another."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from ledger.vectors import CUT, PROJECTED, Stored
from tasks.extraction import AS_THE_FILE_SAYS, UnitsAsked
from tasks.vocabulary import SOLID_SLOTS, Family, FeatureVersion, LengthUnit
from tests.stack import SAMPLES
from workers.features.extraction import extract
from workers.features.packing import packed, unpacked
from workers.features.scaling import scaled
from workers.migration import Plan, cut, plan

V1, V2, V3, V4 = FeatureVersion


@pytest.mark.parametrize("name", ["stl/angle_block.STL", "dxf/ae.r2000a.dxf"])
@pytest.mark.parametrize("target", list(FeatureVersion))
def test_cutting_down_is_bit_for_bit_an_extraction(name: str, target: FeatureVersion) -> None:
    path = SAMPLES / name
    whole = extract(path, path.name, FeatureVersion.V4, CadSettings()).result
    short = extract(path, path.name, target, CadSettings()).result
    timeless = {"seconds": 0, "preview_seconds": 0, "memory_bytes": 0}
    assert cut(whole, target) | timeless == short | timeless


def stored(version: FeatureVersion, imputed: int = 0, units: UnitsAsked = AS_THE_FILE_SAYS) -> Stored:
    """Slots that tell their number; the last `imputed` of them are made up."""
    names = SOLID_SLOTS[: version.width]
    result = {"family": "3d", "vector": list(range(version.width)), "slots": {name: n for n, name in enumerate(names)}}
    result |= {"feature_version": version.value, "units_asked": units.model_dump(mode="json")}
    if imputed:
        return Stored(result | {"imputed_slots": list(names[-imputed:])}, PROJECTED)
    return Stored(result)


def way(source: FeatureVersion, target: FeatureVersion, *held: Stored, there: bool = True, allow: bool = True) -> Plan:
    return plan(source, target, {one.result["feature_version"]: one for one in held}, there, allow)


@pytest.mark.parametrize("source", list(FeatureVersion))
@pytest.mark.parametrize("target", list(FeatureVersion))
def test_between_any_two_versions_down_is_a_cut_and_up_an_extraction(source: FeatureVersion, target: FeatureVersion) -> None:
    chosen = way(source, target, stored(source))
    assert chosen.way == ("present" if source is target else "prefix" if source.width > target.width else "extraction")
    if chosen.way == "prefix":
        assert chosen.made is not None
        assert (chosen.made.provenance, chosen.made.result["vector"]) == (CUT, list(range(target.width)))
        assert tuple(chosen.made.result["slots"]) == SOLID_SLOTS[: target.width]
    assert way(source, target).way == "extraction"


def test_what_is_there_is_kept_and_of_longer_ones_that_of_the_source_is_cut() -> None:
    assert way(V4, V1, stored(V1), stored(V4)).way == "present"
    feet = UnitsAsked(units=LengthUnit.FOOT)
    chosen = way(V4, V1, stored(V2), stored(V4, units=feet))
    assert chosen.made is not None
    assert chosen.made.result["units_asked"]["units"] == "ft"
    # not there in the source, but in another one
    assert way(V4, V1, stored(V2), there=False).way == "prefix"


def test_an_extraction_is_asked_in_the_units_that_were_asked_before() -> None:
    inches = UnitsAsked(units=LengthUnit.INCH)
    assert way(V1, V4, stored(V1, units=inches)).units == inches
    assert way(V3, V4, stored(V1, units=inches)).units == inches


def test_without_the_file_the_longest_vector_is_projected_but_only_where_that_is_allowed() -> None:
    chosen = way(V1, V4, stored(V1), stored(V2), there=False)
    assert chosen.way == "projection"
    assert chosen.made is not None
    result = chosen.made.result
    assert (chosen.made.provenance, result["vector"][:16], len(result["vector"])) == (PROJECTED, list(range(16)), 24)
    assert tuple(result["imputed_slots"]) == SOLID_SLOTS[16:]
    assert list(result["slots"].values()) == result["vector"]
    # an imputed slot says nothing: it is the zero of the scaled space, and a float32 like every stored number
    assert np.abs(scaled(result["vector"], Family.SOLID)[16:]).max() < 1e-6
    assert unpacked(packed(result["vector"])).tolist() == result["vector"]
    assert result["vector"][22] == pytest.approx(3.219), "a raw zero would be the claim of a part without faces"
    for held, allow in (([stored(V1)], False), ([], True)):
        with pytest.raises(Failure) as caught:
            way(V1, V4, *held, there=False, allow=allow)
        assert caught.value.code == "FILE_MISSING"


def test_a_projected_vector_gives_way_to_an_extraction_and_is_no_source_but_of_what_was_computed() -> None:
    made_up = stored(V4, imputed=8)  # from v2
    assert way(V2, V4, made_up).way == "extraction"
    assert way(V2, V4, made_up, there=False).way == "present"
    assert way(V3, V4, made_up, stored(V3), there=False).way == "projection", "there is a longer one to project from now"
    down = way(V4, V2, made_up, there=False)
    assert down.made is not None
    assert (down.way, down.made.provenance) == ("prefix", CUT)
    assert "imputed_slots" not in down.made.result
    half = way(V4, V3, made_up, there=False)
    assert half.made is not None
    assert (half.way, half.made.provenance) == ("projection", PROJECTED)
    assert tuple(half.made.result["imputed_slots"]) == SOLID_SLOTS[16:22]
    assert way(V4, V3, made_up).way == "extraction"
