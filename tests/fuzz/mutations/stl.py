"""Slips in STL, text and binary."""

from __future__ import annotations

import re
import struct
from random import Random

import numpy as np

from tests.fuzz.mutations.numbers import FINITE, TEXTS, number

_HEADER = 84
_RECORD = np.dtype([("numbers", "<f4", 12), ("attribute", "<u2")])
_WORDS = (b"solid", b"endsolid", b"facet", b"normal", b"outer", b"loop", b"vertex", b"endloop", b"endfacet", b"", b"FACET", b"color")
_WORD = re.compile(rb"[A-Za-z]+")
_NUMBER = re.compile(rb"[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?")


def mutate(data: bytes, donor: bytes, chance: Random) -> bytes:
    text = data.lstrip()[:5].lower() == b"solid" and b"vertex" in data[:2000].lower()
    return _text(data, donor, chance) if text or len(data) < _HEADER + _RECORD.itemsize else _binary(data, donor, chance)


def _records(data: bytes) -> np.ndarray:
    body = data[_HEADER:]
    return np.frombuffer(body, dtype=_RECORD, count=len(body) // _RECORD.itemsize).copy()


def _binary(data: bytes, donor: bytes, chance: Random) -> bytes:
    table, header, claim = _records(data), data[:80], None
    rows, columns = chance.choice((1, 1, 3, len(table))), slice(*sorted(chance.choices(range(13), k=2)))
    some = np.array(chance.choices(range(len(table)), k=rows))
    kind = chance.randrange(10)
    with np.errstate(all="ignore"):
        if kind == 0:
            value = np.float32(chance.choice((float(chance.choice(FINITE)), float("nan"), float("inf"), 3.4e38, 1e-45, 1e-38)))
            table["numbers"][some, columns] = value
        elif kind == 1:
            table["numbers"][some, columns] *= np.float32(chance.choice((-1, 0, 1e-6, 1e6, 1e18, 1e-18, 1.0000001)))
        elif kind == 2:
            table["numbers"][some, 3:] = table["numbers"][chance.randrange(len(table)), 3:]
        elif kind == 3:
            table["numbers"][some, 6:9] = table["numbers"][some, 3:6]
        elif kind == 4:
            table = np.delete(table, some[: len(table) - 1])
        elif kind == 5:
            table = np.concatenate([table, table[some]] * chance.choice((1, 1, 3)))
        elif kind == 6:
            theirs = _records(donor)
            table = np.concatenate([table, theirs[: chance.randrange(len(theirs) + 1)]])
        elif kind == 7:
            claim = chance.choice((0, 1, len(table) - 1, len(table) + 1, 2 * len(table), 2**31, 2**32 - 1))
        elif kind == 8:
            table["numbers"][:, 3:] += np.float32(chance.choice((1e3, 1e6, 1e12, -1e9)))
        else:
            header = (chance.choice((b"solid ", *TEXTS)) + header)[:80]
    claim = len(table) if claim is None else max(claim, 0)
    return header.ljust(80, b"\0") + struct.pack("<I", claim) + table.tobytes()


def _text(data: bytes, donor: bytes, chance: Random) -> bytes:
    end = b"\r\n" if b"\r\n" in data else b"\n"
    lines = data.split(end)
    at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
    stop = at + chance.choice((1, 1, 2, 7, 70))
    kind = chance.randrange(8)
    if kind == 0:
        del lines[at:stop]
    elif kind == 1:
        lines[to:to] = lines[at:stop] * chance.choice((1, 1, 40))
    elif kind == 2:
        lines[at], lines[to] = lines[to], lines[at]
    elif kind == 3:
        theirs = donor.split(b"\n")
        lines[to:to] = theirs[at % len(theirs) :][: chance.choice((1, 7, 70))]
    elif kind == 4:
        lines[at] = _replaced(_WORD, lines[at], chance.choice(_WORDS), chance)
    elif kind == 5:
        lines[at] += chance.choice((b" ", b"\t")) + chance.choice((number(chance), *TEXTS))
    else:
        for _ in range(chance.choice((1, 1, 3, 30))):
            at = chance.randrange(len(lines))
            found = _NUMBER.search(lines[at])
            lines[at] = _replaced(_NUMBER, lines[at], number(chance, found[0] if found else b"1"), chance)
    return end.join(lines)


def _replaced(what: re.Pattern[bytes], line: bytes, by: bytes, chance: Random) -> bytes:
    found = [*what.finditer(line)]
    if not found:
        return line + by
    one = chance.choice(found)
    return line[: one.start()] + by + line[one.end() :]
