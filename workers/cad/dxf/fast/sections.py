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
# as the files say, and what the reference takes them for
_VERSIONS = {
    **dict.fromkeys(("AC1003", "AC1004", "AC1006", "AC1009"), "AC1009"),
    **dict.fromkeys(("AC1012", "AC1014"), "AC1015"),
    **{version: version for version in ("AC1015", "AC1018", "AC1021", "AC1024", "AC1027", "AC1032")},
}
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
    if any(name != name.strip() for name in names):
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
    plan = Plan(tags, heads, kinds, names, sections, version, encoding, units or 0, measurement, {}, arrows)
    if plan.binary and not (code_page_is_near(tags.data) and version_of(tags.data) == said.encode()):
        raise NotCovered("a header out of reach")
    check_groups(plan)
    check_handles(plan)
    plan.records.update(block_records(plan))
    data = plan.content(b"ACDSDATA")
    if len(data) and (plan.heads[data.start + 1 : data.stop + 1] - plan.heads[data.start : data.stop] < 2).any():
        raise NotCovered("an odd section of data")
    if not plan.within(plan.content(b"CLASSES"), b"CLASS").all():
        raise NotCovered("an odd section of classes")
    check_layouts(plan)
    return plan


def _sections(tags: Tags, heads: Integers, kinds: Integers, names: list[bytes]) -> dict[bytes, tuple[int, int]]:
    marks = {name: at for at, name in enumerate(names) if name in (b"SECTION", b"ENDSEC", b"EOF")}
    mark = np.zeros(len(names), dtype=bool)
    mark[list(marks.values())] = True
    places = mark[kinds].nonzero()[0].tolist()
    kind_of = {at: name for name, at in marks.items()}
    sections: dict[bytes, tuple[int, int]] = {}
    follow = 0
    for at, end in zip(places[:-1:2], places[1::2], strict=False):
        start = int(heads[at])
        if at != follow or kind_of[int(kinds[at])] != b"SECTION" or kind_of[int(kinds[end])] != b"ENDSEC":
            raise NotCovered("sections out of order")
        name = tags.value(start + 1)
        if tags.codes[start + 1] != 2 or name not in _SECTIONS or name in sections or heads[end + 1] - heads[end] != 1:
            raise NotCovered("an odd section")
        sections[name] = (at, end)
        follow = end + 1
    if not sections or len(places) % 2 == 0 or follow != len(heads) - 1 or kind_of[int(kinds[-1])] != b"EOF":
        raise NotCovered("something outside of all sections")
    if b"HEADER" in sections and (sections[b"HEADER"] != (0, 1)):
        raise NotCovered("an odd header")
    return sections


def _header(tags: Tags, heads: Integers, sections: dict[bytes, tuple[int, int]]) -> dict[bytes, int]:
    """Where the value of each header variable begins."""
    if b"HEADER" not in sections:
        return {}
    end = int(heads[1])
    names = (tags.codes[2:end] == 9).nonzero()[0] + 2
    sizes = np.concatenate([names[1:], [end]])[: len(names)] - names - 1
    values = names + 1
    codes = tags.codes[np.minimum(values, end - 1)]
    point = POINTS[codes]
    whole = np.where(point, (sizes == 2) | ((sizes == 3) & (tags.codes[np.minimum(values + 2, end - 1)] == codes + 20)), sizes == 1)
    if (end > 2 and (not len(names) or names[0] != 2)) or np.count_nonzero(whole) < len(whole):
        raise NotCovered("an odd header variable")
    spans = zip(tags.starts[names].tolist(), tags.ends[names].tolist(), values.tolist(), strict=True)
    found = {tags.data[start:stop]: value for start, stop, value in spans}
    if not all(name.startswith(b"$") for name in found):
        raise NotCovered("an odd name of a header variable")
    return found


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
