"""What holds for every entity of a DXF file, handles and groups of applications, and the tables."""

from __future__ import annotations

import numpy as np

from workers.cad.dxf.fast.plan import R12, Plan
from workers.cad.dxf.fast.tags import NotCovered, Tags
from workers.cad.shape import Integers

_TABLES = {b"LAYER", b"LTYPE", b"APPID", b"DIMSTYLE", b"STYLE", b"UCS", b"VIEW", b"VPORT", b"BLOCK_RECORD"}
# tables whose entries the reference reads by subclass
_BY_SUBCLASS = (b"LTYPE", b"APPID", b"DIMSTYLE", b"VPORT")
# between tables; a table whose kind has no entries has the number -1
_NO_TABLE = -2
_LONGEST_HANDLE = 15
_HEX = np.full(256, 255)
for _letters, _first in ((b"0123456789", 0), (b"ABCDEF", 10), (b"abcdef", 10)):
    _HEX[list(_letters)] = np.arange(_first, _first + len(_letters))
# eight letters as one number: for each length what keeps the letters of the handle, nothing of longer ones; and which letters handles
# mostly have
_WORD = 8
_KEPT = np.array([*((1 << 8 * length) - 1 for length in range(_WORD + 1)), 0], dtype=np.uint64)
_PLAIN = np.zeros(256, dtype=bool)
_PLAIN[list(b"\x000123456789ABCDEF")] = True


def check_groups(plan: Plan) -> None:
    """Groups of an application before the first subclass have an end, and those of the reference's own are whole."""
    tags = plan.tags
    at = tags.coded(102)
    if not len(at):
        return
    # in subclasses and in data of applications the same group code means other things
    others = tags.marks + tags.foreign
    head = plan.heads[plan.heads.searchsorted(at, side="right") - 1]
    base = others[at] == others[head]
    at, head = at[base], head[base]
    numbers, values = tags.interned(at)
    opens = np.array([value.startswith(b"{") for value in values], dtype=bool)[numbers]
    closes = np.array([value == b"}" for value in values], dtype=bool)[numbers]
    if len(at) % 2 or not opens[::2].all() or not closes[1::2].all() or (head[::2] != head[1::2]).any():
        raise NotCovered("groups of applications out of order")
    own = np.array([value == b"{ACAD_XDICTIONARY" for value in values], dtype=bool)[numbers].nonzero()[0]
    if (at[own + 1] - at[own] != 2).any() or (tags.codes[at[own] + 1] != 360).any():
        raise NotCovered("an odd extension dictionary")


def _handles(tags: Tags, at: Integers) -> Integers:
    """Handles as numbers, 0 for what is none."""
    ends = tags.ends[at]
    lengths = ends - tags.starts[at]
    longest = min(max(int(lengths.max()), 1), _LONGEST_HANDLE)
    # from the last digit to the first one
    place = np.arange(longest)
    digits = _HEX[tags.buffer[ends[:, None] - 1 - place]]
    digits[place >= lengths[:, None]] = 0
    numbers: Integers = digits @ (1 << 4 * place)
    if digits.max() > 15:
        numbers[(digits > 15).any(axis=1)] = 0
    numbers[lengths > longest] = 0
    return numbers


def _plainly_differ(tags: Tags, at: Integers) -> bool:
    """Whether handles are short, written as handles mostly are, and all different."""
    starts = tags.starts.take(at)
    lengths = tags.ends.take(at) - starts
    words = np.ndarray((len(tags.buffer) - _WORD + 1,), dtype="<u8", buffer=tags.buffer, strides=(1,))[starts]
    words &= _KEPT.take(lengths, mode="clip")
    letters = words.view(np.uint8)
    # a zero in front, or nothing at all, may be another way to write one of the others
    if letters[::_WORD].min() <= ord("0") or np.count_nonzero(_PLAIN.take(letters)) < len(letters):
        return False
    words.sort()
    return not np.count_nonzero(words[1:] == words[:-1])


