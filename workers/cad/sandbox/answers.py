"""An answer is data from a stranger: what it must be beyond its form before it counts as the extraction of a file."""

from __future__ import annotations

import struct

import msgspec

from foundation.errors import CODES, Failure, Stage
from foundation.telemetry import logger
from ledger.previews import KINDS, SVG
from tasks.vocabulary import slot_names
from workers.cad.preview.previews import Previews
from workers.cad.sandbox import protocol
from workers.cad.sandbox.protocol import Extracted, Failed, Question, Result
from workers.features.extraction import ENGINE_BUILD, Extraction

_FAILURE_BYTES = 4000
_PNG, _SVG = b"\x89PNG\r\n\x1a\n", b"<svg "


def accepted(body: bytes | bytearray, question: Question) -> Extraction:
    """What a child answered, if it can be an answer to the question. Raises the `Failure` it tells, or ENGINE_DEFECT."""
    try:
        match protocol.answer(body):
            case Failed(code, context) if len(body) <= _FAILURE_BYTES:
                raise _failure(code, context)
            case Extracted(result, previews):
                return _extraction(result, question, _previews(previews))
            case told:
                raise ValueError(f"not now, or too long: {type(told).__name__}")
    except (ValueError, OverflowError, RecursionError) as error:
        logger.warning("the engine's answer is refused: %.200r", str(error))  # which may quote it
        raise Failure("ENGINE_DEFECT", {"reason": "the answer has not the form of one"}) from error


def _failure(code: str, context: protocol.Facts) -> Failure:
    row = CODES.get(code)
    if row is None or row.stage not in (Stage.READ, Stage.FEATURES) or row.retryable:
        raise ValueError("a file cannot fail like that")
    return Failure(code, context)


def _previews(files: dict[str, bytes]) -> Previews | None:
    """Pictures that can be pictures: all kinds or none, each beginning as its kind does."""
    if not files:
        return None
    if set(files) != set(KINDS) or not all(data.startswith(_SVG if kind == SVG else _PNG) for kind, data in files.items()):
        raise ValueError("a preview is not a picture")
    return Previews(files)


def _extraction(result: Result, question: Question, drawn: Previews | None) -> Extraction:
    family, version, vector, wanted = result.family, result.feature_version, result.vector, question.version
    if result.engine_build != ENGINE_BUILD or result.units_asked != question.units:
        raise ValueError("the answer is not to this question")
    if (version is not wanted) != bool(result.missing_slots) or version.width > wanted.width:
        raise ValueError("the vector is of another version than its slots allow")
    names, whole = slot_names(family, wanted), slot_names(family, version)
    told = [name for name in names if name not in result.missing_slots]
    if list(result.slots) != told or not set(whole) <= set(told) or len(told) + len(result.missing_slots) != len(names):
        raise ValueError("the slots are not those of the version")
    if vector != [result.slots[name] for name in whole]:
        raise ValueError("the vector has not the width of its version, or its slots say otherwise")
    numbers = tuple(result.slots.values())
    if struct.unpack(f"<{len(numbers)}f", struct.pack(f"<{len(numbers)}f", *numbers)) != numbers:
        raise ValueError("a slot is not what the ledger can hold")
    return Extraction(family, version, vector, msgspec.to_builtins(result), drawn)
