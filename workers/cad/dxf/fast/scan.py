"""The tags of a DXF file out of its bytes: all lines of a text at once, binary tags one after the other."""

from __future__ import annotations

import numpy as np

from tasks.recognition import BINARY_DXF
from workers.cad.dxf.fast.binary import binary_tags
from workers.cad.dxf.fast.numbers import PADDING, Bytes, decimals
from workers.cad.dxf.fast.tags import HEX, INTEGER, KIND, LARGEST_CODE, REAL, NotCovered, Tags, checked
from workers.cad.shape import Integers


def scanned(data: bytes) -> Tags:
    """The tags of a text or a binary file. Raises `NotCovered`."""
    return checked(binary_tags(data) if data.startswith(BINARY_DXF) else _text(data))


def _text(data: bytes) -> Tags:
    buffer = np.frombuffer(data + bytes(PADDING), dtype=np.uint8)
    returns = np.flatnonzero(buffer == 13) if b"\r" in data else np.zeros(0, dtype=np.int64)
    if (buffer[returns + 1] != 10).any():
        raise NotCovered("line ends of old systems")
    ends = np.flatnonzero(buffer[: len(data)] == 10)
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    ends = ends[: len(ends) // 2 * 2]
    if not len(ends):
        raise NotCovered("no tags")
    starts = np.empty_like(ends)
    starts[0], starts[1:] = 0, ends[:-1] + 1
    if len(returns):
        # an empty line has nothing to take away from
        ends = ends - ((buffer[ends - 1] == 13) & (ends > starts))
    codes = _codes(data, buffer, starts[::2], ends[::2])
    starts, ends = starts[1::2], ends[1::2]
    end = next((at for at in np.flatnonzero(codes == 0)[::-1].tolist() if data[starts[at] : ends[at]] == b"EOF"), None)
    if end is None:
        raise NotCovered("no end mark")
    # the first end mark is the end, whatever follows
    marks = np.flatnonzero((codes[:end] == 0) & (ends[:end] - starts[:end] == 3))
    end = next((at for at in marks.tolist() if data[starts[at] : ends[at]] == b"EOF"), end)
    codes, starts, ends = codes[: end + 1], starts[: end + 1], ends[: end + 1]
    if codes.min() < 0:
        raise NotCovered("a group code that is none")
    if (codes == 999).any():
        real = codes != 999
        codes, starts, ends = codes[real], starts[real], ends[real]
    kinds = KIND[codes]
    numbers = np.full(len(codes), np.nan)
    numeric = np.flatnonzero((kinds == REAL) | (kinds == INTEGER))
    try:
        numbers[numeric] = decimals(data, buffer, starts[numeric], ends[numeric])
        for at in np.flatnonzero(kinds == HEX).tolist():
            bytes.fromhex(data[starts[at] : ends[at]].decode("ascii"))
    except ValueError as error:
        raise NotCovered("a number that is none") from error
    return Tags(data, buffer, codes, starts, ends, numbers)


def _codes(data: bytes, buffer: Bytes, starts: Integers, ends: Integers) -> Integers:
    """Group codes; -1 where a line holds none."""
    lengths = ends - starts
    codes = np.zeros(len(starts), dtype=np.int64)
    good = lengths > 0
    open_ = good.copy()  # all letters so far were digits
    for place in range(4):
        letter = buffer[np.maximum(ends - 1 - place, 0)]
        inside = lengths > place
        digit = letter - np.uint8(48)  # wraps around below zero
        number = open_ & inside & (digit <= 9)
        codes += np.where(number, digit.astype(np.int64) * 10**place, 0)
        if place == 0:
            good &= number
        good &= number | ~inside | (letter == 32)
        open_ = number
    for at in np.flatnonzero(lengths > 4).tolist():
        if data[starts[at] : ends[at] - 4].strip(b" "):
            good[at] = False
    return np.where(good & (codes <= LARGEST_CODE), codes, -1)
