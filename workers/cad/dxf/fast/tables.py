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
    at = np.flatnonzero(tags.codes == 102)
    if not len(at):
        return
    # in subclasses and in data of applications the same group code means other things
    others = np.cumsum((tags.codes == 100) | (tags.codes == 1001) | (tags.codes == 101))
    head = plan.heads[np.searchsorted(plan.heads, at, side="right") - 1]
    base = others[at] == others[head]
    at, head = at[base], head[base]
    numbers, values = tags.interned(at)
    opens = np.array([value.startswith(b"{") for value in values], dtype=bool)[numbers]
    closes = np.array([value == b"}" for value in values], dtype=bool)[numbers]
    if len(at) % 2 or not opens[::2].all() or not closes[1::2].all() or (head[::2] != head[1::2]).any():
        raise NotCovered("groups of applications out of order")
    own = np.flatnonzero(np.array([value == b"{ACAD_XDICTIONARY" for value in values], dtype=bool)[numbers])
    if (at[own + 1] - at[own] != 2).any() or (tags.codes[at[own] + 1] != 360).any():
        raise NotCovered("an odd extension dictionary")


def handle_numbers(tags: Tags, at: Integers) -> Integers:
    """Handles as numbers."""
    starts, lengths = tags.starts[at], tags.ends[at] - tags.starts[at]
    if not len(at):
        return starts
    if lengths.min() < 1 or lengths.max() > 15:
        raise NotCovered("a handle that is none")
    values = np.zeros(len(at), dtype=np.int64)
    for place in range(int(lengths.max())):
        digit, inside = _HEX[tags.buffer[starts + place]], lengths > place
        if (digit[inside] > 15).any():
            raise NotCovered("a handle that is none")
        values = np.where(inside, values * 16 + digit, values)
    return values


def check_handles(plan: Plan) -> None:
    """Handles must be numbers and differ: what is looked up by its handle must be what the file means."""
    tags = plan.tags
    at = np.flatnonzero((tags.codes == 5) | (tags.codes == 105))
    entity = np.searchsorted(plan.heads, at, side="right") - 1
    style = plan.kind(b"DIMSTYLE")[entity]
    marks = np.cumsum(tags.codes == 100)
    kept = np.where(style, tags.codes[at] == 105, tags.codes[at] == 5) & (marks[at] == marks[plan.heads[entity]])
    kept &= entity != plan.sections.get(b"HEADER", (-1, -1))[0]
    at, entity = at[kept], entity[kept]
    values = handle_numbers(tags, at)
    order = np.argsort(values, kind="stable")
    ranked = values[order]
    if len(ranked) and ranked[0] == 0:
        raise NotCovered("a handle that is none")
    again = np.flatnonzero(ranked[1:] == ranked[:-1])
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
    ends = plan.kind(b"ENDTAB")[content.start : content.stop]
    heads = plan.kind(b"TABLE")[content.start : content.stop]
    if ((named < 0) != ends).any():
        raise NotCovered("a table entry without a name")
    begin, end = np.flatnonzero(heads), np.flatnonzero(ends)
    if len(begin) != len(end) or begin[0] != 0 or (end < begin).any() or (begin[1:] != end[:-1] + 1).any() or end[-1] != len(ends) - 1:
        raise NotCovered("tables out of order")
    names = [tags.value(one) for one in named[begin].tolist()]
    if not set(names) <= _TABLES or len(set(names)) != len(names):
        raise NotCovered("an odd table")
    meant = np.array([plan.names.index(name) if name in plan.names else -1 for name in names])
    entry = ~(heads | ends)
    kinds = plan.kinds[content.start : content.stop]
    if (kinds[entry] != np.repeat(meant, end - begin - 1)).any():
        raise NotCovered("a table entry of another table")
    _names_in_subclasses(plan, np.flatnonzero(~ends) + content.start, named[~ends])
    records: dict[str, tuple[str, bytes]] = {}
    wanted = plan.kind(b"BLOCK_RECORD")[content.start : content.stop]
    handles = plan.only(content, 5)[wanted].tolist() if wanted.any() else []
    for name, handle in zip(named[wanted].tolist(), handles, strict=True):
        text = plan.text(name)
        if text.lower() in records or handle < 0 or not text:
            raise NotCovered("an odd block record")
        records[text.lower()] = text, tags.value(handle)
    return records


def _names_in_subclasses(plan: Plan, entries: Integers, named: Integers) -> None:
    marks = np.cumsum(plan.tags.codes == 100)
    before = marks[named] - marks[plan.heads[entries]]
    every = marks[plan.heads[entries + 1]] - marks[plan.heads[entries]]
    if (plan.kind(b"TABLE")[entries] & (named != plan.heads[entries] + 1)).any():
        raise NotCovered("a table whose name is elsewhere")
    # in R12 there are no subclasses, so nothing is looked for in them
    if (plan.kind(*_BY_SUBCLASS)[entries] & (before != np.where((every > 0) & (plan.version != R12), 2, 0))).any():
        raise NotCovered("a table entry whose name is elsewhere")
    foreign = np.cumsum(plan.tags.codes == 1001)
    if (foreign[named] != foreign[plan.heads[entries]]).any():
        raise NotCovered("a table entry whose name is elsewhere")
