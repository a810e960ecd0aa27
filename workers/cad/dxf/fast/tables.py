"""What holds for every entity of a DXF file, handles and groups of applications, and the tables."""

from __future__ import annotations

import numpy as np

from workers.cad.dxf.fast.plan import R12, Plan
from workers.cad.dxf.fast.tags import NotCovered, Tags
from workers.cad.shape import Integers

_TABLES = {b"LAYER", b"LTYPE", b"APPID", b"DIMSTYLE", b"STYLE", b"UCS", b"VIEW", b"VPORT", b"BLOCK_RECORD"}
# tables whose entries the reference reads by subclass
_BY_SUBCLASS = (b"LTYPE", b"APPID", b"DIMSTYLE", b"VPORT")
_HEX = np.full(256, 255, dtype=np.uint8)
for _letters, _first in ((b"0123456789", 0), (b"ABCDEF", 10), (b"abcdef", 10)):
    _HEX[list(_letters)] = np.arange(_first, _first + len(_letters))


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


def handle_numbers(tags: Tags, at: Integers) -> Integers:
    """Handles as numbers."""
    starts, lengths = tags.starts[at], tags.ends[at] - tags.starts[at]
    if not len(at):
        return starts
    longest = int(lengths.max())
    if lengths.min() < 1 or longest > 15:
        raise NotCovered("a handle that is none")
    values = np.zeros(len(at), dtype=np.int64)
    for place in range(longest):
        inside = lengths > place
        # what comes after the end counts as nothing
        digit = np.where(inside, _HEX[tags.buffer[starts + place]], 0)
        if np.count_nonzero(digit > 15):
            raise NotCovered("a handle that is none")
        values = (values << inside * 4) + digit
    return values


def check_handles(plan: Plan) -> None:
    """Handles must be numbers and differ: what is looked up by its handle must be what the file means."""
    tags = plan.tags
    at = ((tags.codes == 5) | (tags.codes == 105)).nonzero()[0]
    if not len(at):
        return
    entity = plan.heads.searchsorted(at, side="right") - 1
    style = plan.kind(b"DIMSTYLE", of=plan.kinds[entity])
    kept = ((tags.codes[at] == 105) == style) & (tags.marks[at] == tags.marks[plan.heads[entity]])
    kept &= entity != plan.sections.get(b"HEADER", (-1, -1))[0]
    at, entity = at[kept], entity[kept]
    values = handle_numbers(tags, at)
    order = values.argsort(kind="stable")
    ranked = values[order]
    if len(ranked) and ranked[0] == 0:
        raise NotCovered("a handle that is none")
    again = (ranked[1:] == ranked[:-1]).nonzero()[0]
    if not len(again):
        return
    # nobody looks up drawn entities
    drawn = np.zeros(len(plan.kinds), dtype=bool)
    for section in (b"BLOCKS", b"ENTITIES"):
        drawn[plan.content(section).start : plan.content(section).stop] = True
    drawn &= ~plan.kind(b"BLOCK", b"ENDBLK")
    if not (drawn[entity[order[again]]] & drawn[entity[order[again + 1]]]).all():
        raise NotCovered("a handle twice")


def block_records(plan: Plan) -> dict[str, tuple[str, bytes]]:
    """The block records by their keys: name and handle; all tables are checked on the way."""
    content = plan.content(b"TABLES")
    if not len(content):
        return {}
    tags, named = plan.tags, plan.only(content, 2)
    ends, heads = plan.within(content, b"ENDTAB"), plan.within(content, b"TABLE")
    if np.count_nonzero((named < 0) != ends):
        raise NotCovered("a table entry without a name")
    begin, end = heads.nonzero()[0], ends.nonzero()[0]
    # each begins where the one before it ends, the first one with the section
    if len(begin) != len(end) or begin[0] != 0 or end[-1] != len(ends) - 1:
        raise NotCovered("tables out of order")
    if np.count_nonzero(end < begin) or np.count_nonzero(begin[1:] != end[:-1] + 1):
        raise NotCovered("tables out of order")
    names = tags.values(named[begin])
    if not set(names) <= _TABLES or len(set(names)) != len(names):
        raise NotCovered("an odd table")
    meant = np.array([plan.names.index(name) if name in plan.names else -1 for name in names])
    entry = ~(heads | ends)
    kinds = plan.kinds[content.start : content.stop]
    if np.count_nonzero(kinds[entry] != np.repeat(meant, end - begin - 1)):
        raise NotCovered("a table entry of another table")
    named_ones = (~ends).nonzero()[0]
    _names_in_subclasses(plan, named_ones + content.start, named[named_ones])
    records: dict[str, tuple[str, bytes]] = {}
    wanted = plan.within(content, b"BLOCK_RECORD").nonzero()[0]
    handles = plan.only(content, 5)[wanted].tolist() if len(wanted) else []
    for name, handle in zip(named[wanted].tolist(), handles, strict=True):
        text = plan.text(name)
        if text.lower() in records or handle < 0 or not text:
            raise NotCovered("an odd block record")
        records[text.lower()] = text, tags.value(handle)
    return records


def _names_in_subclasses(plan: Plan, entries: Integers, named: Integers) -> None:
    marks, kinds, head = plan.tags.marks, plan.kinds[entries], plan.heads[entries]
    before = marks[named] - marks[head]
    every = marks[plan.heads[entries + 1]] - marks[head]
    if np.count_nonzero(plan.kind(b"TABLE", of=kinds) & (named != head + 1)):
        raise NotCovered("a table whose name is elsewhere")
    # in R12 there are no subclasses, so nothing is looked for in them
    if np.count_nonzero(plan.kind(*_BY_SUBCLASS, of=kinds) & (before != (every > 0) * (0 if plan.version == R12 else 2))):
        raise NotCovered("a table entry whose name is elsewhere")
    foreign = plan.tags.coded(1001)
    if len(foreign) and (foreign.searchsorted(named) != foreign.searchsorted(head)).any():
        raise NotCovered("a table entry whose name is elsewhere")
