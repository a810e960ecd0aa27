"""Entities of rare and difficult kinds, lent to the reference one by one while all others are read at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from workers.cad.dxf.curves import Collector
from workers.cad.dxf.fast.entities import MODEL, NOWHERE, Entities
from workers.cad.dxf.fast.plan import Plan
from workers.cad.dxf.fast.tags import HEX, INTEGER, KIND, NotCovered
from workers.cad.dxf.reference import DAMAGE
from workers.cad.dxf.strokes import Strokes
from workers.cad.shape import FindingCode

# objects that the reference may refuse for what they hold; seldom more than a few
_OBJECTS = (b"GROUP", b"GEODATA", b"IDBUFFER", b"FIELDLIST", b"LAYER_FILTER", b"SORTENTSTABLE", b"VBA_PROJECT", b"SPATIAL_FILTER")
# the group codes of a sun as it is usually written, with and without its true colour: of these, all numbers, the reference refuses nothing
_SUNS = [[0, 5, 330, 100, 90, 290, 63, *colour, 40, 291, 91, 92, 292, 70, 71, 280] for colour in ([421], [])]
# data and groups of applications
_NOT_IN_STYLES = {101, 102, 1001}


def lent(entities: Entities) -> dict[int, Any]:
    """The lent entities as the reference knows them. Raises `NotCovered` where it refuses one, for then it refuses the file."""
    plan = entities.plan
    places, objects = entities.loans.tolist(), plan.which(*_OBJECTS)
    objects += [sun for sun in plan.which(b"SUN") if [code for _, code in plan.coded(sun)] not in _SUNS]
    objects += [style for style in plan.which(b"MLINESTYLE") if not _plain_style(plan, style)]
    if not places and not objects:
        return {}
    from ezdxf.entities import factory
    from ezdxf.lldxf.const import DXFError
    from ezdxf.lldxf.extendedtags import ExtendedTags

    found: dict[int, Any] = {}
    leaders, known = entities.of(b"MULTILEADER"), dict[tuple[bytes, ...], Any]()
    try:
        for place in places:
            entity = int(entities.own[place])
            # leaders are not drawn, and whether the reference refuses one is a matter of its structure
            key = _structure(plan, entity) if leaders[place] else ()
            found[place] = known.get(key) or factory.load(ExtendedTags.from_text(_text(plan, entity)))
            if key:
                known[key] = found[place]
        for entity in objects:
            factory.load(ExtendedTags.from_text(_text(plan, entity)))
    except (DXFError, *DAMAGE) as error:
        raise NotCovered("an entity the reference refuses") from error
    return found


def join_texts(entities: Entities) -> None:
    """Take away what the reference joins to texts: their further columns, which are texts, and the polylines of their frames."""
    from ezdxf.entities import factory
    from ezdxf.entities.mtext import extract_mtext_text_frame_handles, load_columns_from_xdata
    from ezdxf.lldxf.const import DXFError
    from ezdxf.lldxf.extendedtags import ExtendedTags

    plan, tags = entities.plan, entities.plan.tags
    known = Counter(tags.values(tags.handles))
    places = {plan.base(int(entities.own[place]), 5): place for place in entities.which(b"MTEXT", b"LWPOLYLINE").tolist()}

    def found(handle: str | None) -> int:
        key = (handle or "").encode("ascii", "replace")
        place: int = places.get(key, -1)
        if known[key] != 1 or place < 0:
            raise NotCovered("a part of a text that is none")
        return place

    mains, columns, frames = list[int](), list[int](), list[int]()
    for entity in entities.own[entities.which(b"MTEXT")].tolist():
        owners = [tags.value(at) for at, code in plan.coded(entity) if code in (101, 1001)]
        if b"ACAD" not in owners:
            continue
        try:
            text: Any = factory.load(ExtendedTags.from_text(_text(plan, entity)))
            linked = load_columns_from_xdata(text.dxf, text.xdata)
            framed = extract_mtext_text_frame_handles(text.xdata)
        except (DXFError, *DAMAGE) as error:
            raise NotCovered("an entity the reference refuses") from error
        frames += [found(handle) for handle in framed]
        place = found(text.dxf.handle)
        # since R2018 columns are no entities
        if linked and plan.version < "AC1032":
            if b"Embedded Object" in owners:
                raise NotCovered("columns of two versions")
            mains.append(place)
            columns += [found(handle) for handle in linked.linked_handles or ()]
    taken = columns + frames
    if len({*mains, *taken}) < len(mains) + len(taken):
        raise NotCovered("parts of two texts")
    if any(
        form.subclasses[1:] != [b"AcDbEntity", b"AcDbPolyline"]
        for form in entities.forms.each(entities.form(np.array(frames, dtype=np.int64)))
    ):
        raise NotCovered("an odd light polyline")
    if (entities.place[mains + columns] != MODEL).any():
        raise NotCovered("columns of a text out of reach")
    entities.place[taken] = NOWHERE


def _plain_style(plan: Plan, entity: int) -> bool:
    """Whether a style of multiple lines has nothing but its own subclass, in which each line begins with its offset."""
    span = plan.span(entity)
    codes = plan.tags.codes[span.start : span.stop].tolist()
    if codes.count(100) != 1 or 1001 in codes[: codes.index(100)]:
        return False
    own = codes[codes.index(100) :]
    if not _NOT_IN_STYLES.isdisjoint(own) or 71 not in own:
        return False
    lines = own[own.index(71) :]
    return next((code for code in lines if code in (49, 62, 6)), 49) == 49


def _structure(plan: Plan, entity: int) -> tuple[bytes, ...]:
    """Group codes, and the values of those that begin and end the parts of an entity."""
    span = plan.span(entity)
    codes = plan.tags.codes[span.start : span.stop]
    parts = (((codes >= 100) & (codes <= 102)) | ((codes >= 300) & (codes <= 309))).nonzero()[0] + span.start
    return codes.tobytes(), *plan.tags.values(parts)


def _text(plan: Plan, entity: int) -> str:
    lines = []
    for at in plan.span(entity):
        code, number = int(plan.tags.codes[at]), float(plan.tags.numbers[at])
        if number != number:
            value = plan.tags.value(at).hex() if plan.binary and KIND[code] == HEX else plan.text(at)
        else:
            value = str(int(number)) if KIND[code] == INTEGER else repr(number)
        lines.append(f"{code}\n{value}\n")
    return "".join(lines)


def collected(loans: Iterable[Any]) -> tuple[Strokes, Counter[FindingCode]]:
    collector = Collector()
    for entity in loans:
        collector.add(entity)
    return collector.strokes(), collector.findings
