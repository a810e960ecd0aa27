"""All STEP and IGES files of the development set, where it is at hand: each ends in an answer its table allows.

Every sixth real file is read; all of them with CADMILL_ALL_FILES=1.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from bench.reading import CLASSES, DATA, DEVIATIONS, HARMLESS, rows
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
    wrong = []
    for row, told in zip(chosen, answers([DATA / "real" / row["path"] for row in chosen]), strict=True):
        path, iges = row["path"], row["path"].startswith("iges/")
        if told["code"] == "GEOMETRY_MISSING":
            # points and curves alone
            fine = row["faces"] == "0"
        elif told["code"] == "FILE_CORRUPT":
            # whole numbers where IGES wants reals
            fine = row["read"] == "no"
        elif told["code"] == "OK":
            facts, result = told["result"]["facts"], told["result"]
            # loose faces that close become a solid here
            solids = facts["solids"] == int(row["solids"]) or (iges and facts["closed"] and facts["solids"] > int(row["solids"]) == 0)
            meshed = not any(finding["code"] == "FACES_MISSING" for finding in result["findings"])
            edges = sum(facts["edges"].values()) <= int(row["edge_uses"])
            fine = result["surface_count"] == int(row["faces"]) and solids and edges and (meshed or path in DEVIATIONS)
        else:
            fine = False
        if not fine:
            wrong.append((path, told["code"], told.get("context"), row["faces"], row["solids"]))
    assert chosen
    assert not wrong
