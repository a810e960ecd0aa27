"""The plan of a DXF file: where its entities are, of which kinds, and in which sections."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import msgspec
import numpy as np

from tasks.recognition import BINARY_DXF
from workers.cad.dxf.fast.tags import NotCovered, Tags
from workers.cad.shape import Flags, Integers

R12 = "AC1009"
# the keys of the layouts, as they begin; that of the modelspace is whole
SPACES = ("*model_space", "*paper_space")
# tables that the reference may add to a file, and the records of modelspace and paperspace
_TABLES = 9 + 2


class Plan(msgspec.Struct, frozen=True, eq=False, dict=True):
    """Entity e is the tags `heads[e]` to `heads[e + 1]`; the last is the end mark."""

    tags: Tags
    heads: Integers
    kinds: Integers  # (entities,) number of each in `names`
    names: list[bytes]
    sections: dict[bytes, tuple[int, int]]  # its own entity, its end
    version: str
    encoding: str
    units_code: int  # $INSUNITS
    measurement: int | None  # $MEASUREMENT
    records: dict[str, tuple[str, bytes | None]]  # block records: key to name and handle
    arrows: dict[str, str]  # blocks that the reference adds, where the file does not have them: key to name
    seed: str | None  # $HANDSEED

    @property
    def binary(self) -> bool:
        return self.tags.data.startswith(BINARY_DXF)

    @cached_property
    def _numbers(self) -> dict[bytes, int]:
        return {name: number for number, name in enumerate(self.names)}

    def number(self, name: bytes) -> int:
        """The number of a kind in `names`, -1 where there is none of it."""
        return self._numbers.get(name, -1)

    def has(self, *names: bytes) -> bool:
        """Whether there is any entity of these kinds, anywhere in the file."""
        return not self._numbers.keys().isdisjoint(names)

    def kind(self, *names: bytes, of: Integers | None = None) -> Flags:
        """Which entities, or which of those whose kinds are `of`, are of these kinds."""
        kinds = self.kinds if of is None else of
        if len(names) == 1:
            return np.asarray(kinds == self.number(names[0]))
        some = [self._numbers[name] for name in names if name in self._numbers]
        chosen = np.zeros(len(self.names), dtype=bool)
        chosen[some] = True
        return chosen[kinds]

    def which(self, *names: bytes) -> list[int]:
        """The entities of these kinds, anywhere in the file."""
        found: list[int] = self.kind(*names).nonzero()[0].tolist() if self.has(*names) else []
        return found

    def within(self, content: range, *names: bytes) -> Flags:
        """Which of the entities within a section are of these kinds."""
        return self.kind(*names, of=self.kinds[content.start : content.stop])

    def content(self, section: bytes) -> range:
        """The entities within a section."""
        start, end = self.sections.get(section, (0, 1))
        return range(start + 1, end)

    def span(self, entity: int) -> range:
        return range(int(self.heads[entity]), int(self.heads[entity + 1]))

    def coded(self, entity: int) -> Iterator[tuple[int, int]]:
        """Tags and their codes."""
        return self.tags.with_codes(self.span(entity))

    def subclasses(self, entity: int) -> list[range]:
        """The tags of each subclass, its marker first."""
        marks = self.tags.marks
        first, stop = int(self.heads[entity]), int(self.heads[entity + 1])
        begins = self.tags.markers[marks[first] : marks[stop]].tolist()
        return [range(begin, end) for begin, end in zip(begins, [*begins, stop][1:], strict=True)]

    def text(self, at: int) -> str:
        return self.decode(self.tags.value(at))

    def decode(self, value: bytes) -> str:
        # letters of ASCII are the same in all encodings here
        return value.decode("ascii") if value.isascii() else value.decode(self.encoding, "surrogateescape")

    def base(self, entity: int, code: int) -> bytes | None:
        """A value from before the first subclass, outside of all groups of applications."""
        first = int(self.heads[entity]) + 1
        if self.tags.codes[first] == code:
            return self.tags.value(first)
        braced = False
        for at, here in self.coded(entity):
            if here == 100:
                break
            if here == 102:
                braced = not braced
            elif here == code and not braced:
                return self.tags.value(at)
        return None

    @property
    def first_given(self) -> int:
        """The first handle, as a number, that the reference gives to what has none."""
        return max(int(self.seed or ("1" if b"HEADER" in self.sections else "100"), 16), 1)

    def may_be_given(self, handle: bytes, more: int = _TABLES) -> bool:
        """Whether the reference may give this handle to what has none, once it has added up to `more` things to a file.

        It counts on past what is taken: once an entity, and once more where it adds the end mark of a polyline.
        """
        try:
            return 0 <= int(handle, 16) - self.first_given <= 2 * len(self.heads) + more
        except ValueError:
            return False

    def definitions(self) -> set[bytes]:
        """Handles of the definitions of images."""
        entities = self.which(b"IMAGEDEF")
        return {handle for handle in (self.base(entity, 5) for entity in entities) if handle is not None}

    def only(self, entities: range, code: int) -> Integers:
        """The only tag of this code in each of the entities, -1 where there is none. Raises `NotCovered` where there are more."""
        if not len(entities):
            return np.zeros(0, dtype=np.int64)
        start = int(self.heads[entities.start])
        at = (self.tags.codes[start : self.heads[entities.stop]] == code).nonzero()[0] + start
        owner = self.heads.searchsorted(at, side="right") - 1 - entities.start
        if np.count_nonzero(owner[1:] == owner[:-1]):
            raise NotCovered(f"group code {code} twice")
        found: Integers = np.empty(len(entities), dtype=np.int64)
        found.fill(-1)
        found[owner] = at
        return found
