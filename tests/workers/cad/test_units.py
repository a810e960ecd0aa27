"""The unit of length: what the request says, what the file says, what is assumed, and hints that it may be 25.4 times off."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.extraction import AS_THE_FILE_SAYS, UnitsAsked
from tasks.vocabulary import FeatureVersion, LengthUnit
from workers.features.extraction import Extraction, extract

SAMPLES = Path(__file__).parents[2] / "data"
INCHES, MILLIMETRES = "dxf/ae.r2000a.dxf", "stl/angle_block.STL"


def read(name: str, asked: UnitsAsked = AS_THE_FILE_SAYS) -> Extraction:
    path = SAMPLES / name
    return extract(path, path.name, FeatureVersion.V4, CadSettings(), units=asked)


def codes(extraction: Extraction) -> set[str]:
    return {finding["code"] for finding in extraction.result["findings"]}


def test_a_bare_number_is_a_millimetre_and_that_is_told_as_assumed() -> None:
    found = read(MILLIMETRES)
    assert found.result["units"]["origin"] == "assumed"
    assert "UNITS_ASSUMED" in codes(found)


def test_a_request_gives_bare_numbers_their_unit_and_nothing_else_changes() -> None:
    bare, given = read(MILLIMETRES), read(MILLIMETRES, UnitsAsked(default_units=LengthUnit.INCH))
    assert given.result["units"] == {
        "name": "in", "millimetres_per_unit": 25.4, "origin": "given", "confidence": 1.0, "suspected": None
    }  # fmt: skip
    assert "UNITS_ASSUMED" not in codes(given)
    assert given.vector[0] - bare.vector[0] == pytest.approx(math.log(25.4), abs=1e-6)
    assert given.vector[1:] == pytest.approx(bare.vector[1:], abs=1e-6)
    for name, power in (("area", 2), ("volume", 3)):
        assert given.result["facts"][name] == pytest.approx(bare.result["facts"][name] * 25.4**power)
    assert given.result["bounding_box"]["max"] == pytest.approx([25.4 * x for x in bare.result["bounding_box"]["max"]])


def test_a_default_does_not_touch_a_file_that_names_its_unit() -> None:
    own, asked = read(INCHES), read(INCHES, UnitsAsked(default_units=LengthUnit.METRE))
    assert own.result["units"]["origin"] == "file"
    assert (asked.vector, asked.result["units"]) == (own.vector, own.result["units"])


def test_a_request_overrides_what_the_file_says_and_that_is_told() -> None:
    own, asked = read(INCHES), read(INCHES, UnitsAsked(units=LengthUnit.MILLIMETRE))
    assert "UNITS_OVERRIDDEN" in codes(asked)
    assert asked.vector[0] - own.vector[0] == pytest.approx(-math.log(25.4), abs=1e-6)
    assert asked.result["facts"]["total_length"] == pytest.approx(own.result["facts"]["total_length"] / 25.4)


def test_the_same_unit_once_more_is_no_override() -> None:
    own, asked = read(INCHES), read(INCHES, UnitsAsked(units=LengthUnit.INCH))
    assert asked.vector == own.vector
    assert "UNITS_OVERRIDDEN" not in codes(asked)
    assert asked.result["units"]["origin"] == "given"


def test_fractions_of_an_inch_without_a_unit_are_a_hint_that_a_given_unit_ends() -> None:
    # 2.656 x 2.953 x 0.625: published by someone who works in inches
    found = read("stl/idler_riser.STL")
    assert found.result["units"]["suspected"] == "in"
    assert "UNITS_DOUBTFUL" in codes(found)
    told = read("stl/idler_riser.STL", UnitsAsked(default_units=LengthUnit.INCH))
    assert told.result["units"]["suspected"] is None
    assert "UNITS_DOUBTFUL" not in codes(told)
    assert read("stl/20mm-xyz-cube.stl").result["units"]["suspected"] is None


def test_inches_that_make_a_part_of_many_metres_are_a_hint_for_millimetres(tmp_path: Path) -> None:
    tags = "0\nSECTION\n2\nHEADER\n9\n$ACADVER\n1\nAC1015\n9\n$INSUNITS\n70\n1\n0\nENDSEC\n"
    tags += "0\nSECTION\n2\nENTITIES\n0\nLINE\n5\n2F\n100\nAcDbEntity\n8\n0\n100\nAcDbLine\n"
    for length, suspected in ((297, "mm"), (29, None)):
        path = tmp_path / f"{length}.dxf"
        path.write_text(f"{tags}10\n0\n20\n0\n30\n0\n11\n{length}\n21\n{length // 2}\n31\n0\n0\nENDSEC\n0\nEOF\n")
        assert extract(path, path.name, FeatureVersion.V1, CadSettings()).result["units"]["suspected"] == suspected


def test_a_unit_that_makes_a_part_absurdly_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vast.stl"
    corners = ("0 0 0", "1e11 0 0", "0 1e11 0")
    facet = "facet normal 0 0 1\nouter loop\n" + "".join(f"vertex {corner}\n" for corner in corners) + "endloop\nendfacet\n"
    path.write_text(f"solid vast\n{facet}endsolid vast\n")
    with pytest.raises(Failure) as caught:
        extract(path, path.name, FeatureVersion.V1, CadSettings(), units=UnitsAsked(units=LengthUnit.METRE))
    assert caught.value.code == "GEOMETRY_INVALID"
