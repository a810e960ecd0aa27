"""How a route tells the OpenAPI documents what it answers: the model, the media type, and the codes it may refuse with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from foundation.errors import CODES

Responses = dict[int | str, dict[str, Any]]

CODES_OF = "x-codes"
STREAMED = "x-streamed"
"""Marks an answer that no version wraps: it is sent while it is made."""

OPTIONAL = "x-optional"
"""Marks the header of a key without which a call is answered, too."""

_TEXT = {"type": "string"}
_BYTES = {"type": "string", "format": "binary"}

LOCATION = {"Location": {"description": "the address of what was made", "schema": {"type": "string", "format": "uri-reference"}}}


def answers(model: type[BaseModel], *codes: str, status: int = 200, says: str = "", headers: Mapping[str, Any] | None = None) -> Responses:
    """A JSON answer, and the failures of this route alone (what every route may answer is added by the document)."""
    told: dict[str, Any] = {"model": model, "description": says or "As asked"}
    return {status: told | ({"headers": dict(headers)} if headers else {})} | refusals(*codes)


def streams(media_type: str, *codes: str, says: str, model: type[BaseModel] | None = None, picture: bool = False) -> Responses:
    """An answer that passes as it is: a table, lines, a picture, a document of JSON (`model`)."""
    told: dict[str, Any] = {"description": says, STREAMED: True}
    content = {media_type: {"schema": _BYTES if picture else _TEXT}}
    return {200: told | ({"model": model} if model else {"content": content})} | refusals(*codes)


def nothing(*codes: str, says: str) -> Responses:
    """An answer without a body."""
    return {204: {"description": says}} | refusals(*codes)


def refusals(*codes: str) -> Responses:
    """The failures of a route by status."""
    found: Responses = {}
    for code in codes:
        found.setdefault(CODES[code].status, {CODES_OF: []})[CODES_OF].append(code)
    return found
