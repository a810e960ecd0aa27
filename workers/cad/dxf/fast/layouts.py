"""The objects of a DXF file, as far as they decide what the modelspace is and whether the reference reads the file at all."""

from __future__ import annotations

import numpy as np

from workers.cad.dxf.fast.plan import R12, SPACES, Plan
from workers.cad.dxf.fast.tags import NotCovered

# what the reference looks up in the first dictionary, and expects to be dictionaries
_OWN = {
    *(b"ACAD_COLOR", b"ACAD_GROUP", b"ACAD_LAYOUT", b"ACAD_MATERIAL", b"ACAD_MLEADERSTYLE", b"ACAD_MLINESTYLE"),
    *(b"ACAD_PLOTSETTINGS", b"ACAD_PLOTSTYLENAME", b"ACAD_SCALELIST", b"ACAD_TABLESTYLE", b"ACAD_VISUALSTYLE"),
}
# what has no place among the objects, where the reference would try to read it nevertheless
_STRANGERS = {
    *(b"LINE", b"CIRCLE", b"ARC", b"ELLIPSE", b"LWPOLYLINE", b"POLYLINE", b"VERTEX", b"SEQEND", b"SOLID", b"TRACE", b"3DFACE", b"SPLINE"),
    *(b"HATCH", b"MPOLYGON", b"MESH", b"MLINE", b"HELIX", b"TEXT", b"MTEXT", b"ATTDEF", b"ATTRIB", b"DIMENSION", b"LEADER", b"VIEWPORT"),
    *(b"MULTILEADER", b"MLEADER", b"IMAGE", b"WIPEOUT", b"ACAD_TABLE", b"ACAD_PROXY_ENTITY", b"OLE2FRAME", b"PDFUNDERLAY", b"LIGHT"),
    *(
        b"TOLERANCE",
        b"RAY",
        b"XLINE",
        b"3DSOLID",
        b"REGION",
        b"BODY",
        b"POINT",
        b"SHAPE",
        b"INSERT",
        b"BLOCK",
        b"ENDBLK",
        b"TABLE",
        b"ENDTAB",
    ),
    *(b"LAYER", b"LTYPE", b"APPID", b"DIMSTYLE", b"STYLE", b"UCS", b"VIEW", b"VPORT", b"BLOCK_RECORD", b"CLASS"),
}
# objects that the reference reads in R12 as in any other version, but for what stands in subclasses
_PLAIN = {b"DICTIONARY", b"ACDBDICTIONARYWDFLT", b"ACDBPLACEHOLDER", b"DICTIONARYVAR", b"LAYOUT", b"MLINESTYLE"}
# layouts whose records are lost are looked for one by one, each among all records and handles
_MOST_LAYOUTS = 100
# handles that the reference gives to what it adds before it sets up the layouts, arrows above all, besides a few for each entity
_ADDED = 1000
_DICTIONARIES = {b"DICTIONARY", b"ACDBDICTIONARYWDFLT"}


def check_layouts(plan: Plan) -> None:
    """The layout named Model must be the block *Model_Space, by whatever chain of handles it is found."""
    objects = plan.content(b"OBJECTS")
    if not len(objects):
        return
    kinds = plan.kinds[objects.start : objects.stop].tolist()
    present = {plan.names[kind] for kind in set(kinds)}
    if not _STRANGERS.isdisjoint(present):
        raise NotCovered("an entity among the objects")
    if plan.version == R12 and not present <= _PLAIN:
        raise NotCovered("an object of R2000 in a drawing of R12")
    wanted = {plan.number(name) for name in (*_DICTIONARIES, b"LAYOUT")}
    by_handle = _handles(plan, [entity for entity, kind in zip(objects, kinds, strict=True) if kind in wanted])
    root = _entries(plan, objects[0])
    for key, handle in root.items():
        if key in _OWN:
            found = by_handle.get(handle)
            if found is None or plan.names[plan.kinds[found]] not in _DICTIONARIES:
                raise NotCovered("a dictionary that is none")
    styles = root.get(b"ACAD_PLOTSTYLENAME")
    if styles is not None and b"Normal" not in _entries(plan, by_handle[styles]):
        raise NotCovered("no normal style of plotting")
    _subclasses(plan, objects)
    layouts = root.get(b"ACAD_LAYOUT")
    if layouts is None:
        return
    spaces = {handle: key for key, (_, handle) in plan.records.items()}
    seen, links = [], dict[str, bytes]()
    for name, handle in _entries(plan, by_handle[layouts]).items():
        found = by_handle.get(handle)
        if found is None or plan.names[plan.kinds[found]] != b"LAYOUT":
            raise NotCovered("a layout that is none")
        record = _record(plan, found)
        space = spaces.get(record) or (None if _known(plan, record) else _block_of_lost(plan, found, handle, links))
        if space is None or (space == SPACES[0]) != (name.upper() == b"MODEL"):
            raise NotCovered("a layout of another block")
        seen.append(name.upper())
        links[space] = handle
    # a single layout gets its companion from the reference
    if len(set(seen)) != len(seen) or (len(seen) > 1 and b"MODEL" not in seen):
        raise NotCovered("an odd list of layouts")


def _known(plan: Plan, handle: bytes) -> bool:
    """Whether the reference knows anything by this handle, before it sets up the layouts."""
    if handle in plan.tags.values(plan.tags.handles):
        return True
    if plan.may_be_given(handle, len(plan.heads) + _ADDED):
        raise NotCovered("a handle that something may be given")
    return False


