"""The entities of a drawing and where they belong: to the modelspace, to a block, or to another entity."""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import msgspec
import numpy as np

from workers.cad.dxf.fast.forms import Forms
from workers.cad.dxf.fast.hatches import Hatches
from workers.cad.dxf.fast.layouts import model_is_titled
from workers.cad.dxf.fast.plan import R12, SPACES, Plan
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.dxf.repair import SUBCLASS
from workers.cad.shape import Flags, Integers, steps

# drawn here, by all entities of a kind at once
DRAWN = (b"LINE", b"CIRCLE", b"ARC", b"ELLIPSE", b"LWPOLYLINE", b"POLYLINE", b"SOLID", b"TRACE", b"3DFACE", b"SPLINE", b"HATCH")
# read by the reference, one by one
LENT = (b"MULTILEADER",)
# only counted, and as long as they like; of these the reference looks at what all kinds have, and at pictures for their frames
_PICTURES = (b"IMAGE", b"WIPEOUT")
_LONG = (*_PICTURES, b"ACAD_TABLE", b"PDFUNDERLAY", b"ACAD_PROXY_ENTITY", b"SECTIONOBJECT")
# the reference only stores their tags: it knows the layers of none of them, and takes that of a table for the first one
_STORED, _TABLE = (b"3DLINE", b"SECTIONOBJECT"), b"ACAD_TABLE"
# only counted; the first are read by code alone, the others by subclass
_COUNTED = (b"TEXT", b"POINT", b"SHAPE", b"3DLINE")
_COUNTED_BY_SUBCLASS = (
    *(b"MTEXT", b"ATTDEF", b"DIMENSION", b"LEADER", b"TOLERANCE", b"VIEWPORT"),
    *(b"RAY", b"XLINE", b"3DSOLID", b"REGION", b"BODY"),
    *_LONG,
)
# of these the reference wants more than R12 has, or data of an application
_MORE_THAN_R12 = (b"3DSOLID", b"REGION", b"BODY", b"VIEWPORT", *_LONG)
_FRAME = (b"INSERT", b"BLOCK", b"ENDBLK", b"VERTEX", b"ATTRIB", b"SEQEND")
_COVERED = {*DRAWN, *LENT, *_COUNTED, *_COUNTED_BY_SUBCLASS, *_FRAME}
_LINKED = (b"INSERT", b"POLYLINE", b"VERTEX", b"ATTRIB", b"SEQEND")
_MODERN = tuple(name.encode() for name in SUBCLASS)
# number of the modelspace among the places, and of what is nowhere: in paperspace, or part of another entity
MODEL, NOWHERE = 0, -1
_NONE: Integers = np.zeros(0, dtype=np.int64)


# letters that the reference refuses in names it writes itself; the beginnings of escaped letters are none of them
_REFUSED = set('<>/\\":;?*=`')


def _refused(name: str) -> bool:
    return not _REFUSED.isdisjoint(name.replace(r"\U+", "").replace(r"\M+", ""))


def mixed(plan: Plan) -> bool:
    """Whether a drawing of R12 holds entities of R2000, so that the reference repairs it. Raises `NotCovered` where it may miss them."""
    if not plan.has(*_MODERN):
        return False
    handles = Counter[bytes | None](plan.tags.values(plan.tags.coded(5)))
    drawn = [*plan.content(b"BLOCKS"), *plan.content(b"ENTITIES")]
    modern = [entity for entity in drawn if plan.names[plan.kinds[entity]] in _MODERN]
    # of two entities of one handle the reference knows the second one
    if not modern or (handles and not any(handles[plan.base(entity, 5)] == 1 for entity in modern)):
        raise NotCovered("entities of R2000 in a drawing of R12")
    return True


class Block(msgspec.Struct, frozen=True, eq=False):
    """`entity` is its BLOCK, as place among the entities of the drawn sections."""

    name: str
    entity: int


