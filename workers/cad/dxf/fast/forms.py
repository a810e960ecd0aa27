"""Entities by their form: those that write the same group codes in the same order are told apart once, whatever their number.

A drawing holds many entities but few forms. What a group code means in a form - whether it is data of the entity or of some
application, and where it stands - is found once for the form; then numbers are taken for all its entities at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from workers.cad.dxf.fast.plan import Plan
from workers.cad.dxf.fast.tags import NotCovered, Tags
from workers.cad.shape import Flags, Floats, Integers, steps


def _codes(*codes: int) -> Flags:
    flags = np.zeros(2048, dtype=bool)
    flags[list(codes)] = True
    return flags


_MARKER = _codes(100, 101, 102)
# vertices of light polylines, points, knots and weights of splines are as many as they like: they are looked at apart from the form
VERTEX_CODES, SPLINE_CODES = _codes(10, 20, 40, 41, 42, 91), _codes(10, 20, 30, 11, 21, 31, 40, 41)
# entities that are told apart sooner one by one
_FEW = 200
# drawings of one writer have the same forms, so they are kept from file to file: so many of them, of so many bytes of group codes and
# so many letters of markers, which takes some 20 MB at most
_KEPT, _KEPT_BYTES, _KEPT_LETTERS = 1024, 1600, 2000
_ZERO, _NOWHERE, _AXES = np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64), np.arange(3)
# columns that are not there, or more than once
_NONE, _TWO = -1, -2


@dataclass(slots=True)
class _Form:
    """Where the data of an entity stands: its subclasses, without what belongs to applications. Shared, so nobody changes it."""

    columns: dict[int, int] = field(default_factory=dict)  # group code: place within the entity, _TWO where there are more of it
    subclass: dict[int, int] = field(default_factory=dict)  # group code: number of its subclass
    subclasses: list[bytes] = field(default_factory=lambda: [b""])
    owner: int = -1
    handle: int = -1
    last_class: int = 0  # place of the last marker of a subclass
    tail: int = -1  # where data of applications begins
    embedded: bool = False

    def column(self, code: int, subclass: int | None) -> int:
        column = self.columns.get(code, _NONE)
        elsewhere = subclass is not None and column >= 0 and len(self.subclasses) > 1 and self.subclass[code] != subclass
        return _NONE if elsewhere else column


def _kept(codes: bytes, marks: tuple[bytes, ...]) -> _Form:
    few = len(codes) <= _KEPT_BYTES and sum(map(len, marks)) <= _KEPT_LETTERS
    return _formed(codes, marks) if few else _formed.__wrapped__(codes, marks)


@lru_cache(_KEPT)
def _formed(codes: bytes, marks: tuple[bytes, ...]) -> _Form:
    """As the reference parts an entity of these group codes, each of eight bytes; `marks` are the values of the markers among them."""
    form = _Form()
    braced = False
    values = iter(marks)
    for at, code in enumerate(np.frombuffer(codes, dtype=np.int64).tolist()):
        value = next(values) if _MARKER[code] else b""
        first = len(form.subclasses) == 1
        if braced:
            braced = not (code == 102 and value.endswith(b"}"))
        elif code == 102 and first and value.startswith(b"{"):
            braced = True
        elif code == 1001 or (code == 101 and value == b"Embedded Object"):
            form.tail, form.embedded = at, code == 101
            break
        elif code == 100:
            form.subclasses.append(value)
            form.last_class = at
        elif code == 0:
            continue
        else:
            if first and code in (5, 330):
                if (form.handle if code == 5 else form.owner) >= 0:
                    raise NotCovered("an entity of two owners")
                form.handle, form.owner = (at, form.owner) if code == 5 else (form.handle, at)
            form.columns[code] = _TWO if code in form.columns else at
            form.subclass[code] = len(form.subclasses) - 1
    if braced:
        raise NotCovered("a group of an application without an end")
    return form


class Forms:
    """All entities of the drawn sections, by form."""

    def __init__(self, plan: Plan, entities: Integers, stops: Integers) -> None:
        """`stops` are the tags before which the form of each entity ends; most forms end with the entity."""
        self.plan, self.entities = plan, entities
        tags = plan.tags
        heads = plan.heads[entities]
        self._lengths = stops - heads
        self._starts = self._lengths.cumsum() - self._lengths
        at = np.arange(self._lengths.sum()) + (heads - self._starts).repeat(self._lengths)
        for kind, many in ((b"LWPOLYLINE", VERTEX_CODES), (b"SPLINE", SPLINE_CODES)):
            if plan.has(kind):
                some = plan.kind(kind, of=plan.kinds[entities]).repeat(self._lengths)
                kept = ~(some & many[tags.codes[at]])
                before = np.concatenate([_ZERO, kept.cumsum()])
                at = at[kept]
                self._lengths = before[self._starts + self._lengths] - before[self._starts]
                self._starts = before[self._starts]
        self._at = at
        self._form, self.forms = self._grouped()
        self._known = set[int]().union(*(form.columns for form in self.forms))
        self._columns: dict[tuple[int, int | None], tuple[Integers, int]] = {}

    def _grouped(self) -> tuple[Integers, list[_Form]]:
        """The form of each entity, and all forms."""
        tags, at, lengths = self.plan.tags, self._at, self._lengths
        if not len(lengths):
            return _NOWHERE, []
        many = len(lengths) > _FEW
        if many:
            alike, first = self._told_apart(_tokens(tags, at))
            lengths = lengths[first]
            owner, index = steps(lengths)
            at = at[self._starts[first][owner] + index]
        codes = tags.codes.take(at)
        marked = _MARKER.take(codes).nonzero()[0]
        data, values, stops = codes.tobytes(), tags.values(at.take(marked)), lengths.cumsum()
        known: dict[tuple[bytes, tuple[bytes, ...]], int] = {}
        numbers, begin, mark = [], 0, 0
        for end, until in zip((stops * codes.itemsize).tolist(), marked.searchsorted(stops).tolist(), strict=True):
            numbers.append(known.setdefault((data[begin:end], tuple(values[mark:until])), len(known)))
            begin, mark = end, until
        form: Integers = np.array(numbers)
        return form[alike] if many else form, [_kept(*key) for key in known]

    def _told_apart(self, tokens: Integers) -> tuple[Integers, Integers]:
        """The form of each of many entities, and the first entity of each form."""
        place = np.arange(len(tokens)) - np.repeat(self._starts, self._lengths)
        weights = _weights(int(self._lengths.max()).bit_length())
        with np.errstate(over="ignore"):
            keys = np.add.reduceat((tokens.astype(np.uint64) + np.uint64(7)) * weights[place], self._starts)
        keys ^= self._lengths.astype(np.uint64)
        _, first, form = np.unique(keys, return_index=True, return_inverse=True)
        # a key is no proof: every entity must agree with the first of its form, tag by tag
        model = first[form]
        if np.count_nonzero(self._lengths != self._lengths[model]) or np.count_nonzero(
            tokens != tokens[np.repeat(self._starts[model], self._lengths) + place]
        ):
            raise NotCovered("two different forms look alike")
        return form.astype(np.int64), first

    def each(self, of: Integers) -> list[_Form]:
        """The different forms of the entities `of` (places in `entities`)."""
        return [self.forms[form] for form in np.bincount(self._form[of]).nonzero()[0].tolist()] if len(of) else []

    def take(self, of: Integers, code: int, subclass: int | None = None) -> Integers:
        """The tag of this code in each of the entities `of`, -1 where there is none. Raises `NotCovered` where there are two."""
        if code not in self._known:
            return np.full(len(of), -1)
        columns, lowest = self._column(code, subclass)
        column = columns.take(self._form.take(of))
        if lowest == _TWO and np.count_nonzero(column == _TWO):
            raise NotCovered(f"group code {code} twice")
        return self._tag(of, column, lowest)

    def _column(self, code: int, subclass: int | None) -> tuple[Integers, int]:
        """Where this code stands in each form, and the lowest of these."""
        key = code, subclass
        if key not in self._columns:
            if subclass is None:
                columns = [form.columns.get(code, _NONE) for form in self.forms]
            else:
                columns = [form.column(code, subclass) for form in self.forms]
            self._columns[key] = np.array(columns), min(columns)
        return self._columns[key]

    def unknown(self, code: int) -> bool:
        """Whether no entity at all has this code."""
        return code not in self._known

    def _tag(self, of: Integers, column: Integers, lowest: int = _NONE) -> Integers:
        """The tags at these places within the entities, -1 where the place is none. No place is below `lowest`."""
        tags: Integers = self._at.take(self._starts.take(of) + column)
        if lowest < 0:
            tags[column < 0] = -1
        return tags

    def owners(self, of: Integers) -> Integers:
        """The tag of each owner, -1 where there is none."""
        owners = [form.owner for form in self.forms]
        return self._tag(of, np.array(owners, dtype=np.int64)[self._form[of]], min(owners, default=_NONE))

    def many(self, of: Integers, codes: Flags) -> tuple[Integers, Integers]:
        """All tags of these codes, which an entity may have as often as it likes: places in `of`, and the tags.

        Raises `NotCovered` where one is outside of the last subclass.
        """
        form, entity = self._form.take(of), self.entities.take(of)
        head, end = self.plan.heads.take(entity), self.plan.heads.take(entity + 1)
        owner, at = steps(end - head)
        at += head.take(owner)
        kept = codes.take(self.plan.tags.codes.take(at)).nonzero()[0]
        owner, at = owner.take(kept), at.take(kept)
        begin = self._tag(of, np.array([form.last_class for form in self.forms], dtype=np.int64).take(form), 0)
        tails = [form.tail for form in self.forms]
        if max(tails, default=_NONE) >= 0:  # data of applications, which ends what is the entity's own
            tail = self._tag(of, np.array(tails).take(form))
            end = np.where(tail >= 0, tail, end)
        if np.count_nonzero(at < begin.take(owner)) or np.count_nonzero(at >= end.take(owner)):
            raise NotCovered("a vertex outside of its polyline")
        return owner, at

    def old(self, of: Integers) -> Flags:
        """Which of the entities are written as in R12."""
        if self.plan.version == "AC1009":
            return np.ones(len(of), dtype=bool)
        return np.array([len(form.subclasses) == 1 for form in self.forms], dtype=bool)[self._form[of]]

    def number(self, of: Integers, code: int, default: float = 0.0, subclass: int | None = None) -> Floats:
        if code not in self._known:
            return np.full(len(of), default)
        at = self.take(of, code, subclass)
        numbers = self.plan.tags.numbers.take(at)
        return numbers if self._column(code, subclass)[1] >= 0 else np.where(at >= 0, numbers, default)

    def point(self, of: Integers, code: int, subclass: int | None = None) -> tuple[Floats, Flags]:
        """Points (n, 3), (0, 0, 0) where there are none; and where there are any."""
        tags, at = self.plan.tags, self.take(of, code, subclass)
        found = at >= 0
        points = tags.numbers.take(at[:, None] + _AXES)
        flat = tags.codes.take(at + 2) != code + 20
        if np.count_nonzero(flat):
            points[flat, 2] = 0.0
        if np.count_nonzero(found) < len(found):
            points[~found] = 0.0
        return points, found


@cache
def _weights(bits: int) -> NDArray[np.uint64]:
    """Odd numbers for entities of less than 2 ** `bits` tags."""
    odd: NDArray[np.uint64] = np.random.default_rng(2).integers(1, 2**63, 2**bits, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return odd


def _tokens(tags: Tags, at: Integers) -> Integers:
    """Group codes, with the values of markers mixed in."""
    tokens = tags.codes[at]
    marked = _MARKER[tokens].nonzero()[0]
    tokens[marked] += (tags.interned(at[marked])[0] + 1) << 11
    return tokens
