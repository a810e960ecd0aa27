"""Slips in STEP that most readers of its text let pass: they are in what entities mean, not in how they are written."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from tests.fuzz.mutations.numbers import TEXTS, number

_RECORD = re.compile(rb"(#\d+)\s*=\s*((?:'[^']*'|[^;'])*);")
_REFERENCE, _KEYWORD = re.compile(rb"#\d+"), re.compile(rb"[A-Z][A-Z0-9_]+(?=\s*\()")
_NUMBER = re.compile(rb"(?<=[(,])\s*[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?\s*(?=[,)])")
_STRING, _FLAG, _LIST = re.compile(rb"'[^']*'"), re.compile(rb"\.[A-Z_]+\."), re.compile(rb"\(([^()]*)\)")
_FLAGS = (b".T.", b".F.", b".U.", b".UNSPECIFIED.", b".PIECEWISE_BEZIER_KNOTS.", b".MILLI.", b".CENTI.", b"$", b"*")

Records = list[tuple[bytes, bytes]]  # `#12` and what it is
Slip = Callable[[Records, int, Records, Random], bytes]


class NoRecords(Exception):
    """There is no entity to mutate."""


def mutate(data: bytes, donor: bytes, chance: Random) -> bytes:
    """One slip. Raises `NoRecords`."""
    found = [*_RECORD.finditer(data)]
    if not found:
        raise NoRecords
    records: Records = [(one[1], one[2]) for one in found]
    theirs: Records = [(one[1], one[2]) for one in _RECORD.finditer(donor)] or records
    kind = chance.random()
    if kind < 0.08:
        return _moved(data, found, chance)
    at = chance.randrange(len(records))
    if kind < 0.16:  # all that a rare kind of entity can break is found as often as what the many points can
        keyword = chance.choice(sorted({word for _, text in records for word in _KEYWORD.findall(text)}) or [b"("])
        at = chance.choice([place for place, (_, text) in enumerate(records) if keyword in text])
    new = chance.choice(_SLIPS)(records, at, theirs, chance)
    one = found[at]
    return data[: one.start(2)] + new + data[one.end(2) :]


def _moved(data: bytes, found: list[re.Match[bytes]], chance: Random) -> bytes:
    """An entity is missing and all that meant it means another one; or it is there twice; or two have changed their numbers."""
    one, other = chance.choice(found), chance.choice(found)
    kind = chance.randrange(4)
    if kind == 0:
        rest = data[: one.start()] + data[one.end() :]
        return re.sub(re.escape(one[1]) + rb"(?!\d)", other[1], rest)
    if kind == 1:
        return data[: one.start()] + data[one.end() :]
    if kind == 2:
        return data[: one.end()] + b"\n#%d=" % chance.choice((999_999_999, 10**17, 0)) + one[2] + b";" + data[one.end() :]
    first, last = sorted((one, other), key=lambda match: match.start())
    if first is last:
        return data
    return data[: first.start(2)] + last[2] + data[first.end(2) : last.start(2)] + first[2] + data[last.end(2) :]


def _replaced(what: re.Pattern[bytes], text: bytes, by: Callable[[bytes], bytes], chance: Random, times: int = 1) -> bytes:
    for _ in range(times):
        found = [*what.finditer(text)]
        if not found:
            return text
        one = chance.choice(found)
        text = text[: one.start()] + by(one[0]) + text[one.end() :]
    return text


def retarget(records: Records, at: int, _: Records, chance: Random) -> bytes:
    """A reference to any other entity, to one of the same kind, or to itself."""
    kinds: dict[bytes, list[bytes]] = {}
    of = {}
    for name, text in records:
        word = _KEYWORD.match(text)
        of[name] = word[0] if word else b""
        kinds.setdefault(of[name], []).append(name)

    def other(name: bytes) -> bytes:
        kind = chance.random()
        if kind < 0.5:
            return chance.choice(kinds.get(of.get(name, b""), [name]))
        return records[at][0] if kind < 0.6 else chance.choice(records)[0]

    return _replaced(_REFERENCE, records[at][1], other, chance, chance.choice((1, 1, 2)))


def swap_references(records: Records, at: int, _: Records, chance: Random) -> bytes:
    text = records[at][1]
    found = [*_REFERENCE.finditer(text)]
    if len(found) < 2:
        return text
    one, other = sorted(chance.sample(found, 2), key=lambda match: match.start())
    return text[: one.start()] + other[0] + text[one.end() : other.start()] + one[0] + text[other.end() :]


def renumber(records: Records, at: int, _: Records, chance: Random) -> bytes:
    return _replaced(_NUMBER, records[at][1], lambda old: number(chance, old), chance, chance.choice((1, 1, 2, 5)))


def rename(records: Records, at: int, _: Records, chance: Random) -> bytes:
    """A keyword of another entity, or of one that begins alike."""
    words = sorted({word for _, text in records for word in _KEYWORD.findall(text)})
    old = _KEYWORD.search(records[at][1])
    near = [word for word in words if old and word[:6] == old[0][:6]] or words
    return _replaced(_KEYWORD, records[at][1], lambda _: chance.choice(chance.choice((words, near))), chance) if words else records[at][1]


def relist(records: Records, at: int, _: Records, chance: Random) -> bytes:
    """A list loses elements, has them twice, turned around, or none at all."""

    def other(old: bytes) -> bytes:
        parts = old[1:-1].split(b",")
        place, kind = chance.randrange(len(parts)), chance.randrange(6)
        if kind == 0:
            del parts[place]
        elif kind == 1:
            parts[place:place] = [parts[place]] * chance.choice((1, 1, 20))
        elif kind == 2:
            parts.reverse()
        elif kind == 3:
            parts = parts[: place + 1]
        elif kind == 4:
            parts = []
        else:
            to = chance.randrange(len(parts))
            parts[place], parts[to] = parts[to], parts[place]
        return b"(" + b",".join(parts) + b")"

    return _replaced(_LIST, records[at][1], other, chance)


def reflag(records: Records, at: int, _: Records, chance: Random) -> bytes:
    return _replaced(_FLAG, records[at][1], lambda _: chance.choice(_FLAGS), chance)


def forget(records: Records, at: int, _: Records, chance: Random) -> bytes:
    """A value is left open."""
    what = chance.choice((_REFERENCE, _NUMBER, _FLAG, _STRING))
    return _replaced(what, records[at][1], lambda _: chance.choice((b"$", b"*", b"()", b"''", b"0")), chance)


def reword(records: Records, at: int, _: Records, chance: Random) -> bytes:
    return _replaced(_STRING, records[at][1], lambda _: b"'" + chance.choice(TEXTS) + b"'", chance)


def splice(records: Records, _: int, theirs: Records, chance: Random) -> bytes:
    """An entity of another file, its references bent to entities that are here."""
    text = chance.choice(theirs)[1]
    return _REFERENCE.sub(lambda _: chance.choice(records)[0], text)


def nest(records: Records, at: int, _: Records, chance: Random) -> bytes:
    """A value within lists within lists."""
    deep = chance.choice((1, 3, 30))
    return _replaced(chance.choice((_REFERENCE, _NUMBER)), records[at][1], lambda old: b"(" * deep + old + b")" * deep, chance)


_SLIPS: tuple[Slip, ...] = (
    *(retarget, retarget, retarget, swap_references, renumber, renumber, renumber, rename, relist, relist, reflag, forget),
    *(reword, splice, nest),
)
