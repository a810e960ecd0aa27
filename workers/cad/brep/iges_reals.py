"""A repair of two slips that go together in real IGES files: splines with whole numbers ("1") where the norm wants reals ("1."), and
records whose last comma stands one column too far.

Open CASCADE refuses such entities. Writers that pad their fields leave room, so no record moves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_DATA, _LETTER = 64, 72
_WHOLE = re.compile(rb"\s*[+-]?\d+\s*")
_FIELD = re.compile(rb"([^,;]*)[,;]")


def with_reals(data: bytes) -> tuple[bytes, int]:
    """The file with all numbers of its B-spline curves and surfaces (types 126, 128) written as reals, and how many were not.

    The file as it is and 0 where nothing is amiss or a field has no room for the point.
    """
    places: dict[bytes, list[int]] = {b"D": [], b"P": []}
    at = 0
    for line in data.splitlines(keepends=True):
        if (letter := line[_LETTER : _LETTER + 1]) in places:
            places[letter].append(at)
        at += len(line)
    directory, parameters = places[b"D"], places[b"P"]
    repaired, count = bytearray(data), 0
    for first, second in zip(directory[::2], directory[1::2], strict=False):
        kind = data[first : first + 8].strip()
        if kind not in (b"126", b"128"):
            continue
        start, lines = _number(data[first + 8 : first + 16]), _number(data[second + 24 : second + 32])
        records = parameters[max(start - 1, 0) : start - 1 + lines]
        for record in records:
            # a comma in column 65, which belongs to nothing: the last blank before it gives way
            blank = repaired.rfind(b" ", record, record + _DATA)
            if data[record + _DATA : record + _DATA + 1] in (b",", b";") and blank >= 0:
                repaired[blank : record + _DATA + 1] = repaired[blank + 1 : record + _DATA + 1] + b" "
        for begin, end in _reals(bytes(repaired), records, kind):
            field = bytes(repaired[begin:end])
            if not _WHOLE.fullmatch(field):
                continue
            with_point = field.strip() + b"."
            if len(with_point) > len(field):
                return data, 0
            repaired[begin:end] = with_point.rjust(len(field))
            count += 1
    return bytes(repaired), count


def _reals(data: bytes, records: list[int], kind: bytes) -> Iterator[tuple[int, int]]:
    """Where the fields of one spline begin and end that must be reals: knots, weights, points and the range of each parameter.

    IGES 5.3, sections 4.23 and 4.24: K + 1 points and degree M in each direction make K + M + 2 knots.
    """
    fields = [
        (record + found.start(1), record + found.end(1)) for record in records for found in _FIELD.finditer(data[record : record + _DATA])
    ]
    surface = kind == b"128"
    whole = 10 if surface else 7  # the type, upper indices, degrees and flags
    if len(fields) < whole:
        return
    if surface:
        across, along, degree, other = (_number(data[begin:end]) for begin, end in fields[1:5])
        points, knots, ends = (across + 1) * (along + 1), across + degree + along + other + 4, 4
    else:
        along, degree = (_number(data[begin:end]) for begin, end in fields[1:3])
        points, knots, ends = along + 1, along + degree + 2, 5
    yield from fields[whole : whole + knots + 4 * points + ends]


def _number(field: bytes) -> int:
    field = field.strip()
    return int(field) if field.isdigit() and len(field) <= 9 else 0
