"""The tags of a DXF file out of its bytes: all lines of a text at once, binary tags one after the other."""

from __future__ import annotations

import numpy as np

from tasks.recognition import BINARY_DXF
from workers.cad.dxf.fast.binary import binary_tags
from workers.cad.dxf.fast.numbers import PADDING, Bytes, decimals, words_of
from workers.cad.dxf.fast.tags import HEX, KIND, LARGEST_CODE, NUMERIC, NotCovered, Tags, checked
from workers.cad.shape import Integers


def scanned(data: bytes) -> Tags:
    """The tags of a text or a binary file. Raises `NotCovered`."""
    return checked(binary_tags(data) if data.startswith(BINARY_DXF) else _text(data))


def _text(data: bytes) -> Tags:
    padded = data + bytes(PADDING)
    buffer = np.frombuffer(padded, dtype=np.uint8)
    ends = _line_ends(data, buffer)
    ends = ends[: len(ends) // 2 * 2]
    if not len(ends):
        raise NotCovered("no tags")
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    if b"\r" in data:
        # an empty line has nothing to take away from
        ends = ends - ((buffer[ends - 1] == 13) & (ends > starts))
    codes = _codes(data, padded, starts[::2], ends[::2])
    starts, ends = starts[1::2], ends[1::2]
    # the first end mark is the end, whatever follows
    marks = ((codes == 0) & (ends - starts == 3)).nonzero()[0]
    marks = marks[buffer[starts[marks]] == ord("E")]
    end = next((at for at in marks.tolist() if data[starts[at] : ends[at]] == b"EOF"), None)
    if end is None:
        raise NotCovered("no end mark")
    codes, starts, ends = codes[: end + 1], starts[: end + 1], ends[: end + 1]
    if codes.min() < 0:
        raise NotCovered("a group code that is none")
    real = codes != 999
    if not real.all():
        codes, starts, ends = codes[real], starts[real], ends[real]
    kinds = KIND[codes]
    numbers = np.full(len(codes), np.nan)
    numeric = NUMERIC[codes].nonzero()[0]
    try:
        numbers[numeric] = decimals(data, padded, starts[numeric], ends[numeric])
        for at in (kinds == HEX).nonzero()[0].tolist():
            bytes.fromhex(data[starts[at] : ends[at]].decode("ascii"))
    except ValueError as error:
        raise NotCovered("a number that is none") from error
    return Tags(data, buffer, codes, starts, ends, numbers)


def _line_ends(data: bytes, buffer: Bytes) -> Integers:
    """Where the lines end, the last one too. Raises `NotCovered` where a line ends otherwise than with a line feed."""
    ends = (buffer[: len(data)] == 10).nonzero()[0]
    # as many pairs as carriage returns: none of these stands alone
    if b"\r" in data and data.count(b"\r\n") != data.count(b"\r"):
        raise NotCovered("line ends of old systems")
    return ends if data.endswith(b"\n") else np.append(ends, len(data))


def _codes(data: bytes, padded: bytes, starts: Integers, ends: Integers) -> Integers:
    """Group codes; -1 where a line holds none."""
    lengths = ends - starts
    # the last four bytes of each line, those before it blanked out
    words = words_of(padded, 4)[np.maximum(ends - 4, 0)]
    if ends[0] < 4:
        words[0] <<= np.uint32(8 * (4 - ends[0]))
    short = np.minimum(lengths, 4)
    words = (words & _INSIDE[short]) | _BLANKS[short]
    low, high = _PAIRS[words >> np.uint32(16)], _PAIRS[words & np.uint32(0xFFFF)]
    # what comes before two digits ends with a digit or is blank; before one digit it is blank
    codes = np.where((low < _ONE_DIGIT) & (high < _NONE), high % 100 * 100 + low, -1)
    single = ((high == _BLANK) & (low >= _ONE_DIGIT) & (low < _BLANK)).nonzero()[0]
    codes[single] = low[single] - _ONE_DIGIT
    codes[codes > LARGEST_CODE] = -1
    for at in (lengths > 4).nonzero()[0].tolist():
        if data[starts[at] : ends[at] - 4].strip(b" "):
            codes[at] = -1
    return codes


# what two bytes say: 0-99 two digits, _ONE_DIGIT + 0-9 a blank and a digit, _BLANK two blanks, _NONE anything else
_ONE_DIGIT, _BLANK, _NONE = 100, 200, 3000


def _pairs() -> Integers:
    pairs = np.full(65_536, _NONE, dtype=np.int64)
    pairs[0x2020] = _BLANK
    for units in range(10):
        pairs[0x20 + 256 * (48 + units)] = _ONE_DIGIT + units
        for tens in range(10):
            pairs[48 + tens + 256 * (48 + units)] = 10 * tens + units
    return pairs


_PAIRS = _pairs()
# by the number of bytes that belong to the line
_INSIDE = np.array([0, 0xFF000000, 0xFFFF0000, 0xFFFFFF00, 0xFFFFFFFF], dtype=np.uint32)
_BLANKS = np.array([0x20202020, 0x202020, 0x2020, 0x20, 0], dtype=np.uint32)
