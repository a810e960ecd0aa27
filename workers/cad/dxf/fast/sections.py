"""From tags to the plan of a file: its sections and the variables of its header.

All of it must be as the reference expects it, else `NotCovered`: the reference repairs, guesses or refuses, this does not.
"""

from __future__ import annotations

import re

import numpy as np

from workers.cad.dxf.fast.binary import code_page_is_near, version_of
from workers.cad.dxf.fast.layouts import check_layouts
from workers.cad.dxf.fast.plan import R12, Plan
from workers.cad.dxf.fast.tables import block_records, check_groups, check_handles
from workers.cad.dxf.fast.tags import POINTS, NotCovered, Tags
from workers.cad.shape import Integers

_SECTIONS = {b"HEADER", b"CLASSES", b"TABLES", b"BLOCKS", b"ENTITIES", b"OBJECTS", b"THUMBNAILIMAGE", b"ACDSDATA"}
_MARKS = {b"SECTION", b"ENDSEC", b"EOF"}
# as the files say, and what the reference takes them for
_VERSIONS = {
    **dict.fromkeys(("AC1003", "AC1004", "AC1006", "AC1009"), "AC1009"),
    **dict.fromkeys(("AC1012", "AC1014"), "AC1015"),
    **{version: version for version in ("AC1015", "AC1018", "AC1021", "AC1024", "AC1027", "AC1032")},
    # R2.10 is compared by its letters, so it is taken for the newest of all
    "AC2.10": "AC2.10",
}
_VARIABLES = (b"$ACADVER", b"$DWGCODEPAGE", b"$HANDSEED", b"$INSUNITS", b"$MEASUREMENT")
_WANTED = np.zeros(256 * 16, dtype=bool)  # none of them is so long
_WANTED[[len(name) * 256 + name[1] for name in _VARIABLES]] = True
# blocks of arrows that the reference adds to R13 and R14
_ARROWS = (
    "ArchTick BoxBlank BoxFilled Closed ClosedBlank ClosedFilled DatumBlank DatumFilled Dot DotBlank DotSmall "
    "Integral None Oblique Open Open30 Open90 Origin Origin2 Small"
)
_CODE_PAGES = {
    **{page: f"cp{page}" for page in ("874", "932", "949", "950")},
    **{page: f"cp{page}" for page in ("1250", "1251", "1252", "1253", "1254", "1255", "1256", "1257", "1258")},
    "936": "gbk",
}
# as many digits as handles may have here
_HANDLE = re.compile("[0-9A-Fa-f]{1,15}")
# letters of these may take two bytes, so one broken letter may swallow its neighbour
_WIDE_CODE_PAGES = {"cp932", "gbk", "cp949", "cp950"}


def planned(tags: Tags) -> Plan:
    """The plan of the file. Raises `NotCovered`."""
    heads = tags.coded(0)
    kinds, names = tags.interned(heads)
    if [name.strip() for name in names] != names:
        raise NotCovered("blanks around the name of a kind")
    sections = _sections(tags, heads, kinds, names)
    variables = _header(tags, heads, sections)
    said = _string(tags, variables, b"$ACADVER", 1) or R12
    version = _VERSIONS.get(said)
    if version is None:
        raise NotCovered("an odd version")
    code_page = _string(tags, variables, b"$DWGCODEPAGE", 3) or ""
    encoding = "utf-8" if version >= "AC1021" else next((name for page, name in _CODE_PAGES.items() if code_page.endswith(page)), "cp1252")
    if encoding in _WIDE_CODE_PAGES and not tags.data.isascii():
        raise NotCovered("letters of two bytes")
    seed = _string(tags, variables, b"$HANDSEED", 5)
    if seed is not None and not _HANDLE.fullmatch(seed):
        raise NotCovered("a handle that is none")
    units, measurement = _whole(tags, variables, b"$INSUNITS"), _whole(tags, variables, b"$MEASUREMENT")
    arrows = {f"_{name.lower()}": f"_{name.upper()}" for name in _ARROWS.split()} if said in ("AC1012", "AC1014") else {}
    plan = Plan(tags, heads, kinds, names, sections, version, encoding, units or 0, measurement, {}, arrows, seed)
    if plan.binary and not (code_page_is_near(tags.data) and version_of(tags.data) == said.encode()):
        raise NotCovered("a header out of reach")
    check_groups(plan)
    check_handles(plan)
    plan.records.update(block_records(plan))
    data = plan.content(b"ACDSDATA")
    if len(data) and (plan.heads[data.start + 1 : data.stop + 1] - plan.heads[data.start : data.stop] < 2).any():
        raise NotCovered("an odd section of data")
    classes = plan.content(b"CLASSES")
    if len(classes) and not plan.within(classes, b"CLASS").all():
        raise NotCovered("an odd section of classes")
    check_layouts(plan)
    return plan


