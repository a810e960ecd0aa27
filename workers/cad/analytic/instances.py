"""The entities of a STEP file as a table: kind, references and numbers of all of them at once, with numpy and no parser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from workers.cad.brep.step_text import StepText
from workers.cad.shape import LARGEST, Flags, Floats, Integers, steps

Bytes = NDArray[np.uint8]

_OPEN, _CLOSE, _SEMICOLON, _COMMA, _DOT, _TRUE, _FALSE, _BLANK = b"();,.TF "
# how many numbers follow the references
REALS = {b"VECTOR": 1, b"CIRCLE": 1, b"ELLIPSE": 2, b"HYPERBOLA": 2, b"CYLINDRICAL_SURFACE": 1, b"CONICAL_SURFACE": 2,
         b"SPHERICAL_SURFACE": 1, b"TOROIDAL_SURFACE": 2}  # fmt: skip
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
    references: Integers  # (r,) rows referred to, -1 for those that do not exist
    behind: Integers  # (r,) first byte behind each reference that is no blank
    opens: Integers  # all opening and closing brackets outside of strings
    closes: Integers
    keywords: Mapping[bytes, int]  # what was asked for, and its place

    def of(self, keyword: bytes) -> Integers:
        """Rows of one kind."""
        return np.flatnonzero(self.kinds == self.keywords[keyword])

    def are(self, rows: Integers, *keywords: bytes) -> Flags:
        """Which of the rows are of one of these kinds."""
        kinds = self.kinds.take(rows)
        found = kinds == self.keywords[keywords[0]]
        for word in keywords[1:]:
            found |= kinds == self.keywords[word]
        return np.asarray(found)

    def present(self, keywords: Iterable[bytes]) -> list[bytes]:
        """Which of these keywords occur."""
        counts = np.bincount(self.kinds + 1, minlength=len(self.keywords) + 1)
        return [word for word in keywords if counts[self.keywords[word] + 1]]

    def text(self, row: int) -> bytes:
        return self.data[self.starts[row] : self.ends[row]]

    def counts(self, rows: Integers) -> Integers:
        """How many references each has."""
        return self.firsts.take(rows + 1) - self.firsts.take(rows)

    def rows(self, rows: Integers, place: int) -> Integers:
        """The row that each refers to at this place, -1 for the last one; all must have it."""
        if (self.counts(rows) < (place + 1 if place >= 0 else -place)).any():
            raise NotCovered("an entity has fewer references than it should")
        return self.references.take((self.firsts.take(rows) if place >= 0 else self.firsts.take(rows + 1)) + place)

    def lists(self, rows: Integers, drop: int = 0) -> tuple[Integers, Integers]:
        """All rows referred to, one entity after the other, and the entity of each by its place in `rows`; the last `drop` left out."""
        counts = self.counts(rows) - drop
        if (counts < 1).any():
            raise NotCovered("an entity has fewer references than it should")
        owner, place = steps(counts)
        return self.references.take(self.firsts.take(rows).take(owner) + place), owner

    def flags(self, rows: Integers) -> Flags:
        """Whether the last argument of each is .T.; it must be that or .F."""
        at = self.ends[rows] - 1
        at = self._back(at)
        ok = self.letters[at] == _CLOSE
        at = self._back(at - 1)
        letter = self.letters[at - 1]
        ok &= (self.letters[at] == _DOT) & (self.letters[at - 2] == _DOT) & ((letter == _TRUE) | (letter == _FALSE))
        if not ok.all():
            raise NotCovered("a flag is not where it should be")
        return np.asarray(letter == _TRUE)

    def _back(self, at: Integers) -> Integers:
        at = at.copy()
        blank = np.flatnonzero(self.letters[at] <= _BLANK)
        while len(blank):
            at[blank] -= 1
            blank = blank[self.letters[at[blank]] <= _BLANK]
        return at

    def vectors(self, rows: Integers) -> Floats:
        """(k, 3) of CARTESIAN_POINTs and DIRECTIONs in space."""
        found = self._vectors.take(rows, axis=0)
        # the comparison is false for what has no three numbers
        if not (np.abs(found) <= LARGEST).all():
            raise NotCovered("a point is not written as it should be")
        return found

    def reals(self, rows: Integers, count: int) -> Floats:
        """(k, count) numbers that follow the last reference of each up to the end; of kinds named in `REALS`."""
        found = self._reals.take(rows, axis=0)[:, :count]
        if not (np.abs(found) <= LARGEST).all():
            raise NotCovered("numbers are not where they should be")
        return found

    @cached_property
    def _vectors(self) -> Floats:
        """(n, 3) all at once: each call of numpy costs more than the numbers of a small file."""
        rows = np.flatnonzero((self.kinds == self.keywords[b"CARTESIAN_POINT"]) | (self.kinds == self.keywords[b"DIRECTION"]))
        opening = np.searchsorted(self.opens, self.starts.take(rows)) + 1
        start = self.opens.take(opening, mode="clip") + 1
        end = self.closes.take(np.searchsorted(self.closes, start), mode="clip")
        sound = np.flatnonzero((start < end) & (end < self.ends.take(rows)))
        return self._numbers(3, rows[sound], start[sound], end[sound], np.full(len(sound), 3))

    @cached_property
    def _reals(self) -> Floats:
        """(n, 2) all at once."""
        counts = np.zeros(len(self.keywords) + 1, dtype=np.int64)
        for word, count in REALS.items():
            counts[self.keywords[word]] = count
        wanted = counts.take(self.kinds)  # the last one stands for the kind -1
        rows = np.flatnonzero((wanted > 0) & (self.firsts[1:] > self.firsts[:-1]))
        start = self.behind.take(self.firsts.take(rows + 1) - 1)
        end = self._back(self.ends.take(rows) - 1)
        letters = self.letters
        sound = np.flatnonzero((letters.take(start) == _COMMA) & (letters.take(end) == _CLOSE) & (start < end))
        rows = rows[sound]
        return self._numbers(2, rows, start[sound] + 1, end[sound], wanted[rows])

    def _numbers(self, width: int, rows: Integers, starts: Integers, ends: Integers, counts: Integers) -> Floats:
        """(n, width): in the given rows what stands between commas in the pieces of text, if there is as much as told; elsewhere NaN."""
        table = np.full((len(self.kinds), width), np.nan)
        # the byte that ends each piece becomes a comma
        owner, place = steps(ends - starts + 1)
        found = self.letters.take(starts.take(owner) + place)
        found[np.cumsum(ends - starts + 1) - 1] = _COMMA
        fields = np.bincount(owner.compress(found == _COMMA), minlength=len(rows))
        if (odd := fields != counts).any():
            found, rows, counts = found.compress(~odd.take(owner)), rows[~odd], counts[~odd]
        if not len(rows):
            return table
        try:
            # float knows a way to write thousands that no CAD system means
            values = np.array([*map(float, found[:-1].tobytes().replace(b"_", b"?").split(b","))])
        except ValueError as error:
            raise NotCovered("a number is not written as it should be") from error
        owner, place = steps(counts)
        table[rows.take(owner), place] = values
        return table


def instances(source: StepText, keywords: Iterable[bytes]) -> Instances:
    """The table of all entities of a checked text; `keywords` are those to be known apart."""
    known, marks = tuple(keywords), source.marks
    data = source.data
    padded = np.frombuffer(data + bytes(_COMPARED + _WORD), dtype=np.uint8)
    letters = padded[: len(data)]
    defining = marks.defining
    starts = marks.after[defining] + 1
    semicolons = marks.at[marks.kinds == _SEMICOLON]
    ends = semicolons[np.searchsorted(semicolons, starts)]
    opens, closes = marks.at[marks.kinds == _OPEN], marks.at[marks.kinds == _CLOSE]
    owner = np.cumsum(defining) - 1
    used = ~defining & (owner >= 0)
    firsts = np.concatenate([[0], np.cumsum(np.bincount(owner[used], minlength=len(starts)))])
    rows = _found(marks.names[defining], marks.names[used])
    return Instances(
        data, letters, _kinds(padded, starts, opens, known), starts, ends, firsts, rows, marks.after[used], opens, closes, _places(known)
    )


@cache
def _places(known: tuple[bytes, ...]) -> dict[bytes, int]:
    return {word: place for place, word in enumerate(known)}


def _found(numbers: Integers, wanted: Integers) -> Integers:
    """Row of each wanted number among those of the entities, -1 where there is none."""
    largest = int(numbers.max(initial=0))
    if largest <= 16 * len(numbers) + 1024:
        table = np.full(largest + 2, -1, dtype=np.int64)
        table[numbers] = np.arange(len(numbers))
        return table[np.minimum(wanted, largest + 1)]
    order = np.argsort(numbers)
    at = np.minimum(np.searchsorted(numbers[order], wanted), len(numbers) - 1)
    return np.where(numbers[order[at]] == wanted, order[at], -1)


def _kinds(padded: Bytes, starts: Integers, opens: Integers, known: tuple[bytes, ...]) -> Integers:
    """Place of the keyword of each entity in `known`, -1 for all others."""
    begin = starts.copy()
    blank = np.flatnonzero(padded[begin] <= _BLANK)
    while len(blank):
        begin[blank] += 1
        blank = blank[padded[begin[blank]] <= _BLANK]
    stop = opens[np.minimum(np.searchsorted(opens, starts), len(opens) - 1)]
    gap = np.flatnonzero((padded[stop - 1] <= _BLANK) & (stop > begin))
    while len(gap):
        stop[gap] -= 1
        gap = gap[(padded[stop[gap] - 1] <= _BLANK) & (stop[gap] > begin[gap])]
    lengths = np.maximum(stop - begin, 0)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WORD)
    mixed = lengths.astype(np.uint64) * np.uint64(_MIX[4])
    longest = int(lengths.max(initial=0))
    for at in range(0, min(_COMPARED, longest), _WORD):
        long = np.flatnonzero(lengths > at) if at else slice(None)
        word = windows[begin[long] + at].view("<u8")[:, 0]
        mixed[long] += (word & _MASKS[np.minimum(lengths[long] - at, _WORD)]) * np.uint64(_MIX[at // _WORD])
    keys, order = _keys(known)
    at = np.minimum(np.searchsorted(keys, mixed), len(keys) - 1)
    return np.where(keys[at] == mixed, order[at], -1)


@cache
def _keys(known: tuple[bytes, ...]) -> tuple[NDArray[np.uint64], Integers]:
    keys = np.array([_key(word) for word in known], dtype=np.uint64)
    order = np.argsort(keys)
    return keys[order], order


def _key(word: bytes) -> int:
    parts = (int.from_bytes(word[at : at + _WORD], "little") for at in range(0, _COMPARED, _WORD))
    return (sum(part * mix for part, mix in zip(parts, _MIX, strict=False)) + len(word) * _MIX[4]) & 0xFFFFFFFFFFFFFFFF