def _block_of_lost(plan: Plan, layout: int, handle: bytes, links: dict[str, bytes]) -> str | None:
    """The block of a layout whose record is lost: the modelspace by the name of the layout, else the first paperspace that links to
    the layout, else the first one that links to nothing. `links` are those that the reference has set right.
    """
    tags = plan.tags
    if len(links) > _MOST_LAYOUTS:
        raise NotCovered("too many layouts to look for their blocks")
    if _title(plan, layout) == "Model":
        return SPACES[0]
    told = dict[str, bytes]()
    for key, record in zip(plan.records, plan.which(b"BLOCK_RECORD"), strict=True):
        head, at = plan.heads[record], [at for at, code in plan.coded(record) if code == 340]
        if len(at) > 1 or (at and (tags.marks[at[0]] == tags.marks[head] or tags.foreign[at[0]] != tags.foreign[head])):
            return None
        told[key] = tags.value(at[0]) if at else b"0"
    # what has no record gets one, which links to nothing
    names = [plan.text(at).lower() for block in plan.which(b"BLOCK") for at, code in plan.coded(block) if code == 2]
    told = told | {key: b"0" for key in (SPACES[1], *names) if key not in told} | links
    paper = [key for key in told if key.startswith(SPACES[1])]
    return next((key for key in paper if told[key] == handle), None) or next((key for key in paper if not _known(plan, told[key])), None)


def _handles(plan: Plan, objects: list[int]) -> dict[bytes | None, int]:
    """Objects by their handles, which mostly come first."""
    first = plan.heads[objects] + 1
    if np.count_nonzero(plan.tags.codes[first] == 5) == len(objects):
        return dict(zip(plan.tags.values(first), objects, strict=True))
    return {plan.base(entity, 5): entity for entity in objects}


def _subclasses(plan: Plan, objects: range) -> None:
    """Objects that the reference reads by subclass must have one, and what it looks for in it."""
    marks = plan.tags.marks
    if plan.has(b"XRECORD"):
        begin = plan.heads[objects.start : objects.stop]
        end = plan.heads[objects.start + 1 : objects.stop + 1]
        if (plan.within(objects, b"XRECORD") & (marks[end] == marks[begin])).any():
            raise NotCovered("a record without its subclass")
    if not plan.has(b"VISUALSTYLE"):
        return
    foreign = plan.tags.foreign
    at = plan.tags.coded(291)
    owner = plan.heads.searchsorted(at, side="right") - 1
    head = plan.heads[owner]
    whole = np.zeros(len(plan.kinds), dtype=bool)
    whole[owner[(marks[at] - marks[head] == 1) & (foreign[at] == foreign[head])]] = True
    if (plan.kind(b"VISUALSTYLE") & ~whole).any():
        raise NotCovered("an odd visual style")


def _entries(plan: Plan, entity: int) -> dict[bytes, bytes]:
    """Names and handles of a dictionary, which stand in its first subclass."""
    if plan.names[plan.kinds[entity]] not in _DICTIONARIES:
        raise NotCovered("a dictionary that is none")
    parts = plan.subclasses(entity)
    if plan.version == R12 or not parts:
        # read without subclasses, in which nothing is known to stand
        base = plan.tags.codes[plan.heads[entity] : parts[0].start if parts else plan.heads[entity + 1]]
        if np.count_nonzero((base == 3) | (base == 350) | (base == 360)):
            raise NotCovered("a dictionary without its subclass")
        return {}
    entries: dict[bytes, bytes] = {}
    name = handle = b""
    for at, code in plan.tags.with_codes(parts[0]):
        if code == 3:
            name = plan.tags.value(at)
        elif code in (350, 360):
            handle = plan.tags.value(at)
        if name and handle:
            if name in entries:
                raise NotCovered("a dictionary entry twice")
            entries[name] = handle
            name = handle = b""
    return entries


def model_is_titled(plan: Plan) -> bool:
    """Whether the layout of the modelspace bears its name as well, by which the reference looks it up, or there are no layouts."""
    layouts, model = plan.which(b"LAYOUT"), plan.records.get(SPACES[0], ("", None))[1]
    titles = [_title(plan, layout).upper() for layout in layouts if _record(plan, layout) == model]
    return set(titles) == {"MODEL"} if layouts else True


def _title(plan: Plan, layout: int) -> str:
    """The name that a layout bears itself, besides that in the dictionary."""
    titles = [at for at, code in plan.tags.with_codes(plan.subclasses(layout)[1]) if code == 1]
    return plan.text(titles[-1]) if titles else ""


def _record(plan: Plan, entity: int) -> bytes:
    """The handle of the block record of a layout."""
    parts = plan.subclasses(entity)[:2]
    if [plan.tags.value(part[0]) for part in parts] != [b"AcDbPlotSettings", b"AcDbLayout"]:
        raise NotCovered("an odd layout")
    found = [at for at, code in plan.tags.with_codes(parts[1]) if code == 330]
    if len(found) > 1:
        raise NotCovered("a layout of two blocks")
    if found and plan.tags.frequencies[1001] and plan.tags.foreign[found[0]] != plan.tags.foreign[plan.heads[entity]]:
        raise NotCovered("a layout whose block stands in data of an application")
    return plan.tags.value(found[0]) if found else b""
