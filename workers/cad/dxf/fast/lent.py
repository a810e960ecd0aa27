"""Entities of rare and difficult kinds, lent to the reference one by one while all others are read at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from workers.cad.dxf.curves import Collector
from workers.cad.dxf.fast.entities import Entities
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


def _plain_style(plan: Plan, entity: int) -> bool:
    """Whether a style of multiple lines has nothing but its own subclass, in which each line begins with its offset."""
    span = plan.span(entity)
    codes = plan.tags.codes[span.start : span.stop].tolist()
    if codes.count(100) != 1:
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
