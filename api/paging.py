"""Cursors: opaque to clients, the last key of a page to us."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import Query

from api.versions import asked
from foundation.errors import Failure

Limit = Annotated[int, Query(ge=1, le=1000, description="most entries on a page")]
Cursor = Annotated[str | None, Query(max_length=256, description="next_cursor of the last page")]


def encode(key: str | int) -> str:
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def decode(cursor: str | None) -> str | None:
    """Raises CURSOR_INVALID."""
    if cursor is None:
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise Failure("CURSOR_INVALID") from error
    if not text.isprintable():
        raise Failure("CURSOR_INVALID")
    return text


def decode_number(cursor: str | None, default: int) -> int:
    """Raises CURSOR_INVALID."""
    text = decode(cursor)
    if text is None:
        return default
    if not text.isdigit() or len(text) > 18:
        raise Failure("CURSOR_INVALID")
    return int(text)


def page(name: str, entries: list[dict[str, Any]], limit: int, key: str = "id") -> dict[str, Any]:
    """A page of `limit` entries at most, of which one more was asked for, to know whether there is a next page."""
    shown, cursor = bite(entries, limit, key)
    asked().next_cursor = cursor
    return {name: shown}


def bite(entries: list[dict[str, Any]], limit: int, key: str = "id") -> tuple[list[dict[str, Any]], str | None]:
    """The entries of such a page, and the cursor of the next one."""
    shown = entries[:limit]
    return shown, encode(shown[-1][key]) if len(entries) > limit else None


def cut(told: dict[str, Any], last: str | int | None) -> dict[str, Any]:
    """An answer that is a page, cut off behind the key `last` (None: it is the last page). Where the cursor stands is the version's."""
    asked().next_cursor = None if last is None else encode(last)
    return told
