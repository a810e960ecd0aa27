"""A repair of one common slip: drawings that say R2000 but whose entities lack the subclass markers it asks for."""

from __future__ import annotations

# the subclass in which each kind keeps its data; kinds that are not here are left as they are
_SUBCLASS = {
    "LWPOLYLINE": "AcDbPolyline", "SPLINE": "AcDbSpline", "ELLIPSE": "AcDbEllipse", "MTEXT": "AcDbMText",
    "HATCH": "AcDbHatch", "LEADER": "AcDbLeader", "RAY": "AcDbRay", "XLINE": "AcDbXline",
}
# without their subclass these cannot be built at all; they hold no outline, so they are left out
_HOPELESS = frozenset({"IMAGE", "WIPEOUT", "PDFUNDERLAY", "DWFUNDERLAY", "DGNUNDERLAY", "OLE2FRAME", "ACAD_PROXY_ENTITY"})
# group codes that belong to every entity, wherever they stand
_COMMON = frozenset({"5", "330", "6", "8", "48", "60", "62", "67", "370", "410", "420", "430", "440"})


def with_markers(text: str) -> str | None:
    """The drawing with the missing markers put in, None when none is missing."""
    lines = text.splitlines()
    out: list[str] = []
    entity: list[tuple[str, str]] = []
    changed = False
    for code, value in zip(lines[::2], lines[1::2], strict=False):
        if code.strip() == "0":
            changed |= _close(entity, out)
            entity = []
        entity.append((code, value))
    changed |= _close(entity, out)
    return "\n".join(out) + "\n" if changed else None


def _close(entity: list[tuple[str, str]], out: list[str]) -> bool:
    """Write the tags of one entity to `out`, marked where needed; whether it was."""
    kind = entity[0][1].strip() if entity else ""
    subclass = _SUBCLASS.get(kind)
    lacking = (subclass is not None or kind in _HOPELESS) and all(code.strip() != "100" for code, _ in entity)
    if lacking and subclass is None:
        return True
    if lacking and subclass is not None:
        common = [tag for tag in entity[1:] if tag[0].strip() in _COMMON]
        own = [tag for tag in entity[1:] if tag[0].strip() not in _COMMON]
        entity = [entity[0], *common[:1], ("100", "AcDbEntity"), *common[1:], ("100", subclass), *own]
    for code, value in entity:
        out.append(code)
        out.append(value)
    return lacking
