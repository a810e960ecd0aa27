"""The tags of a DXF file out of its bytes: all lines of a text at once, binary tags one after the other."""

from __future__ import annotations

from binascii import unhexlify

import numpy as np

from tasks.recognition import BINARY_DXF
from workers.cad.dxf.fast.binary import binary_tags
from workers.cad.dxf.fast.numbers import PADDING, Bytes, decimals
from workers.cad.dxf.fast.tags import HEX, KIND, LARGEST_CODE, NUMERIC, NotCovered, Tags, checked
from workers.cad.shape import Integers

_HEX_CODES = (KIND == HEX).nonzero()[0]
_COMMENT, _END = 999, np.frombuffer(b"EOF", dtype=np.uint8)


def scanned(data: bytes) -> Tags:
    """The tags of a text or a binary file. Raises `NotCovered`."""
    return checked(binary_tags(data) if data.startswith(BINARY_DXF) else _text(data))


def _text(data: bytes) -> Tags:
    padded = data + bytes(PADDING)
    buffer = np.frombuffer(padded, dtype=np.uint8)
    lines, shown = _line_ends(data, buffer)
    if not len(lines):
        raise NotCovered("no tags")
    starts, code_ends, ends = lines[::2] + 1, shown[::2], shown[1::2]
    codes = _codes(data, padded, lines[1:-1:2] + 1, code_ends)
    end = _end_mark(data, buffer, codes, starts, ends)
    lines, codes, starts, ends = lines[: 2 * end], codes[:end], starts[:end], ends[:end]
    frequencies = np.bincount(codes, minlength=LARGEST_CODE + 1)
    if len(frequencies) > LARGEST_CODE + 1:
        raise NotCovered("a group code that is none")
    numbers = np.empty(end)
    numbers.fill(np.nan)
    numeric = NUMERIC.take(codes).nonzero()[0]
    try:
        numbers[numeric] = decimals(buffer, starts.take(numeric), lines.take(2 * numeric + 1))
        if np.count_nonzero(frequencies[_HEX_CODES]):
            for at in (KIND[codes] == HEX).nonzero()[0].tolist():
                unhexlify(data[starts[at] : ends[at]])
    except ValueError as error:
        raise NotCovered("a number that is none") from error
    if comments := int(frequencies[_COMMENT]):
        # mostly they all come first
        real = slice(comments, None) if (codes[:comments] == _COMMENT).all() else codes != _COMMENT
        codes, starts, ends, numbers = codes[real], starts[real], ends[real], numbers[real]
        frequencies[_COMMENT] = 0
    return Tags(data, buffer, codes, starts, ends, numbers, frequencies)


def _line_ends(data: bytes, buffer: Bytes) -> tuple[Integers, Integers]:
    """Where the lines of whole tags end, and where what they say ends: before a carriage return.

    Raises `NotCovered` where a line ends otherwise than with a line feed.
    """
    ends = shown = (buffer[: len(data)] == 10).nonzero()[0]
    if not data.endswith(b"\n"):
        ends = shown = np.append(ends, len(data))
    if b"\r" in data:
        returns = buffer[ends - 1] == 13
        if np.count_nonzero(returns) != data.count(b"\r"):
            raise NotCovered("line ends of old systems")
        shown = ends - returns
    whole = len(ends) // 2 * 2
    return ends[:whole], shown[:whole]


def _end_mark(data: bytes, buffer: Bytes, codes: Integers, starts: Integers, ends: Integers) -> int:
    """The number of tags up to the first end mark, which is the end, whatever follows."""
    # mostly it is the last of all tags; one more before it is refused as no end of a section
    if codes[-1] == 0 and data[starts[-1] : ends[-1]] == b"EOF":
        return len(starts)
    at = (codes == 0).nonzero()[0]
    at = at[ends[at] - starts[at] == len(_END)]
    at = at[(buffer[starts[at][:, None] + np.arange(len(_END))] == _END).all(axis=1)]
    if not len(at):
        raise NotCovered("no end mark")
    return int(at[0]) + 1


def _codes(data: bytes, padded: bytes, begins: Integers, ends: Integers) -> Integers:
    """Group codes of the lines with these ends; `begins` are those of all but the first. Above LARGEST_CODE where there is none."""
    # the last four bytes of each line, which may begin with those of the line before it
    lasts = ends - 4
    lasts[0] = 0
    words = np.ndarray((len(padded) - 3,), dtype="<u4", buffer=padded, strides=(1,))[lasts]
    words[0] = int.from_bytes((b"\n\n\n\n" + data[: ends[0]])[-4:], "little")
    pairs = words.view("<u2")
    low = _LOW.take(pairs[1::2])
    codes: Integers = _CODE.take(_HIGH.take(pairs[::2]) + low)
    single = (low >= _ALONE).nonzero()[0]
    codes[single] = low[single] - _ALONE
    for at in (ends[1:] - begins > 4).nonzero()[0].tolist():
        if data[begins[at] : ends[at + 1] - 4].strip(b" "):
            codes[at + 1] = _WRONG
    if data[: max(ends[0] - 4, 0)].strip(b" "):
        codes[0] = _WRONG
    return codes


# what two bytes add to a group code, so that only the sums of those that fit together are codes: hundreds are taken as they are
_BLANK, _ONE_DIGIT, _NO_DIGIT, _ALONE = 10_000, 20_000, 40_000, 80_000  # a digit is alone in its line after a line feed
_WRONG = LARGEST_CODE + 1
_DIGITS = range(10)


def _tables() -> tuple[Integers, Integers, Integers]:
    """What the first and the last two of four bytes add, and the code for each sum."""
    high, low = np.full((2, 1 << 16), _NO_DIGIT)
    codes = np.full(_ALONE + _NO_DIGIT + 10, _WRONG)
    space, feed = ord(" "), ord("\n")
    # the first byte is the lower one
    high[feed << 8 :][: 1 << 8] = _BLANK
    high[[space + (space << 8), feed + (space << 8)]] = _BLANK
    for units in _DIGITS:
        ascii_units = (ord("0") + units) << 8
        high[[space + ascii_units, feed + ascii_units]] = 100 * units
        low[space + ascii_units], low[feed + ascii_units] = _ONE_DIGIT + units, _ALONE + units
        codes[_BLANK + _ONE_DIGIT + units] = units
        for tens in _DIGITS:
            high[ord("0") + tens + ascii_units] = 100 * (10 * tens + units)
            low[ord("0") + tens + ascii_units] = 10 * tens + units
    codes[: LARGEST_CODE + 1] = np.arange(LARGEST_CODE + 1)
    codes[_BLANK : _BLANK + 100] = np.arange(100)
    return high, low, codes


_HIGH, _LOW, _CODE = _tables()
