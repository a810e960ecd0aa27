"""The entities of a STEP file as a table: kind, references and numbers of all of them at once, with numpy and no parser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from workers.cad.analytic.vectors import cross, dot, unit
from workers.cad.brep.step_text import StepText
from workers.cad.shape import LARGEST, Flags, Floats, Integers, steps

Bytes = NDArray[np.uint8]

_OPEN, _CLOSE, _SEMICOLON, _COMMA, _DOT, _TRUE, _FALSE, _BLANK = b"();,.TF "
# how many numbers follow the references
REALS = {b"VECTOR": 1, b"CIRCLE": 1, b"ELLIPSE": 2, b"HYPERBOLA": 2, b"CYLINDRICAL_SURFACE": 1, b"CONICAL_SURFACE": 2,
         b"SPHERICAL_SURFACE": 1, b"TOROIDAL_SURFACE": 2}  # fmt: skip
# references of a placement: origin, axis, and direction of x
_PARTS = np.array([[0], [1], [2]])
# bytes of a keyword that are compared: longer ones are told apart by these and their length
_COMPARED, _WORD = 32, 8
_MASKS = np.array([(1 << (8 * count)) - 1 for count in range(_WORD + 1)], dtype=np.uint64)
_MIX = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5, 0x85EBCA77C2B2AE63)


class NotCovered(Exception):
    """The kernel must read this file; the text says why."""


@dataclass(frozen=True, eq=False)
class Instances:
    """n entities in the order of the text."""

    data: bytes
    letters: Bytes
    kinds: Integers  # (n,) place of the keyword among those asked for, -1 for all others; complex entities have none
    starts: Integers  # (n,) first byte behind the equals sign
    ends: Integers  # (n,) the semicolon
    firsts: Integers  # (n + 1,) the first reference of each
    lengths: Integers  # (n,) how many references each has
    references: Integers  # (r,) rows referred to, -1 for those that do not exist
    behind: Integers  # (r,) first byte behind each reference that is no blank
    opens: Integers  # all opening and closing brackets outside of strings
    closes: Integers
    known: tuple[bytes, ...]  # the keywords asked for
    keywords: Mapping[bytes, int]  # and the place of each

    def of(self, keyword: bytes) -> Integers:
        """Rows of one kind."""
        return np.asarray((self.kinds == self.keywords[keyword]).nonzero()[0])

    def are(self, rows: Integers, *keywords: bytes) -> Flags:
        """Which of the rows are of one of these kinds."""
        kinds = self.kinds.take(rows)
        found = kinds == self.keywords[keywords[0]]
        for word in keywords[1:]:
            found |= kinds == self.keywords[word]
        return np.asarray(found)

    def all_are(self, rows: Integers, *keywords: bytes) -> bool:
        """Whether all of the rows are of one of these kinds."""
        return bool(np.count_nonzero(self.are(rows, *keywords)) == rows.size)

    def among(self, rows: Integers, keywords: tuple[bytes, ...]) -> Integers:
        """Place of the keyword of each row among these, -1 for all others."""
        return _lookup(self.known, keywords).take(self.kinds.take(rows))

    def present(self, keywords: Iterable[bytes]) -> list[bytes]:
        """Which of these keywords occur."""
        counts = np.bincount(self.kinds + 1, minlength=len(self.keywords) + 1).tolist()
        return [word for word in keywords if counts[self.keywords[word] + 1]]

    def text(self, row: int) -> bytes:
        return self.data[self.starts[row] : self.ends[row]]

    def referred(self, row: int) -> Integers:
        """All rows that one refers to."""
        return self.references[self.firsts[row] : self.firsts[row + 1]]

    def rows(self, rows: Integers, place: int) -> Integers:
        """The row that each refers to at this place, -1 for the last one; all must have it."""
        if np.count_nonzero(self.lengths.take(rows) < (place + 1 if place >= 0 else -place)):
            raise NotCovered("an entity has fewer references than it should")
        return self.references.take((self.firsts if place >= 0 else self.firsts[1:]).take(rows) + place)

    def lists(self, rows: Integers, drop: int = 0) -> tuple[Integers, Integers]:
        """All rows referred to, one entity after the other, and the entity of each by its place in `rows`; the last `drop` left out."""
        counts = self.lengths.take(rows) - drop
        if np.count_nonzero(counts < 1):
            raise NotCovered("an entity has fewer references than it should")
        owner, place = steps(counts)
        return self.references.take(self.firsts.take(rows).take(owner) + place), owner

    def flags(self, rows: Integers) -> Flags:
        """Whether the last argument of each is .T.; it must be that or .F."""
        letters = self.letters
        at = self._back(self.ends.take(rows) - 1)
        ok = letters.take(at) == _CLOSE
        at = self._back(at - 1)
        letter = letters.take(at - 1)
        ok &= (letters.take(at) == _DOT) & (letters.take(at - 2) == _DOT)
        flags = letter == _TRUE
        ok &= flags | (letter == _FALSE)
        if np.count_nonzero(ok) < len(rows):
            raise NotCovered("a flag is not where it should be")
        return np.asarray(flags)

    def _back(self, at: Integers) -> Integers:
        """The last byte that is no blank up to each place; the places are moved."""
        blank = (self.letters.take(at) <= _BLANK).nonzero()[0]
        while len(blank):
            at[blank] -= 1
            blank = blank[self.letters[at[blank]] <= _BLANK]
        return at

    def vectors(self, rows: Integers) -> Floats:
        """(3, k) of CARTESIAN_POINTs and DIRECTIONs in space."""
        found = self._numbers.take(rows, axis=1)
        # the comparison is false for what has no three numbers
        if np.count_nonzero(np.abs(found) <= LARGEST) < found.size:
            raise NotCovered("a point is not written as it should be")
        return found

    def reals(self, rows: Integers, count: int) -> Floats:
        """(count, k) numbers that follow the last reference of each up to the end; of kinds named in `REALS`."""
        found = self._numbers[:count].take(rows, axis=1)
        if np.count_nonzero(np.abs(found) <= LARGEST) < found.size:
            raise NotCovered("numbers are not where they should be")
        return found

    def placements(self, rows: Integers) -> tuple[Floats, Floats]:
        """Origins (3, k) and axes (3 axes, 3, k) of AXIS2_PLACEMENT_3Ds."""
        places, every = self._placements
        if not self.all_are(rows, b"AXIS2_PLACEMENT_3D") or np.count_nonzero(at := places.take(rows)) < len(rows):
            raise NotCovered("a placement without all its directions")
        found = every.take(at, axis=2)
        if np.count_nonzero(np.abs(found) <= LARGEST) < found.size:
            raise NotCovered("a placement that is not written as it should be")
        return found[3], found[:3]

    @cached_property
    def _placements(self) -> tuple[Integers, Floats]:
        """Where each entity (n,) stands among the placements (4, 3, p), 0 where it is none with all its directions; their axes and origins,
        NaN where numbers are missing or directions have no length.
        """
        rows = self.of(b"AXIS2_PLACEMENT_3D")
        rows = rows.compress(self.lengths.take(rows) == 3)
        parts = self.references.take(self.firsts.take(rows) + _PARTS)
        point, direction = self.keywords[b"CARTESIAN_POINT"], self.keywords[b"DIRECTION"]
        kinds = self.kinds.take(parts)
        whole = ((kinds[0] == point) & (kinds[1] == direction) & (kinds[2] == direction)).nonzero()[0]
        places = np.zeros(len(self.kinds), dtype=np.int64)
        places[rows.take(whole)] = np.arange(1, len(whole) + 1)
        found = np.full((4, 3, len(whole) + 1), np.nan)
        vectors = self._numbers.take(parts.take(whole, axis=1), axis=1)
        found[3, :, 1:], z, x = vectors.transpose(1, 0, 2)
        z = found[2, :, 1:] = unit(z)
        x = found[0, :, 1:] = unit(x - dot(x, z) * z)
        found[1, :, 1:] = cross(z, x)
        return places, found

    @cached_property
    def _numbers(self) -> Floats:
        """(3, n) coordinates of points and directions and the numbers behind the references of kinds named in `REALS`, NaN where there are
        none or others; all at once: each call of numpy costs more than the numbers of a small file.
        """
        spatial = ((self.kinds == self.keywords[b"CARTESIAN_POINT"]) | (self.kinds == self.keywords[b"DIRECTION"])).nonzero()[0]
        wanted = _reals_of(self.known).take(self.kinds)
        measured = ((wanted > 0) & (self.lengths > 0)).nonzero()[0]
        inner = self.opens.take(self.opens.searchsorted(self.starts.take(spatial)) + 1, mode="clip") + 1
        behind = self.behind.take(self.firsts.take(measured + 1) - 1)
        last = self._back(self.ends.take(measured) - 1)
        listed = (self.letters.take(behind) == _COMMA) & (self.letters.take(last) == _CLOSE)
        starts = np.concatenate([inner, behind + 1])
        ends = np.concatenate([self.closes.take(self.closes.searchsorted(inner), mode="clip"), np.where(listed, last, 0)])
        rows = np.concatenate([spatial, measured])
        counts = np.concatenate([np.full(len(spatial), 3), wanted.take(measured)])
        sound = ((starts < ends) & (ends < self.ends.take(rows))).nonzero()[0]
        return self._parsed(rows.take(sound), starts.take(sound), ends.take(sound), counts.take(sound))

    def _parsed(self, rows: Integers, starts: Integers, ends: Integers, counts: Integers) -> Floats:
        """(3, n): in the given rows what stands between commas in the pieces of text, if there is as much as told; elsewhere NaN."""
        table = np.full((3, len(self.kinds)), np.nan)
        # the byte that ends each piece becomes a comma
        sizes = ends - starts + 1
        stops = sizes.cumsum()
        at = (starts - stops + sizes).repeat(sizes)
        at += np.arange(len(at))
        found = self.letters.take(at)
        stops -= 1
        found[stops] = _COMMA
        commas = (found == _COMMA).nonzero()[0].searchsorted(stops, side="right")
        fields = commas.copy()
        fields[1:] -= commas[:-1]
        odd = fields != counts
        if np.count_nonzero(odd):
            found, rows, counts = found.compress(~odd.repeat(sizes)), rows[~odd], counts[~odd]
        if not len(rows):
            return table
        try:
            values = np.fromstring(found[:-1].tobytes(), sep=",")
        except ValueError as error:
            raise NotCovered("a number is not written as it should be") from error
        first = counts.cumsum()
        # older versions of numpy stop at what is no number, with a warning
        if len(values) != int(first[-1]):
            raise NotCovered("a number is not written as it should be")
        first -= counts
        table[0, rows] = values.take(first)
        for place in (1, 2):
            some = (counts > place).nonzero()[0]
            table[place, rows.take(some)] = values.take(first.take(some) + place)
        return table


def instances(source: StepText, keywords: Iterable[bytes]) -> Instances:
    """The table of all entities of a checked text; `keywords` are those to be known apart."""
    known, marks = tuple(keywords), source.marks
    data = source.data
    padded = np.frombuffer(data + bytes(_COMPARED + _WORD), dtype=np.uint8)
    letters = padded[: len(data)]
    defining = marks.defining
    starts = marks.after.compress(defining) + 1
    semicolons, opens, closes = (marks.at.compress(marks.kinds == mark) for mark in (_SEMICOLON, _OPEN, _CLOSE))
    ends = semicolons.take(semicolons.searchsorted(starts))
    # references before the first entity belong to none
    owner = defining.cumsum() - 1
    used = (~defining & (owner >= 0)).nonzero()[0]
    lengths = np.bincount(owner.take(used), minlength=len(starts))
    firsts = np.zeros(len(starts) + 1, dtype=np.int64)
    lengths.cumsum(out=firsts[1:])
    rows = _found(marks.names.compress(defining), marks.names.take(used))
    kinds, behind = _kinds(padded, starts, opens, known), marks.after.take(used)
    return Instances(data, letters, kinds, starts, ends, firsts, lengths, rows, behind, opens, closes, known, _places(known))


@cache
def _places(known: tuple[bytes, ...]) -> dict[bytes, int]:
    return {word: place for place, word in enumerate(known)}


# the last one of each table stands for the kind -1
@cache
def _lookup(known: tuple[bytes, ...], keywords: tuple[bytes, ...]) -> Integers:
    """Place of each keyword among others."""
    return np.array([*(keywords.index(word) if word in keywords else -1 for word in known), -1])


@cache
def _reals_of(known: tuple[bytes, ...]) -> Integers:
    """How many numbers follow the references, by keyword."""
    return np.array([*(REALS.get(word, 0) for word in known), 0])


def _found(numbers: Integers, wanted: Integers) -> Integers:
    """Row of each wanted number among those of the entities, -1 where there is none."""
    largest = int(numbers.max(initial=0))
    if largest <= 16 * len(numbers) + 1024:
        table = np.full(largest + 2, -1, dtype=np.int64)
        table[numbers] = np.arange(len(numbers))
        return table.take(np.minimum(wanted, largest + 1))
    order = np.argsort(numbers)
    at = np.minimum(np.searchsorted(numbers[order], wanted), len(numbers) - 1)
    return np.where(numbers[order[at]] == wanted, order[at], -1)


def _kinds(padded: Bytes, starts: Integers, opens: Integers, known: tuple[bytes, ...]) -> Integers:
    """Place of the keyword of each entity in `known`, -1 for all others."""
    begin = starts.copy()
    blank = (padded.take(begin) <= _BLANK).nonzero()[0]
    while len(blank):
        begin[blank] += 1
        blank = blank[padded[begin[blank]] <= _BLANK]
    stop = opens.take(opens.searchsorted(starts), mode="clip")
    gap = ((padded.take(stop - 1) <= _BLANK) & (stop > begin)).nonzero()[0]
    while len(gap):
        stop[gap] -= 1
        gap = gap[(padded[stop[gap] - 1] <= _BLANK) & (stop[gap] > begin[gap])]
    lengths = np.maximum(stop - begin, 0)
    # the eight bytes from each place on, as one number
    words = np.ndarray(len(padded) - _WORD + 1, dtype="<u8", buffer=padded, strides=(1,))
    mixed = lengths.astype(np.uint64)
    mixed *= np.uint64(_MIX[4])
    long, left = np.arange(len(lengths)), lengths
    for mix in _MIX[:-1]:
        word = words[begin]
        word &= _MASKS.take(left, mode="clip")
        word *= np.uint64(mix)
        mixed[long] += word
        more = (left > _WORD).nonzero()[0]
        if not len(more):
            break
        long, begin, left = long.take(more), begin.take(more) + _WORD, left.take(more) - _WORD
    keys, order = _keys(known)
    at = keys.searchsorted(mixed)
    return np.where(keys.take(at, mode="clip") == mixed, order.take(at, mode="clip"), -1)


@cache
def _keys(known: tuple[bytes, ...]) -> tuple[NDArray[np.uint64], Integers]:
    keys = np.array([_key(word) for word in known], dtype=np.uint64)
    order = np.argsort(keys)
    return keys[order], order


def _key(word: bytes) -> int:
    parts = (int.from_bytes(word[at : at + _WORD], "little") for at in range(0, _COMPARED, _WORD))
    return (sum(part * mix for part, mix in zip(parts, _MIX, strict=False)) + len(word) * _MIX[4]) & 0xFFFFFFFFFFFFFFFF
