"""What the worker believes of a child's answer: one that is true, and nothing that could not be."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from tasks.extraction import Box, ExtractionAnswer, UnitsAnswer
from tasks.vocabulary import FeatureVersion, LengthUnit
from tests.stack import SAMPLES
from workers.cad.sandbox import protocol
from workers.cad.sandbox.answers import accepted
from workers.cad.sandbox.protocol import Question, UnitsSaid
from workers.features.extraction import extract

V3 = FeatureVersion.V3
FILE = SAMPLES / "dxf" / "ae.r2000a.dxf"
ASKED = Question(FILE.name, V3, False, UnitsSaid(None, None))
PNG, SVG = b64encode(b"\x89PNG\r\n\x1a\n and more").decode(), b64encode(b"<svg />").decode()

Told = dict[str, Any]


@pytest.fixture(scope="module")
def honest() -> Told:
    return extract(FILE, FILE.name, V3, CadSettings()).result


def body(told: Told) -> bytes:
    return bytes(protocol.framed(1, told)[protocol.HEADER.size :])


def refused(answer: bytes) -> bool:
    with pytest.raises(Failure) as caught:
        accepted(answer, ASKED)
    return (caught.value.code, caught.value.context["reason"]) == ("ENGINE_DEFECT", "the answer has not the form of one")


def test_the_truth_comes_through_unchanged(honest: Told) -> None:
    extraction = accepted(body(protocol.extracted(honest, {})), ASKED)
    assert extraction.result == honest
    assert json.dumps(extraction.result["facts"]) == json.dumps(honest["facts"])
    assert (extraction.family, extraction.vector, extraction.previews) == (honest["family"], honest["vector"], None)
    assert type(extraction.result["family"]) is str


def partial(result: Told, *missing: str) -> None:
    """As if these slots could not be computed, and the vector were that of version 1."""
    lost = {name: "LinAlgError" for name in result["slots"] if name in missing}
    slots = {name: value for name, value in result["slots"].items() if name not in missing}
    result.update(feature_version="v1", vector=result["vector"][:8], slots=slots, missing_slots=lost)


def test_a_vector_of_a_lower_version_comes_through_where_slots_are_missing(honest: Told) -> None:
    result = json.loads(json.dumps(honest))
    partial(result, "turning_1", "path_count")
    extraction = accepted(body(protocol.extracted(result, {})), ASKED)
    assert (extraction.version, len(extraction.vector), extraction.result) == (FeatureVersion.V1, 8, result)


def test_numbers_and_texts_of_numpy_come_through_as_those_of_python(honest: Told) -> None:
    facts = {"area": np.float64(0.1), "name": np.str_("plate")}
    told = accepted(body(protocol.extracted(honest | {"facts": facts}, {})), ASKED).result["facts"]
    assert (told, type(told["area"]), type(told["name"])) == (facts, float, str)


def test_pictures_come_through_and_only_pictures(honest: Told) -> None:
    def drawn(**files: str) -> bytes:
        return json.dumps({"told": "extracted", "result": honest, "previews": {k.replace("_", "."): v for k, v in files.items()}}).encode()

    whole = accepted(drawn(**{"128_png": PNG, "512_png": PNG, "svg": SVG}), ASKED).previews
    assert whole is not None
    assert whole.files["svg"] == b"<svg />"
    for files in (
        {"128_png": PNG, "512_png": PNG},
        {"128_png": PNG, "512_png": PNG, "svg": PNG},
        {"128_png": PNG, "512_png": PNG, "svg": SVG, "gif": PNG},
        {"128_png": "no base64!", "512_png": PNG, "svg": SVG},
    ):
        assert refused(drawn(**files))


LIES: dict[str, Callable[[Told], object]] = {
    "a number that is none": lambda result: result.update(vector=[float("nan"), *result["vector"][1:]]),
    "an infinite fact": lambda result: result.update(facts={"volume": float("inf")}),
    "too narrow": lambda result: result.update(vector=result["vector"][:-1]),
    "too wide": lambda result: result.update(vector=[*result["vector"], 0.0]),
    "no numbers": lambda result: result.update(vector=[str(number) for number in result["vector"]]),
    "more precise than float32": lambda result: _both(result, 0.1),
    "larger than float32": lambda result: _both(result, 1e300),
    "slots of another vector": lambda result: result["slots"].update(gyr_2=0.25),
    "slots of the other family": lambda result: result.update(family="3d"),
    "another version": lambda result: result.update(feature_version="v1"),
    "no version": lambda result: result.update(feature_version="v9"),
    "another build": lambda result: result.update(engine_build="0"),
    "no family": lambda result: result.pop("family"),
    "an unknown format": lambda result: result.update(format="exe"),
    "NUL in a fact": lambda result: result.update(facts={"name": "a\0b"}),
    "NUL in a name of a fact": lambda result: result.update(facts={"a\0b": 1}),
    "NUL behind a backslash": lambda result: result.update(facts={"name": "\\\0"}),
    "a huge integer": lambda result: result.update(facts={"count": 10**30}),
    "an integer of 64 bits without sign": lambda result: result.update(facts={"count": 2**63}),
    "a huge integer deep down": lambda result: result.update(facts={"of": {"a": [2**64]}}),
    "a count below zero": lambda result: result.update(surface_count=-1),
    "a count with a fraction": lambda result: result.update(surface_count=1.5),
    "a count that is true": lambda result: result.update(surface_count=True),
    "an entropy above one": lambda result: result.update(shape_entropy=1.5),
    "a unit without length": lambda result: result["units"].update(millimetres_per_unit=0.0),
    "a slot of the vector missing": lambda result: partial(result, "gyr_2"),
    "a slot neither there nor missing": lambda result: (partial(result, "turning_1"), result["slots"].pop("turning_2")),
    "a slot both there and missing": lambda result: (partial(result, "turning_1"), result["missing_slots"].update(turning_2="why")),
    "a missing slot that nobody knows": lambda result: (partial(result, "turning_1"), result["missing_slots"].update(gold="why")),
    "a lower version for no reason": lambda result: partial(result),
    "a longer version than wanted": lambda result: (partial(result, "turning_1"), result.update(feature_version="v4")),
    "other units than were asked for": lambda result: result["units_asked"].update(units="in"),
    "a unit from nowhere": lambda result: result["units"].update(origin="guessed"),
    "an unknown field": lambda result: result.update(more=1),
    "an unknown field of the units": lambda result: result["units"].update(more=1),
    "an unknown finding": lambda result: result.update(findings=[{"code": "GOLD_FOUND", "message": "", "count": 1}]),
    "a finding that says more": lambda result: result.update(findings=[{"code": "MESH_OPEN", "message": "", "count": 1, "link": "http"}]),
    "a box without a corner": lambda result: result["bounding_box"].pop("max"),
    "a box of five dimensions": lambda result: result["bounding_box"].update(max=[0.0] * 5),
    "nothing as a fact": lambda result: result.update(facts={"area": None}),
    "facts too deep": lambda result: result.update(facts={"a": [[[[1]]]]}),
    "a list of facts": lambda result: result.update(facts=[1]),
}


def _both(result: Told, number: float) -> None:
    result.update(vector=[number] * len(result["vector"]), slots=dict.fromkeys(result["slots"], number))


@pytest.mark.parametrize("lie", LIES)
def test_a_result_that_cannot_be_true_is_refused(honest: Told, lie: str) -> None:
    result = json.loads(json.dumps(honest))
    LIES[lie](result)
    assert refused(body(protocol.extracted(result, {})))


@pytest.mark.parametrize(
    ("truth", "lie"),
    [
        (b'"surface_count":', b'"surface_count":NaN,"x":'),
        (b'"facts":{', b'"facts":{"a":NaN,'),
        (b'"facts":{', b'"facts":{"a":Infinity,'),
        (b'"facts":{', b'"facts":{"a":-Infinity,'),
        (b'"facts":{', b'"facts":{"a":1e999,'),
        (b'"facts":{', b'"facts":{"a":' + b"9" * 5000 + b","),
        (b'"facts":{', b'"facts":{"a":"\\ud800",'),
        (b'"facts":{', b'"facts":{"a":"\\udc00x",'),
        (b'"facts":{', b'"facts":{"\\ud800":1,'),
        (b'"facts":{', b'"facts":{"a":"\xed\xa0\x80",'),
        (b'"facts":{', b'"facts":{"a":"\xff",'),
        (b'"facts":{', b'"facts":{"a":"\0",'),
        (b'"facts":{', b'"facts":{"a":' + b"[" * 50_000),
        (b'"told":"extracted"', b'"told":"extracted","more":1'),
        (b'"told":"extracted"', b'"told":"ready"'),
        (b'"told":"extracted"', b'"told":"nothing"'),
        (b'"told":"extracted",', b""),
    ],
)  # fmt: skip
def test_what_an_honest_child_cannot_even_write_is_refused(honest: Told, truth: bytes, lie: bytes) -> None:
    answer = body(protocol.extracted(honest, {}))
    assert answer.count(truth) == 1
    assert refused(answer.replace(truth, lie))


@pytest.mark.parametrize("answer", [b"", b"null", b"[]", b"{}", b"7", b"[" * 50_000, b'{"a":' * 50_000, b"\x00\xff{not json"])
def test_what_is_no_answer_at_all_is_refused(answer: bytes) -> None:
    assert refused(answer)


def test_something_after_the_answer_is_refused(honest: Told) -> None:
    answer = body(protocol.extracted(honest, {}))
    assert refused(answer + answer)


def test_a_backslash_before_u0000_is_a_name_and_no_nul(honest: Told) -> None:
    facts = {"name": r"\u0000"}
    assert accepted(body(protocol.extracted(honest | {"facts": facts}, {})), ASKED).result["facts"] == facts


def test_a_failure_comes_through_with_its_context() -> None:
    with pytest.raises(Failure) as caught:
        accepted(body(protocol.failed("CAD_LIMIT", {"found": 2**40, "limit": "CADMILL_CAD_MAX_ENTITIES"})), ASKED)
    assert (caught.value.code, caught.value.context) == ("CAD_LIMIT", {"found": 2**40, "limit": "CADMILL_CAD_MAX_ENTITIES"})


@pytest.mark.parametrize(
    ("code", "context"),
    [
        ("NO_SUCH_CODE", {}),
        ("API_KEY_UNKNOWN", {}),  # no file can cause that
        ("SANDBOX_UNAVAILABLE", {}),  # would be tried again for ever
        ("FILE_CORRUPT", {"reason": "x" * 5000}),
        ("FILE_CORRUPT", {"reason": "a\0b"}),
        ("FILE_CORRUPT", {"found": 2**70}),
        ("FILE_CORRUPT", []),
    ],
)  # fmt: skip
def test_a_failure_that_no_file_can_cause_is_refused(code: str, context: Any) -> None:
    assert refused(body(protocol.failed(code, context)))


def test_the_strict_types_have_the_fields_that_clients_are_told_of() -> None:
    for strict, public in ((protocol.Result, ExtractionAnswer), (protocol.Units, UnitsAnswer), (protocol.Box, Box)):
        assert set(strict.__struct_fields__) == set(public.model_fields)


def test_an_answer_as_it_is_read_is_what_the_api_promises(honest: Told) -> None:
    read = accepted(body(protocol.extracted(honest, {})), ASKED).result
    assert ExtractionAnswer.model_validate(read).model_dump(mode="json") == read


def test_a_frame_tells_its_question_and_its_length() -> None:
    frame = protocol.framed(7, protocol.failed("FILE_EMPTY", {}))
    assert struct.unpack("<II", frame[:8]) == (7, len(frame) - 8)
    asked = protocol.framed(8, protocol.Question("ä.dxf", V3, True, UnitsSaid(None, LengthUnit.INCH)))
    assert protocol.question(asked[8:]) == protocol.Question("ä.dxf", V3, True, UnitsSaid(None, LengthUnit.INCH))


def test_what_a_library_threw_in_the_child_comes_through_with_its_code_and_its_cause() -> None:
    thrown = failure_of(struct.error("hunter2"), Provider.READER)
    with pytest.raises(Failure) as caught:
        accepted(body(protocol.failed(thrown.code, thrown.context)), ASKED)
    assert (caught.value.code, caught.value.context) == ("FILE_CORRUPT", {"reason": "error"})
