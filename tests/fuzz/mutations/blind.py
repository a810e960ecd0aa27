"""Slips that know nothing of the format: of disks, of transfers, of editors."""

from __future__ import annotations

from random import Random

_LETTERS = b"0123456789 .-+eE\r\n\t\0\xff,;()#'$*/AB{}<>"
_LONGEST = 4000


def flip(data: bytes, _: bytes, chance: Random) -> bytes:
    """Some bits turned."""
    letters = bytearray(data)
    for _turn in range(chance.choice((1, 1, 2, 8))):
        letters[chance.randrange(len(letters))] ^= 1 << chance.randrange(8)
    return bytes(letters)


def replace(data: bytes, _: bytes, chance: Random) -> bytes:
    """Some bytes replaced by such that mean something in one format or the other."""
    letters = bytearray(data)
    at = chance.randrange(len(letters))
    for place in range(at, min(at + chance.choice((1, 1, 1, 4)), len(letters))):
        letters[place] = chance.choice(_LETTERS)
    return bytes(letters)


def cut(data: bytes, _: bytes, chance: Random) -> bytes:
    """The end is missing."""
    return data[: chance.randrange(len(data)) + 1]


def drop(data: bytes, _: bytes, chance: Random) -> bytes:
    at, length = _span(data, chance)
    return data[:at] + data[at + length :] or data


def double(data: bytes, _: bytes, chance: Random) -> bytes:
    at, length = _span(data, chance)
    to = chance.randrange(len(data) + 1)
    return data[:to] + data[at : at + length] + data[to:]


def splice(data: bytes, donor: bytes, chance: Random) -> bytes:
    """A piece of another file in the place of a piece of this one."""
    at, length = _span(data, chance)
    start, size = _span(donor, chance)
    return data[:at] + donor[start : start + size] + data[at + length :]


def blank(data: bytes, _: bytes, chance: Random) -> bytes:
    """A block that was never written: zeros."""
    at, length = _span(data, chance)
    return data[:at] + bytes(min(length, len(data) - at)) + data[at + length :]


def _span(data: bytes, chance: Random) -> tuple[int, int]:
    return chance.randrange(len(data)), min(int(2 ** chance.uniform(0, 12)), _LONGEST)


MUTATIONS = (flip, flip, replace, replace, cut, drop, double, splice, blank)
