"""The tags of a DXF file as arrays, whether they were text or binary: group codes, where values stand, and all numbers.

Strict: what is not plainly right raises `NotCovered`, and the file is left to the slow reader, which knows more cases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from itertools import count

import msgspec
import numpy as np

from workers.cad.dxf.fast.numbers import PADDING, Bytes
from workers.cad.shape import Floats, Integers


class NotCovered(Exception):
    """The fast way is not sure to read this file as the reference does."""


LARGEST_CODE = 1071
# what the value of a group code is, by the DXF reference
STRING, REAL, INTEGER, HEX = 0, 1, 2, 3


def _kinds() -> Integers:
    kinds = np.zeros(LARGEST_CODE + 1, dtype=np.int64)
    for low, high in ((10, 60), (110, 150), (210, 240), (460, 470), (1010, 1060)):
        kinds[low:high] = REAL
    for low, high in ((60, 80), (90, 100), (160, 180), (270, 300), (370, 390), (400, 410), (420, 430), (440, 460), (1060, 1072)):
        kinds[low:high] = INTEGER
    kinds[310:320] = HEX
    kinds[1004] = HEX
    return kinds


KIND = _kinds()
NUMERIC = (KIND == REAL) | (KIND == INTEGER)
WHOLE = KIND == INTEGER
# group codes of x; that of y is 10 more, that of z 20 more
POINTS = np.zeros(LARGEST_CODE + 1, dtype=bool)
POINTS[[*range(10, 19), 110, 111, 112, *range(210, 214), *range(1010, 1014)]] = True


class Tags(msgspec.Struct, frozen=True, eq=False, dict=True):
    """n tags up to the end mark; value i is `data[starts[i]:ends[i]]`, and `numbers[i]` where its code means a number."""

    data: bytes
    buffer: Bytes  # data and padding
    codes: Integers  # (n,)
    starts: Integers
    ends: Integers
    numbers: Floats  # NaN for strings
    frequencies: Integers  # (LARGEST_CODE + 1,) how many tags each code has

    @cached_property
    def marks(self) -> Integers:
        """How many markers of subclasses there are up to each tag."""
        marks: Integers = (self.codes == 100).cumsum()
        return marks

    @cached_property
    def markers(self) -> Integers:
        """The markers of subclasses."""
        return self.coded(100)

    @cached_property
    def foreign(self) -> Integers:
        """How often data of an application or an embedded object has begun up to each tag."""
        begun: Integers = ((self.codes == 1001) | (self.codes == 101)).cumsum()
        return begun

    @cached_property
    def handles(self) -> Integers:
        """The tags that may be handles: those of styles of dimensions have a code of their own."""
        return ((self.codes == 5) | (self.codes == 105)).nonzero()[0] if self.frequencies[105] else self.coded(5)

    def coded(self, code: int) -> Integers:
        """The tags of this code."""
        return (self.codes == code).nonzero()[0] if self.frequencies[code] else _NOWHERE

    def with_codes(self, span: range) -> Iterator[tuple[int, int]]:
        return zip(span, self.codes[span.start : span.stop].tolist(), strict=True)

    @cached_property
    def _bounds(self) -> tuple[memoryview, memoryview]:
        """`starts` and `ends` one by one: several times as fast as from an array."""
        return self.starts.data, self.ends.data

    def value(self, at: int) -> bytes:
        starts, ends = self._bounds
        return self.data[starts[at] : ends[at]]

    def values(self, at: Integers) -> list[bytes]:
        data = self.data
        return [data[start:end] for start, end in zip(self.starts.take(at).tolist(), self.ends.take(at).tolist(), strict=True)]

    def different(self, at: Integers) -> list[bytes]:
        """The different values of the tags `at`."""
        return self.interned(at)[1] if len(at) > _FEW else list(dict.fromkeys(self.values(at)))

    def interned(self, at: Integers) -> tuple[Integers, list[bytes]]:
        """For the tags `at`: the number of each value in the list of different values, which is the second."""
        if not len(at):
            return np.zeros(0, dtype=np.int64), []
        # a few are told apart sooner one by one
        if len(at) < _FEW:
            return self._interned_by_one(at)
        starts = self.starts.take(at)
        lengths = self.ends.take(at) - starts
        longest = int(lengths.max())
        if longest > PADDING:
            return self._interned_by_one(at)
        width = max(-(-longest // 8) * 8, 8)
        columns = np.arange(width)
        letters = self.buffer[starts[:, None] + columns]
        letters[columns >= lengths[:, None]] = 0
        words = letters.view(np.uint64)
        with np.errstate(over="ignore"):
            key = (words * _WEIGHTS[: words.shape[1]]).sum(axis=1, dtype=np.uint64) + lengths.astype(np.uint64)
        _, first, number = np.unique(key, return_index=True, return_inverse=True)
        if not (words == words[first][number]).all() or not (lengths == lengths[first][number]).all():
            raise NotCovered("two different names look alike")
        return number.astype(np.int64), self.values(at[first])

    def _interned_by_one(self, at: Integers) -> tuple[Integers, list[bytes]]:
        known: defaultdict[bytes, int] = defaultdict(count().__next__)
        return np.fromiter(map(known.__getitem__, self.values(at)), np.int64, len(at)), list(known)


# measured: to slice and look up one value takes a 300th of what telling arrays apart takes in any case
_FEW = 300
_NOWHERE = np.zeros(0, dtype=np.int64)
_WEIGHTS = np.random.default_rng(1).integers(1, 2**63, PADDING // 8, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def checked(tags: Tags) -> Tags:
    """The same tags, if their values are of their kinds and points are whole."""
    codes, numbers = tags.codes, tags.numbers
    if codes[0] != 0:
        raise NotCovered("a tag before the first section")
    whole = numbers.compress(WHOLE.take(codes))
    if np.count_nonzero(whole != np.rint(whole)):
        raise NotCovered("a fraction for a whole number")
    points = POINTS.take(codes).nonzero()[0]
    if len(points) and (points[-1] + 1 >= len(codes) or np.count_nonzero(codes.take(points + 1) - codes.take(points) != 10)):
        raise NotCovered("a point without y")
    return tags
