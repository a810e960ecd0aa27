"""JSON in one form only, so that equal values have equal bytes: RFC 8785 (JSON Canonicalization Scheme).

No blanks; names of an object in the order of their UTF-16 code units; strings with the shortest escapes there are and everything else
as it is; numbers as ECMAScript writes them (IEEE 754 doubles, shortest digits: 60.0 is 60, 1e21 is 1e+21, -0.0 is 0).
"""

from __future__ import annotations

import math
from decimal import Decimal
from json.encoder import encode_basestring
from typing import Any

MOST_INTEGER = 2**53 - 1  # beyond it a reader that knows doubles only would see another number


def text(value: Any) -> str:
    """The one form of a value. Raises ValueError for what has none: NaN, infinities, integers beyond 2^53 that no
    double is written as, half a surrogate pair,
    names that are no strings, and what JSON does not know."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        told = int.__repr__(value)
        if abs(value) > MOST_INTEGER and (abs(value) >= 10**21 or told != _number(float(value))):  # a large double is read as an integer
            raise ValueError(f"no double is written as the integer {value}")
        return told
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(name)}:{text(value[name])}" for name in sorted(value, key=_utf16)) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(text, value)) + "]"
    raise ValueError(f"JSON has no {type(value).__name__}")


def _utf16(name: Any) -> bytes:
    if not isinstance(name, str):
        raise ValueError(f"a name must be a string, not {name!r}")
    return name.encode("utf-16-be", "surrogatepass")


def _string(value: str) -> str:
    if not value.isascii():
        value.encode()  # UnicodeEncodeError, a ValueError, for half a surrogate pair
    return str(encode_basestring(value))


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"JSON has no {value}")
    if value == 0:
        return "0"
    plain = float.__repr__(value)  # the shortest digits that give this double, as ECMAScript asks for
    if "e" not in plain:
        return plain.removesuffix(".0")
    sign, places, shift = Decimal(plain).normalize().as_tuple()
    digits = "".join(map(str, places))
    assert isinstance(shift, int)
    point = len(digits) + shift  # where the decimal point stands, counted from the first digit
    minus = "-" if sign else ""
    if len(digits) <= point <= 21:
        return minus + digits + "0" * (point - len(digits))
    if 0 < point <= 21:
        return f"{minus}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{minus}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{minus}{digits[0]}{fraction}e{'+' if point > 0 else '-'}{abs(point - 1)}"