class Entities:
    """All entities of the sections BLOCKS and ENTITIES; n of them, numbered from 0. Raises `NotCovered`."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        blocks, entities = plan.content(b"BLOCKS"), plan.content(b"ENTITIES")
        own = np.concatenate([np.arange(part.start, part.stop) for part in (blocks, entities)])
        self.count, self._in_blocks = len(own), len(blocks)
        self.kinds = plan.kinds[own]
        self.present = {plan.names[kind] for kind in np.bincount(self.kinds).nonzero()[0].tolist()}
        if not self.present <= _COVERED:
            raise NotCovered(f"entities of the kind {sorted(self.present - _COVERED)[0]!r}")
        if plan.version == R12 and not self.present.isdisjoint(_MORE_THAN_R12):
            raise NotCovered("entities of R2000 in a drawing of R12")
        self.told = False  # whether there are texts with data of the application that writes their columns and frames
        self.lent: Flags = self.of(*LENT)
        if b"SPLINE" in self.present:
            # splines without control points are curves through points, which takes more than evaluating them
            self.lent |= self.of(b"SPLINE") & ~self._has(own, 10)
        self.own = own
        stops = plan.heads[own + 1]
        if not self.present.isdisjoint(_LONG):
            self._shorten(stops)
            self._check_pictures()
        if b"HATCH" in self.present:
            hatches = self.which(b"HATCH")
            self.hatches = Hatches(plan, own[hatches])
            stops[hatches] = self.hatches.begins
            self.lent[hatches] = ~self.hatches.plain
        # entities lent to the reference have forms without end, so they are kept apart
        self.loans = self.lent.nonzero()[0]
        self.plain = self._form_of = np.arange(self.count)
        if len(self.loans):
            self.plain = (~self.lent).nonzero()[0]
            self._form_of = np.full(self.count, -1, dtype=np.int64)
            self._form_of[self.plain] = np.arange(len(self.plain))
            own, stops = own[self.plain], stops[self.plain]
        self.forms = Forms(plan, own, stops)
        self._check_subclasses()
        # strings have no number, which is not larger than any
        if np.count_nonzero(np.abs(plan.tags.numbers[self._reals()]) > 1e12):
            raise NotCovered("numbers of another world")
        self.blocks, self.place = self._places()
        self.linked, self.mains = self._linked()
        self.place[self.linked] = NOWHERE

    def of(self, *names: bytes) -> Flags:
        """Which entities are of these kinds."""
        return self.plan.kind(*names, of=self.kinds)

    def which(self, *names: bytes) -> Integers:
        """The entities of these kinds."""
        return _NONE if self.present.isdisjoint(names) else self.of(*names).nonzero()[0]

    def _has(self, entities: Integers, code: int) -> Flags:
        """Which of the entities of the plan have such a tag."""
        known = np.concatenate([[0], (self.plan.tags.codes == code).cumsum()])
        heads = self.plan.heads
        return np.asarray(known[heads[entities + 1]] > known[heads[entities]])

    def _shorten(self, stops: Integers) -> None:
        """Let forms of long kinds stop where the data of the kind itself begins."""
        marks, long = self.plan.tags.coded(100), self.which(*_LONG)
        second = marks.searchsorted(self.plan.heads[self.own[long]]) + 1
        if not (second < len(marks)).all() or not (marks[second] < stops[long]).all():
            raise NotCovered("an entity without its subclasses")
        stops[long] = marks[second] + 1

    def _check_pictures(self) -> None:
        """Pictures must have a frame, or the reference makes one up, and images a definition, or it drops them."""
        plan, pictures, images = self.plan, self.own[self.which(*_PICTURES)], self.own[self.which(b"IMAGE")]
        if (np.bincount(self._data(14)[1], minlength=len(plan.heads))[pictures] < 2).any():
            raise NotCovered("a picture without a frame")
        at, owner = self._data(340)
        at, owner = at[np.isin(owner, images)], owner[np.isin(owner, images)]
        if not np.array_equal(np.sort(owner), np.sort(images)) or not plan.definitions().issuperset(plan.tags.interned(at)[1]):
            raise NotCovered("an image without a definition")

    def _data(self, code: int) -> tuple[Integers, Integers]:
        """The tags of this code in the second subclasses, where kinds have their own data, and their entities of the plan."""
        tags, heads = self.plan.tags, self.plan.heads
        at = tags.coded(code)
        owner = heads.searchsorted(at, side="right") - 1
        own = tags.marks[at] - tags.marks[heads[owner]] == 2
        return at[own], owner[own]

    def form(self, of: Integers) -> Integers:
        """Their places among the forms."""
        return self._form_of[of] if len(self.loans) else of

    def _reals(self) -> slice:
        return slice(int(self.plan.heads[self.own[0]]), int(self.plan.heads[self.own[-1] + 1])) if self.count else slice(0)

    def _check_subclasses(self) -> None:
        """Kinds that the reference reads by subclass must have them where it looks."""
        for form in self.forms.each(self.form(self.which(*_COUNTED_BY_SUBCLASS, b"ATTRIB"))):
            if self.plan.version == R12:
                if len(form.subclasses) > 1:
                    raise NotCovered("subclasses in a drawing of R12")
            elif len(form.subclasses) < 3 or form.subclasses[1] != b"AcDbEntity":
                raise NotCovered("an entity without its subclasses")
        stored = self.form(self.which(*_STORED))
        if len(stored) and ((self.plan.version != R12 and b"3DLINE" in self.present) or self.forms.number(stored, 67).any()):
            raise NotCovered("an unknown entity of which the reference does not know where it is")
        if b"MTEXT" in self.present:
            self._check_texts()

    def _check_texts(self) -> None:
        """MTEXT must be one entity, whose columns are none or known."""
        words = self.form(self.which(b"MTEXT"))
        if any(form.subclasses[2:] != [b"AcDbMText"] for form in self.forms.each(words)):
            raise NotCovered("an odd text")
        tags = self.plan.tags
        told = ((tags.codes == 1001) | (tags.codes == 101)).nonzero()[0]
        own = self.plan.kind(b"MTEXT")[self.plan.heads.searchsorted(told, side="right") - 1]
        _, tellers = tags.interned(told[own])
        # columns and frames of texts live in data of an application
        self.told = b"ACAD" in tellers
        # since R2018 they live in an embedded object and the text is whole, but the reference checks the type of the columns
        begin = told[own & (tags.codes[told] == 101)]
        owner, index = steps(self.plan.heads[np.searchsorted(self.plan.heads, begin, side="right")] - begin)
        at = begin[owner] + index
        odd = (tags.codes[at] == 71) & ~np.isin(tags.numbers[at], (0, 1, 2))
        if (odd | (tags.codes[at] == 1) | (tags.codes[at] == 3)).any():
            raise NotCovered("an odd text")
        # of a text in columns the reference looks up the layout
        if (self.told or len(begin)) and not model_is_titled(self.plan):
            raise NotCovered("a layout of another name")

    def _places(self) -> tuple[list[Block], Integers]:
        """All blocks, and to which of them each entity belongs: 0 is the modelspace, i + 1 is block i."""
        begin, end = self.which(b"BLOCK"), self.which(b"ENDBLK")
        inside = self._in_blocks
        if len(begin) != len(end) or (len(end) and end[-1] != inside - 1) or (inside and (not len(begin) or begin[0] != 0)):
            raise NotCovered("blocks out of order")
        if len(begin) and (np.count_nonzero(end < begin) or np.count_nonzero(begin[1:] - end[:-1] != 1)):
            raise NotCovered("blocks out of order")
        place = np.zeros(self.count, dtype=np.int64)
        if inside:
            place[begin] = 1
            place[:inside] = place[:inside].cumsum()
        sizes = end - begin - 1
        names = self.forms.take(self.form(begin), 2)
        blocks, keys = [], set()
        for entity, name, size in zip(begin.tolist(), names.tolist(), sizes.tolist(), strict=True):
            text = (self.plan.text(name) if name >= 0 else "") or self._recovered(entity)
            if not text:  # the reference leaves out what it has no name for
                after = entity + size + 2
                place[entity:after] = NOWHERE
                place[after:inside] -= 1
                continue
            key = text.lower()
            if key in keys or (key[0] == "$" and self.plan.version != R12 and key in ("$model_space", "$paper_space")):
                raise NotCovered("an odd block")
            keys.add(key)
            if key in ("$model_space", "$paper_space"):
                text, key = "*Model_Space" if key[1] == "m" else "*Paper_Space", "*" + key[1:]
                if key in keys:
                    raise NotCovered("an odd block")
                keys.add(key)
            if key == SPACES[0] and size:
                raise NotCovered("a modelspace in two sections")
            blocks.append(Block(self.plan.records.get(key, (text, None))[0], entity))
        # a block or a record without its counterpart gets one
        for name in [block.name for block in blocks if block.name.lower() not in self.plan.records] + [
            name for key, (name, _) in self.plan.records.items() if key not in keys
        ]:
            if _refused(name.removeprefix("*")):
                raise NotCovered("a block whose name the reference refuses")
        place[begin] = place[end] = NOWHERE
        place[inside:][self._paper()] = NOWHERE
        return blocks, place

    def _recovered(self, block: int) -> str:
        """The name of a block without a name: that of the record that owns it, if any."""
        at = int(self.forms.owners(self.form(np.array([block])))[0])
        owner = self.plan.tags.value(at) if at >= 0 else b""
        name = next((name for name, handle in self.plan.records.values() if handle == owner), "")
        if name.startswith("$") or (not name and self.plan.may_be_given(owner)):
            raise NotCovered("an odd block")
        return name

    def _paper(self) -> Flags:
        """Which entities of the section ENTITIES lie in paperspace."""
        plan = self.plan
        of = self._form_of[self._in_blocks :]
        if len(self.loans):
            plain = of >= 0
            paper, tags = np.zeros(len(of), dtype=bool), np.full(len(of), -1)
            paper[plain], tags[plain] = self.forms.number(of[plain], 67) != 0, self.forms.owners(of[plain])
            for at in (~plain).nonzero()[0].tolist():
                flag = self._lent_tag(self._in_blocks + at, 67)
                paper[at] = flag >= 0 and plan.tags.numbers[flag] != 0
                tags[at] = self._lent_tag(self._in_blocks + at, 330)
        else:
            paper, tags = self.forms.number(of, 67) != 0, self.forms.owners(of)
        owned = (tags >= 0).nonzero()[0]
        if not len(owned):
            return paper
        handles = [plan.records.get(space, ("", None))[1] for space in SPACES]
        numbers, values = plan.tags.interned(tags[owned])
        if None in handles and any(map(plan.may_be_given, values)):
            raise NotCovered("owners without layouts")
        if len(owned) == len(paper) and values == handles[:1]:  # all in the modelspace, as mostly
            return np.zeros(len(of), dtype=bool)
        space = np.array([handles.index(value) if value in handles else -1 for value in values])[numbers]
        paper[owned] = np.where(space >= 0, space == 1, paper[owned])
        return paper

    def _lent_tag(self, entity: int, code: int) -> int:
        """The first such tag before the data of the kind itself, which begins with the second subclass; R12 knows no subclasses."""
        marks, braced = int(self.plan.version == R12), False
        for at, here in self.plan.coded(int(self.own[entity])):
            marks += here == 100
            if marks > 1:
                break
            if here == 102:
                braced = not braced
            elif here == code and not braced:
                return at
        return -1

    def layers(self, of: Integers) -> set[str]:
        """The names of the layers of these entities."""
        lent: list[int] = []
        names = set()
        if not self.present.isdisjoint((*_STORED, _TABLE)):
            names = {"0"} if self.of(_TABLE)[of].any() else set()
            of = of[~self.of(*_STORED, _TABLE)[of]]
        if len(self.loans):
            lent, of = [self._lent_tag(one, 8) for one in of[self.lent[of]].tolist()], of[~self.lent[of]]
        at = self.forms.take(self.form(of), 8)
        nameless = at < 0
        if np.count_nonzero(nameless):
            names, at = {"0"}, at[~nameless]
        if -1 in lent:
            if self.plan.version != R12:
                raise NotCovered("an entity without a layer")
            names, lent = names | {"0"}, [tag for tag in lent if tag >= 0]
        if lent:
            at = np.concatenate([at, np.array(lent, dtype=np.int64)])
        return names | {self.plan.decode(value) for value in self.plan.tags.different(at)}

    def _linked(self) -> tuple[Flags, dict[int, tuple[int, int]]]:
        """Which entities are part of another one, and the parts of each that has any: from where to where."""
        if self.present.isdisjoint(_LINKED):
            self.starts = self.sizes = _NONE
            self.polylines = np.zeros(0, dtype=bool)
            return np.zeros(self.count, dtype=bool), {}
        ends, inserts, polylines = self.which(b"SEQEND"), self.which(b"INSERT"), self.which(b"POLYLINE")
        # they get an end mark on their layer
        if any(map(_refused, self.layers(self.which(b"INSERT", b"POLYLINE")))):
            raise NotCovered("a layer whose name the reference refuses")
        inserts = inserts[self.forms.number(self.form(inserts), 66) != 0]
        parts = self.of(b"VERTEX", b"ATTRIB")
        mains = np.sort(np.concatenate([inserts, polylines]))
        if len(mains) != len(ends) or (mains > ends).any() or (mains[1:] < ends[:-1]).any():
            raise NotCovered("parts without an entity")
        sizes = ends - mains - 1
        if sizes.sum() != parts.sum() or (
            (mains < self._in_blocks).any() and ((mains < self._in_blocks) != (ends < self._in_blocks)).any()
        ):
            raise NotCovered("parts without an entity")
        vertices = np.concatenate([[0], np.cumsum(self.of(b"VERTEX"))])
        polyline = self.of(b"POLYLINE")[mains]
        attributes = np.concatenate([[0], np.cumsum(self.of(b"ATTRIB"))])
        found = np.where(polyline, vertices[ends] - vertices[mains], attributes[ends] - attributes[mains])
        if (found != sizes).any():
            raise NotCovered("parts of another kind")
        linked = parts.copy()
        linked[ends] = True
        self.starts, self.sizes, self.polylines = mains + 1, sizes, polyline
        return linked, dict(zip(mains.tolist(), zip((mains + 1).tolist(), ends.tolist(), strict=True), strict=True))

    @cached_property
    def keys(self) -> dict[str, int]:
        """Blocks by the key of their names: number of the block, -1 for a block that only its record knows."""
        known = dict.fromkeys(self.plan.records, -1)
        known.update({block.name.lower(): number for number, block in enumerate(self.blocks)})
        return known