def _sections(tags: Tags, heads: Integers, kinds: Integers, names: list[bytes]) -> dict[bytes, tuple[int, int]]:
    mark = np.array([name in _MARKS for name in names])
    marks = mark.take(kinds).nonzero()[0]
    places = marks.tolist()
    if [names[kind] for kind in kinds.take(marks).tolist()] != [b"SECTION", b"ENDSEC"] * (len(places) // 2) + [b"EOF"]:
        raise NotCovered("sections out of order")
    begins, ends = places[:-1:2], places[1::2]
    if not ends or places[::2] != [0, *(end + 1 for end in ends)] or places[-1] != len(heads) - 1:
        raise NotCovered("something outside of all sections")
    sections: dict[bytes, tuple[int, int]] = {}
    at = heads.take(marks).tolist()
    for begin, end, first, last, after in zip(begins, ends, at[:-1:2], at[1::2], at[2::2], strict=True):
        name = tags.value(first + 1)
        if tags.codes[first + 1] != 2 or name not in _SECTIONS or name in sections or after - last != 1:
            raise NotCovered("an odd section")
        sections[name] = begin, end
    if b"HEADER" in sections and (sections[b"HEADER"] != (0, 1)):
        raise NotCovered("an odd header")
    return sections


def _header(tags: Tags, heads: Integers, sections: dict[bytes, tuple[int, int]]) -> dict[bytes, int]:
    """Where the values of header variables begin, among them those of `_VARIABLES`."""
    if b"HEADER" not in sections:
        return {}
    end = int(heads[1])
    names = (tags.codes[2:end] == 9).nonzero()[0] + 2
    if end > 2 and (not len(names) or names[0] != 2):
        raise NotCovered("an odd header variable")
    values = names + 1
    sizes = np.empty_like(names)
    sizes[:-1], sizes[-1:] = names[1:], end
    sizes -= values
    codes = tags.codes.take(values)
    point = POINTS.take(codes)
    # in the plane, or else in space
    other = (sizes - point != 1).nonzero()[0]
    if len(other) and (
        np.count_nonzero(sizes[other] != 3) or not (point[other] & (tags.codes[values[other] + 2] == codes[other] + 20)).all()
    ):
        raise NotCovered("an odd header variable")
    starts = tags.starts.take(names)
    if np.count_nonzero(tags.buffer.take(starts) != ord("$")):
        raise NotCovered("an odd name of a header variable")
    # of hundreds of variables, those that may be wanted, by their length and the letter after the dollar sign
    lengths = tags.ends.take(names) - starts
    wanted = _WANTED.take(lengths * 256 + tags.buffer.take(starts + 1), mode="clip").nonzero()[0]
    return dict(zip(tags.values(names[wanted]), values[wanted].tolist(), strict=True))


def _string(tags: Tags, variables: dict[bytes, int], name: bytes, code: int) -> str | None:
    at = variables.get(name)
    if at is None:
        return None
    value = tags.value(at)
    if tags.codes[at] != code or not value.isascii():
        raise NotCovered("an odd header variable")
    return value.decode("ascii")


def _whole(tags: Tags, variables: dict[bytes, int], name: bytes) -> int | None:
    at = variables.get(name)
    if at is None:
        return None
    if tags.codes[at] != 70:
        raise NotCovered("an odd header variable")
    return int(tags.numbers[at])
