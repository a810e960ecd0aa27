"""All STEP and IGES files of the development set, where it is at hand: each ends in an answer its table allows.

Every sixth real file is read; all of them with CADMILL_ALL_FILES=1.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from bench.reading import CLASSES, DATA, HARMLESS, Answer, deviation, rows, why
from tests.workers.cad.child import answers
from tests.workers.cad.kernel_here import needs_kernel
from tests.workers.features.test_every_known_file import pytestmark as needs_data

pytestmark = [needs_data, needs_kernel]

BAD = [row for row in rows("bad/expected.csv") if row["file"].split(".")[-1] in ("step", "igs")]
REAL = [row for row in rows("real/reference.csv") if row["path"].startswith(("step/", "iges/"))]


def holds(values: dict[str, Any], result: dict[str, Any]) -> None:
    facts, box = result["facts"], result["bounding_box"]
    told = {
        "area": facts["area"],
        "volume": facts["volume"],
        "solids": facts["solids"],
        "vertices": facts["vertices"],
        "edges": sum(facts["edges"].values()),
        "faces": sum(facts["faces"].values()),
        "size_sorted": sorted(high - low for low, high in zip(box["min"], box["max"], strict=True)),
    }
    for name, value in values.items():
        if name == "product":
            assert value in facts["products"]
        else:
            assert told[name] == pytest.approx(value, rel=1e-9), name


def test_every_hostile_file_has_an_allowed_answer_and_none_kills() -> None:
    wrong = []
    for row, told in zip(BAD, answers([DATA / "bad" / row["file"] for row in BAD]), strict=True):
        allowed = set(row["allowed"].split("|"))
        if told["code"] == "OK":
            findings = {finding["code"] for finding in told["result"]["findings"]} - HARMLESS
            found = "OK_WITH_WARNINGS" if findings else "OK"
            holds(json.loads(row["values"] or "{}"), told["result"])
        else:
            found = CLASSES.get(told["code"], told["code"])
        if found not in allowed:
            wrong.append((row["file"], told["code"], sorted(allowed)))
    assert BAD
    assert not wrong


def test_one_box_in_inches_and_in_millimetres_is_one_vector() -> None:
    inch, metric = answers([DATA / "bad" / "ok" / name for name in ("box_1x2x3_inch.step", "box_254x508x762.step")])
    assert inch["result"]["vector"] == pytest.approx(metric["result"]["vector"], abs=1e-12)
    assert inch["result"]["units"]["name"] == "in"


def test_real_files_have_the_faces_and_solids_that_independent_readers_found() -> None:
    chosen = REAL if os.environ.get("CADMILL_ALL_FILES") else REAL[::6]
    told = answers([DATA / "real" / row["path"] for row in chosen])
    found = [Answer(DATA / "real" / row["path"], one["code"], one.get("result"), 0.0) for row, one in zip(chosen, told, strict=True)]
    odd = [seen for row, answer in zip(chosen, found, strict=True) if (seen := deviation(row, answer))]
    assert chosen
    assert [seen for seen in odd if why(seen[0]) is None] == []
