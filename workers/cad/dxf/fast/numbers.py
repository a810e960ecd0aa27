"""Decimal numbers out of bytes, eight digits in one step and all lines at once, each rounded as `float` rounds it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.cad.shape import Flags, Floats, Integers

Bytes = NDArray[np.uint8]
_Words = NDArray[np.uint64]

# bytes that stand after the end of every buffer, so that the last value may be looked at as if it were long
PADDING = 64
# x87 numbers hold 64 bits: digits and power of ten stay exact, and one division rounds once; elsewhere doubles hold 15 digits
_LONG = np.finfo(np.longdouble).nmant == 63
_MOST_DIGITS = 19 if _LONG else 15
_EXACT = np.uint64(2**53)
_TENS = np.array([10**k for k in range(20)], dtype=np.uint64)
_FLOAT_TENS = _TENS.astype(np.float64)


def _each(byte: int) -> np.uint64:
    return np.uint64(int.from_bytes(bytes([byte]) * 8, "little"))


_ONE, _ONES, _HIGH = np.uint64(1), _each(0x01), _each(0x80)
_ZEROS, _DOTS = _each(0x30), _each(0x2E)
_ABOVE_NINE = _each(0x76)


def words_of(padded: bytes, size: int) -> NDArray[Any]:
    """The unsigned numbers of `size` bytes, little endian, that begin at each byte: a view."""
    return np.ndarray((len(padded) - size + 1,), dtype=f"<u{size}", buffer=padded, strides=(1,))


def decimals(data: bytes, padded: bytes, starts: Integers, ends: Integers) -> Floats:
    """The number in each line `data[start:end]`; spaces around it are allowed. Raises ValueError where a line holds no number.

    `padded` is `data` with `PADDING` bytes after it.
    """
    if not len(starts):
        return np.zeros(0)
    if (ends <= starts).any():
        raise ValueError("a number is missing")
    with np.errstate(over="ignore"):
        values, done = _plain(padded, starts, ends)
    if not done.all():
        for at in (~done).nonzero()[0].tolist():
            text = data[starts[at] : ends[at]]
            # float accepts more than any writer of DXF means
            if b"_" in text or not text.isascii():
                raise ValueError("an odd number")
            values[at] = float(text)
    return values


def _plain(padded: bytes, starts: Integers, ends: Integers) -> tuple[Floats, Flags]:
    """Numbers of blanks, sign, up to 8 digits, a point and up to 16 more; and which of the lines are such numbers."""
    buffer, words = np.frombuffer(padded, dtype=np.uint8), words_of(padded, 8)
    first = buffer[starts]
    blank = (first == 32).nonzero()[0]
    if len(blank):
        starts = starts.copy()
        while len(blank):
            starts[blank] += 1
            blank = blank[(buffer[starts[blank]] == 32) & (starts[blank] < ends[blank])]
        first = buffer[starts]
    negative = first == 45
    starts = starts + (negative | (first == 43))
    sizes = ends - starts
    word = words[starts]
    # the first byte that is a point: the lowest bit that survives
    other = word ^ _DOTS
    found = (other - _ONES) & ~other & _HIGH
    whole = np.minimum(np.bitwise_count((found - _ONE) & ~found) >> 3, sizes)
    after = np.maximum(sizes - whole - 1, 0)
    mantissa, good = _digits(word, np.minimum(whole, 8))
    # 8 bytes without a point are whole only if nothing follows
    good &= (sizes > 0) & ((whole < 8) | (sizes == 8)) & (after <= 16) & (whole + after <= _MOST_DIGITS) & (whole + after > 0)
    broken = ((after > 0) & good).nonzero()[0]
    if len(broken):
        begin, size = (starts + whole)[broken] + 1, after[broken]
        fraction, right = _digits(words[begin], np.minimum(size, 8))
        long = (size > 8).nonzero()[0]
        if len(long):
            tail, more = _digits(words[begin[long] + 8], size[long] - 8)
            fraction[long] = fraction[long] * _TENS[size[long] - 8] + tail
            right[long] &= more
        mantissa[broken] = mantissa[broken] * _TENS[size] + fraction
        good[broken] = right
    values = mantissa.astype(np.float64)
    values[broken] /= _FLOAT_TENS[after[broken]]
    wide = ((mantissa > _EXACT) & good).nonzero()[0]
    if len(wide):
        values[wide], good[wide] = _rounded(mantissa[wide], after[wide])
    np.negative(values, out=values, where=negative)
    return values, good


def _digits(word: _Words, count: Integers) -> tuple[_Words, Flags]:
    """The number in the first `count` (at most 8) bytes of each word, and whether all of them are digits."""
    # digits move to the last bytes, zeros come before them; in two steps, for no shift moves all 64 bits
    shift = ((8 - count) * 4).astype(np.uint64)
    word = ((word ^ _ZEROS) << shift) << shift
    good = ((word + _ABOVE_NINE) | word) & _HIGH == 0
    # pairs, then fours, then all eight
    word = (word * np.uint64(10) + (word >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    word = (word * np.uint64(100) + (word >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    return (word * np.uint64(10000) + (word >> np.uint64(32))) & np.uint64(0xFFFFFFFF), np.asarray(good)


def _rounded(mantissa: _Words, after: Integers) -> tuple[Floats, Flags]:
    if not _LONG:
        return mantissa.astype(np.float64), np.zeros(len(mantissa), dtype=bool)
    wide = mantissa.astype(np.longdouble) / _TENS.astype(np.longdouble)[after]
    values = wide.astype(np.float64)
    # rounded twice: wrong only where the first rounding fell exactly between two doubles
    rest, step = np.abs(wide - values), np.spacing(np.abs(values)).astype(np.longdouble)
    return values, np.asarray((rest * 2 != step) & (rest * 4 != step))
