"""The tags of a binary DXF: a group code, then a value whose length follows from the code. One tag leads to the next."""

from __future__ import annotations

import numpy as np

from tasks.recognition import BINARY_DXF
from workers.cad.dxf.fast.numbers import PADDING, Bytes
from workers.cad.dxf.fast.tags import HEX, INTEGER, KIND, LARGEST_CODE, NUMERIC, REAL, NotCovered, Tags
from workers.cad.shape import Floats, Integers

# the version and the code page stand near the beginning or count as not given
_HEAD = 1024
_WIDTHS = {**dict.fromkeys(range(90, 100), 4), **dict.fromkeys(range(160, 170), 8), **dict.fromkeys(range(290, 300), 1), 1071: 4}
_WIDTHS.update(dict.fromkeys([*range(420, 430), *range(440, 460)], 4))
# bytes of each value; 0 for a string that ends with a zero byte, -1 for bytes with their number before them
_SIZES = [{REAL: 8, INTEGER: _WIDTHS.get(code, 2), HEX: -1}.get(int(kind), 0) for code, kind in enumerate(KIND)]


def binary_tags(data: bytes) -> Tags:
    """Raises `NotCovered` where the tags do not end with the end mark and the file."""
    short = version_of(data) <= b"AC1009"
    codes: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    at, size = len(BINARY_DXF), len(data)
    try:
        while at < size:
            code = data[at]
            if not short or code == 255:
                at += short
                code = data[at] | data[at + 1] << 8
                at += 1
            at += 1
            width = _SIZES[code]
            if width > 0:
                end = at + width
                codes.append(code)
                starts.append(at)
                ends.append(end)
                at = end
                continue
            if width < 0:
                at, end = at + 1, at + 1 + data[at]
            else:
                end = data.index(0, at)
            codes.append(code)
            starts.append(at)
            ends.append(end)
            at = end + (width == 0)
    except (IndexError, ValueError) as error:
        raise NotCovered("binary tags that break off") from error
    if not codes or at != size or codes[-1] != 0 or data[starts[-1] : ends[-1]] != b"EOF" or 999 in codes:
        raise NotCovered("no end mark at the end")
    buffer = np.frombuffer(data + bytes(PADDING), dtype=np.uint8)
    table, begin = np.array(codes, dtype=np.int64), np.array(starts, dtype=np.int64)
    numbers, frequencies = _numbers(buffer, table, begin), np.bincount(table, minlength=LARGEST_CODE + 1)
    return Tags(data, buffer, table, begin, np.array(ends, dtype=np.int64), numbers, frequencies)


def version_of(data: bytes) -> bytes:
    """As the header says near its beginning; only it tells how long group codes are."""
    at = data.find(b"$ACADVER", len(BINARY_DXF), _HEAD)
    if at < 0:
        return b"AC1009"
    at += 10
    return data[at + (data[at] != ord("A")) :][:6]


def code_page_is_near(data: bytes) -> bool:
    """Whether the reference finds the code page where it looks for it."""
    return data.find(b"$DWGCODEPAGE") < 0 or data.find(b"$DWGCODEPAGE", len(BINARY_DXF), _HEAD - 64) >= 0


def _numbers(buffer: Bytes, codes: Integers, starts: Integers) -> Floats:
    numbers = np.full(len(codes), np.nan)
    sizes = np.array(_SIZES)[codes]
    for size, types in ((8, ("<f8", "<i8")), (4, ("<i4",)), (2, ("<i2",)), (1, ("u1",))):
        for kind in types:
            some = np.flatnonzero((sizes == size) & ((KIND[codes] == REAL) == (kind == "<f8")))
            letters = buffer[starts[some][:, None] + np.arange(size)]
            numbers[some] = letters.view(kind)[:, 0] if len(some) else 0
    if not np.isfinite(numbers[NUMERIC[codes]]).all():
        raise NotCovered("a number that is not finite")
    return numbers
