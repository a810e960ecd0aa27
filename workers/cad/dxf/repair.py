"""A repair of one common slip: entities of R2000 in drawings that say R12 or say nothing, or that lack R2000's subclass markers.

ezdxf refuses some of them and reads others without the attributes it does not look for in R12, such as whether a polyline is
closed; so such drawings are rewritten as the R2000 drawings they mean to be.
"""

from __future__ import annotations

# the subclass in which each kind keeps its data; kinds that are not here are left as they are
SUBCLASS = {
    "LWPOLYLINE": "AcDbPolyline",
    "SPLINE": "AcDbSpline",
    "ELLIPSE": "AcDbEllipse",
    "MTEXT": "AcDbMText",
    "HATCH": "AcDbHatch",
    "LEADER": "AcDbLeader",
    "RAY": "AcDbRay",
    "XLINE": "AcDbXline",
}
# without their subclass these cannot be built at all; they hold no outline, so they are left out
_HOPELESS = frozenset({"IMAGE", "WIPEOUT", "PDFUNDERLAY", "DWFUNDERLAY", "DGNUNDERLAY", "OLE2FRAME", "ACAD_PROXY_ENTITY"})
# group codes that belong to every entity, wherever they stand
_COMMON = frozenset({"5", "330", "6", "8", "48", "60", "62", "67", "370", "410", "420", "430", "440"})
_R2000 = "AC1015"

Tag = tuple[str, str]


def modernised(text: str) -> str | None:
    """The drawing as R2000 with all markers, None when nothing is to be done."""
    # by the line ends of DXF alone: other separators may stand within a text
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    tags = [(code.strip(), value) for code, value in zip(lines[::2], lines[1::2], strict=False)]
    version = _version(tags)
    old = version is None or tags[version][1].strip() < _R2000
    out: list[Tag] = []
    entity: list[Tag] = []
    changed = False
    for tag in [*tags, ("0", "")]:
        if tag[0] == "0":
            changed |= _close(entity, out, old)
            entity = []
        entity.append(tag)
    if not changed:
        return None
    version = _version(out)
    if version is None:
        head = [("0", "SECTION"), ("2", "HEADER"), ("9", "$ACADVER"), ("1", _R2000), ("0", "ENDSEC")]
        start = next((at for at, tag in enumerate(out) if tag[0] == "2" and tag[1].strip() == "HEADER"), None)
        out = head + out if start is None else out[: start + 1] + head[2:4] + out[start + 1 :]
    elif old:
        out[version] = ("1", _R2000)
    return "".join(f"{code}\n{value}\n" for code, value in out)


def _version(tags: list[Tag]) -> int | None:
    """Where the value of $ACADVER stands."""
    return next((at + 1 for at, tag in enumerate(tags[:-1]) if tag[0] == "9" and tag[1].strip() == "$ACADVER"), None)


def _close(entity: list[Tag], out: list[Tag], old: bool) -> bool:
    """Write the tags of one entity to `out`, marked where needed; whether it asks for another version or for markers."""
    kind = entity[0][1].strip() if entity else ""
    subclass = SUBCLASS.get(kind)
    marked = any(code == "100" for code, _ in entity)
    if kind in _HOPELESS and not marked:
        return True
    if subclass is None or marked:
        out.extend(entity)
        return subclass is not None and old
    common = [tag for tag in entity[1:] if tag[0] in _COMMON]
    own = [tag for tag in entity[1:] if tag[0] not in _COMMON]
    out.extend([entity[0], *common[:1], ("100", "AcDbEntity"), *common[1:], ("100", subclass), *own])
    return True
