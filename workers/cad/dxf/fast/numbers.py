"""Decimal numbers out of lines, each rounded as `float` rounds it."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

# bytes that stand after the end of every buffer, so that the last value may be looked at as if it were long
PADDING = 64
# most numbers of DXF are numbers of JSON as well, which are read several times faster than one by one
_decoder = msgspec.json.Decoder(list[float])


def decimals(lines: bytes, count: int) -> list[float]:
    """The finite number in each of `count` lines, each of which ends with a line feed; blanks around it are allowed.

    Raises ValueError where a line holds none.
    """
    try:
        numbers = _decoder.decode(b"[%b]" % lines[:-1].replace(b"\n", b","))
    except msgspec.DecodeError:
        return [_number(line) for line in lines.split(b"\n")[:-1]]
    # no line is empty here, but commas may have parted one
    if len(numbers) != count:
        raise ValueError("an odd number")
    return numbers


def _number(line: bytes) -> float:
    number = float(line)
    # float accepts more than any writer of DXF means
    if b"_" in line or not line.isascii() or not math.isfinite(number):
        raise ValueError("an odd number")
    return number
