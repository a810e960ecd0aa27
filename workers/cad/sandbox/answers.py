"""An answer is data from a stranger: what it must be beyond its form before it counts as the extraction of a file."""

from __future__ import annotations

from array import array

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
            case Extracted(result, previews):
                return _extraction(result, question, _previews(previews))
            case Failed(code, context) if len(body) <= _FAILURE_BYTES:
                raise _failure(code, context)
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
    family, version, missing, wanted = result.family, result.feature_version, result.missing_slots, question.version
    if result.engine_build != ENGINE_BUILD or result.units_asked != question.units:
        raise ValueError("the answer is not to this question")
    names = slot_names(family, wanted)
    whole = names if version is wanted else slot_names(family, version)
    if (version is not wanted) != bool(missing) or len(whole) > len(names):
        raise ValueError("the vector is of another version than its slots allow")
    told = tuple(name for name in names if name not in missing) if missing else names
    if tuple(result.slots) != told or told[: len(whole)] != whole or len(told) + len(missing) != len(names):
        raise ValueError("the slots are not those of the version")
    numbers = list(result.slots.values())
    if result.vector != numbers[: len(whole)]:
        raise ValueError("the vector has not the width of its version, or its slots say otherwise")
    if array("f", numbers).tolist() != numbers:
        raise ValueError("a slot is not what the ledger can hold")
    return Extraction(family, version, result.vector, msgspec.to_builtins(result), drawn)
