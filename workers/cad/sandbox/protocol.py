"""What the worker and a child say to each other, and the form that an answer must have to be looked at.

Each message is a frame: the number of the question it belongs to and its length in bytes (`HEADER`), then JSON. JSON, because it has
no way to write NaN or infinity; msgspec, because it refuses text that is no Unicode while it reads and is as fast as C. The types
say the rest: nothing unknown, nothing missing, nothing converted, no integer beyond 64 bits, no nesting beyond three levels. A new field
of the question goes into `Question`; one of the answer into `Result`, and into `tasks.extraction.ExtractionAnswer`, which clients see.
"""

from __future__ import annotations

import re
import struct
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from tasks.vocabulary import Family, FeatureVersion, Format, LengthUnit
from workers.cad.shape import FindingCode

HEADER = struct.Struct("<II")  # number of the question, bytes that follow
MOST_QUESTIONS = 16  # that may wait for their answers

_LARGEST = 2**63 - 1
# the only way to write NUL: an escape whose backslash is not itself escaped
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")

Integer = Annotated[int, Meta(ge=-_LARGEST - 1, le=_LARGEST)]
Count = Annotated[int, Meta(ge=0, le=_LARGEST)]
Share = Annotated[float, Meta(ge=0, le=1)]
Corner = Annotated[list[float], Meta(min_length=2, max_length=3)]
_Scalar = bool | Integer | float | str
_Flat = _Scalar | list[_Scalar] | dict[str, _Scalar]
_Deeper = _Scalar | list[_Flat] | dict[str, _Flat]
Facts = dict[str, _Scalar | list[_Deeper] | dict[str, _Deeper]]


class _Strict(Struct, forbid_unknown_fields=True):
    pass


class UnitsSaid(_Strict):
    """`tasks.extraction.UnitsAsked` on its way."""

    units: LengthUnit | None
    default_units: LengthUnit | None


class Question(Struct):
    """What is asked about the file that comes with it."""

    name: str
    version: FeatureVersion
    draw: bool
    units: UnitsSaid


class Box(_Strict):
    min: Corner
    max: Corner


class Units(_Strict):
    name: str
    millimetres_per_unit: Annotated[float, Meta(gt=0)]
    origin: Literal["file", "given", "assumed"]
    confidence: Share
    suspected: str | None


class Finding(_Strict):
    code: FindingCode
    message: str
    count: Count


class Result(_Strict):
    """`tasks.extraction.ExtractionAnswer`, believing nothing."""

    feature_version: FeatureVersion
    family: Family
    vector: list[float]
    slots: dict[str, float]
    missing_slots: dict[str, str]
    surface_count: Count | None
    shape_entropy: Share | None
    bounding_box: Box
    units: Units
    units_asked: UnitsSaid
    findings: list[Finding]
    facts: Facts
    engine_build: str
    format: Format
    bytes: Count
    memory_bytes: Count
    seconds: float
    preview_seconds: float


class Ready(_Strict, tag_field="told", tag="ready"):
    """A child that stands behind its walls; sentences on those that are missing."""

    missing: list[str]


class Extracted(_Strict, tag_field="told", tag="extracted"):
    result: Result
    previews: dict[str, bytes]


class Failed(_Strict, tag_field="told", tag="failed"):
    code: str
    context: Facts


def _plain(value: object) -> object:
    """Numbers and texts of numpy are those of Python under another name."""
    for kind in (float, int, str):
        if isinstance(value, kind):
            return kind(value)
    raise TypeError(f"JSON has no {type(value).__name__}")


_encoder = msgspec.json.Encoder(enc_hook=_plain)
_questions = msgspec.json.Decoder(Question)
_answers = msgspec.json.Decoder(Ready | Extracted | Failed)


def framed(number: int, told: Question | dict[str, Any]) -> bytearray:
    """A frame of the question, or of an answer as `ready`, `extracted` and `failed` make it.

    Raises TypeError, UnicodeEncodeError for what JSON cannot tell; a number that is not finite becomes null, which `answer` refuses.
    """
    frame = bytearray(HEADER.size)
    _encoder.encode_into(told, frame, HEADER.size)
    HEADER.pack_into(frame, 0, number, len(frame) - HEADER.size)
    return frame


def question(body: bytearray) -> Question:
    return _questions.decode(body)


def answer(body: bytes | bytearray) -> Ready | Extracted | Failed:
    """Raises ValueError (msgspec's errors are such) or RecursionError for what has not the form of an answer."""
    told: Ready | Extracted | Failed = _answers.decode(body)
    if rb"\u0000" in body and _NUL.search(body):  # the first look is fast, the second one right
        raise ValueError("a text holds NUL")
    return told


def ready(missing: list[str]) -> dict[str, Any]:
    return {"told": "ready", "missing": missing}


def extracted(result: dict[str, Any], previews: dict[str, bytes]) -> dict[str, Any]:
    return {"told": "extracted", "result": result, "previews": previews}


def failed(code: str, context: dict[str, Any]) -> dict[str, Any]:
    return {"told": "failed", "code": code, "context": context}
