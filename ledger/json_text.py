"""JSON as the database keeps it: a result is written twice, with its item and with its vector, and `json` took as long as the commit."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


def written(value: Any) -> str:
    """The text of a value. Half a surrogate pair, which UTF-8 cannot hold, is escaped as `json` does. Raises TypeError."""
    try:
        return _encoder.encode(value).decode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False)


def read(text: str | bytes) -> Any:
    """The value of a text, those of earlier releases among them, which may hold NaN or half a surrogate pair. Raises ValueError."""
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError:
        return json.loads(text)