def check_handles(plan: Plan) -> None:
    """Handles must be numbers and differ: what is looked up by its handle must be what the file means."""
    tags = plan.tags
    at = tags.handles
    if not len(at):
        return
    # mostly all differ, whatever they belong to
    if _plainly_differ(tags, at):
        return
    values = _handles(tags, at)
    entity = plan.heads.searchsorted(at, side="right") - 1
    style = plan.kind(b"DIMSTYLE", of=plan.kinds[entity])
    kept = ((tags.codes[at] == 105) == style) & (tags.marks[at] == tags.marks[plan.heads[entity]])
    kept &= entity != plan.sections.get(b"HEADER", (-1, -1))[0]
    values, entity = values[kept], entity[kept]
    order = values.argsort(kind="stable")
    ranked = values[order]
    if len(ranked) and ranked[0] == 0:
        raise NotCovered("a handle that is none")
    again = (ranked[1:] == ranked[:-1]).nonzero()[0]
    if not len(again):
        return
    # nobody looks up drawn entities, nor what stands in tables but records of blocks and what styles of dimensions take for arrows
    safe = np.zeros(len(plan.kinds), dtype=bool)
    for section in (b"TABLES", b"BLOCKS", b"ENTITIES"):
        safe[plan.content(section).start : plan.content(section).stop] = True
    safe &= ~plan.kind(b"BLOCK_RECORD")
    arrows = ((tags.codes >= 341) & (tags.codes <= 344)).nonzero()[0]
    looked_up = np.isin(ranked[again], _handles(tags, arrows)) if len(arrows) else False
    if (looked_up | ~safe[entity[order[again]]] | ~safe[entity[order[again + 1]]]).any():
        raise NotCovered("a handle twice")


def block_records(plan: Plan) -> dict[str, tuple[str, bytes | None]]:
    """The block records by their keys: name and handle; all tables are checked on the way."""
    content = plan.content(b"TABLES")
    if not len(content):
        return {}
    tags, named = plan.tags, plan.only(content, 2)
    _check_tables(plan, content, named)
    records: dict[str, tuple[str, bytes | None]] = {}
    for at in plan.within(content, b"BLOCK_RECORD").nonzero()[0].tolist():
        text, handles = plan.text(named[at]), [tag for tag, code in plan.coded(content[at]) if code == 5]
        if text.lower() in records or len(handles) > 1 or not text or not (handles or _room_for_handles(plan, content)):
            raise NotCovered("an odd block record")
        records[text.lower()] = text, tags.value(handles[0]) if handles else None
    return records


def _room_for_handles(plan: Plan, tables: range) -> bool:
    """Whether the handles that the reference gives to entries of tables are free: what it loads later would take them away."""
    tags = plan.tags
    at = tags.handles[tags.handles >= plan.heads[1]]  # the seed is no handle yet
    inside = (at >= plan.heads[tables.start]) & (at < plan.heads[tables.stop])
    given = np.count_nonzero(inside) + np.count_nonzero(~plan.within(tables, b"TABLE", b"ENDTAB"))
    taken = _handles(tags, at) - plan.first_given if len(at) else at
    return not ((taken >= 0) & (taken < given)).any()


def _check_tables(plan: Plan, content: range, named: Integers) -> None:
    """Each table begins where the one before it ends, the first one with the section, and holds entries of its kind, all of them
    named where the reference looks for it.
    """
    table, end, tables = plan.number(b"TABLE"), plan.number(b"ENDTAB"), set[bytes]()
    heads = plan.heads[content.start : content.stop + 1]
    begun = plan.tags.marks[heads]
    # in R12 there are no subclasses, so nothing is looked for in them
    wanted = 0 if plan.version == R12 else 2
    elsewhere = (plan.tags.marks[named] - begun[:-1] != wanted) & (begun[1:] > begun[:-1] if wanted else True)
    kinds, inside, by_subclass = plan.kinds[content.start : content.stop], _NO_TABLE, False
    for head, kind, name, apart in zip(heads[:-1].tolist(), kinds.tolist(), named.tolist(), elsewhere.tolist(), strict=True):
        if inside == _NO_TABLE:
            if kind != table:
                raise NotCovered("tables out of order")
            if name != head + 1:
                raise NotCovered("a table whose name is elsewhere")
            entries = plan.tags.value(name)
            if entries not in _TABLES or entries in tables:
                raise NotCovered("an odd table")
            tables.add(entries)
            inside, by_subclass = plan.number(entries), entries in _BY_SUBCLASS
        elif kind == end:
            if name >= 0:
                raise NotCovered("the end of a table with a name")
            inside = _NO_TABLE
        elif kind != inside or name < 0:
            raise NotCovered("a table entry of another table, or without a name")
        elif by_subclass and apart:
            raise NotCovered("a table entry whose name is elsewhere")
    if inside != _NO_TABLE:
        raise NotCovered("tables out of order")
    foreign = plan.tags.coded(1001)
    if len(foreign) and (foreign.searchsorted(named) != foreign.searchsorted(heads[:-1]))[named >= 0].any():
        raise NotCovered("a table entry whose name is elsewhere")
