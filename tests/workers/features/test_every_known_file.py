"""All DXF and STL files of the development set, where it is at hand: each ends in an answer its table allows.

The set lies in the folder named by CADMILL_DATA, or in `../shared/data` beside the repository.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from bench.reading import CLASSES, DATA, rows, why
from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import FeatureVersion
from workers.features.extraction import Extraction, extract

LIMITS = CadSettings()

pytestmark = pytest.mark.skipif(
    not (DATA / "bad" / "expected.csv").is_file() or not (DATA / "real" / "reference.csv").is_file(),
    reason=f"THE DEVELOPMENT SET IS NOT AT {DATA}: set CADMILL_DATA to its folder to test against it",
)


def answer(path: Path) -> tuple[str, Extraction | None]:
    """Code or OK; any other exception, a warning of numpy or a NaN is a defect."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            extraction = extract(path, path.name, FeatureVersion.V4, LIMITS)
        except Failure as failure:
            if str(path.parent) in json.dumps(failure.public(), allow_nan=False):
                pytest.fail("a failure tells a path of the server")
            return failure.code, None
    json.dumps(extraction.result, allow_nan=False).encode("utf-8")
    return "OK", extraction


def holds(values: dict[str, Any], result: dict[str, Any]) -> None:
    """The values of the table that we tell at all."""
    facts, box = result["facts"], result["bounding_box"]
    told = {
        "bbox": [*box["min"], *box["max"]],
        "size": [b - a for a, b in zip(box["min"], box["max"], strict=True)],
        "entities": facts.get("entities"),
        "total_length": facts.get("total_length"),
        "area": facts.get("area"),
        "volume": facts.get("volume"),
        "volume_magnitude": facts.get("volume"),
        "triangles": facts.get("triangles"),
        "watertight": facts.get("watertight"),
        "exploded_lines": facts.get("expanded_counts", {}).get("LINE"),
    }
    # the table counts outlines; we count the text among them too, as independent readers do
    if "entities" in values and facts.get("texts_total"):
        told["entities"] -= facts["texts_total"]
    for name, value in values.items():
        if name == "layers":
            assert facts["layers"] == value
        elif name in told:
            assert told[name] == pytest.approx(value, rel=1e-6), name
        elif name == "text":
            assert value in facts["texts"]
        elif name == "layer":
            assert value in facts["layers"]


BAD = [row for row in rows("bad/expected.csv") if row["file"].split(".")[-1] not in ("step", "igs")]
REAL = [row for row in rows("real/reference.csv") if row["path"].startswith(("dxf/", "stl/"))]


@pytest.mark.parametrize("row", BAD, ids=[row["file"][:60] for row in BAD])
def test_a_hostile_file_has_an_allowed_answer(row: dict[str, str]) -> None:
    code, extraction = answer(DATA / "bad" / row["file"])
    allowed = set(row["allowed"].split("|"))
    if extraction is None:
        assert CLASSES[code] in allowed
        return
    told = [finding for finding in extraction.result["findings"] if finding["code"] != "UNITS_ASSUMED"]
    assert ("OK_WITH_WARNINGS" if told else "OK") in allowed or (told and "OK" in allowed and not allowed & {"CORRUPT", "INVALID_GEOMETRY"})
    holds(json.loads(row["values"] or "{}"), extraction.result)


def test_every_real_file_has_an_answer_and_counts_agree_with_independent_readers() -> None:
    wrong = []
    for row in REAL:
        path = DATA / "real" / row["path"]
        code, extraction = answer(path)
        if extraction is not None:
            count = row["modelspace_entities"] or row["triangles"]
            facts = extraction.result["facts"]
            told = facts.get("entities", facts.get("triangles"))
            if count and told != int(count) and why(row["path"]) is None:
                wrong.append((row["path"], told, count))
        elif why(row["path"]):
            assert code == "FORMAT_MISMATCH"
        elif code not in ("GEOMETRY_MISSING", "GEOMETRY_INVALID") and row["modelspace_entities"] != "0":
            wrong.append((row["path"], code, row["read"]))
    assert not wrong


def test_one_cube_in_three_files_is_one_vector() -> None:
    vectors = []
    for name in ("cube_binary.stl", "cube_ascii.stl", "cube_moved_rotated.stl"):
        _, extraction = answer(DATA / "bad" / "ok" / name)
        assert extraction is not None
        vectors.append(extraction.vector)
    assert vectors[0] == vectors[1]
    assert vectors[0] == pytest.approx(vectors[2], abs=1e-5)
