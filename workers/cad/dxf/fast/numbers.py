"""Decimal numbers out of text, each rounded as `float` rounds it."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

from workers.cad.shape import Floats, Integers

Bytes = NDArray[np.uint8]

# bytes that stand after the end of every buffer, so that the last value may be looked at as if it were long
PADDING = 64
_COMMA = ord(",")
# numbers that are read at once: more would take more memory, and no less time
_BLOCK = 1 << 14
# most numbers of DXF are numbers of JSON as well, which are read several times faster than one by one
_decoder = msgspec.json.Decoder(list[float])


def decimals(buffer: Bytes, starts: Integers, feeds: Integers) -> Floats:
    """The finite numbers (n,) that stand in `buffer` from `starts` to the line feeds at `feeds`; blanks around them are allowed.

    Raises ValueError where there is none.
    """
    if len(starts) > _BLOCK:
        blocks = [slice(begin, begin + _BLOCK) for begin in range(0, len(starts), _BLOCK)]
        return np.concatenate([decimals(buffer, starts[some], feeds[some]) for some in blocks])
    if not len(starts):
        return np.zeros(0)
    sizes = feeds - starts
    sizes += 1
    stops = sizes.cumsum()
    at = np.arange(stops[-1])
    at += (feeds + 1 - stops).repeat(sizes)
    letters = buffer.take(at)
    letters[stops - 1] = _COMMA
    text = letters[:-1].tobytes()
    try:
        numbers = _decoder.decode(b"[%b]" % text)
    except msgspec.DecodeError:
        numbers = [_number(number) for number in text.split(b",")]
    # commas may stand within a line
    if len(numbers) != len(starts):
        raise ValueError("an odd number")
    return np.fromiter(numbers, np.float64, len(numbers))


def _number(text: bytes) -> float:
    number = float(text)
    # float accepts more than any writer of DXF means
    if b"_" in text or not text.isascii() or not math.isfinite(number):
        raise ValueError("an odd number")
    return number
