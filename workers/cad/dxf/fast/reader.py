"""DXF the fast way: what is common is read for all entities at once, whatever else is left to the reference.

Being wrong is never faster: each step raises `NotCovered` where it is not sure to agree with the reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from tasks.recognition import BINARY_DXF
from workers.cad.dxf.blocks import TOP, Node
from workers.cad.dxf.drawing import TEXTS, Drawing
from workers.cad.dxf.fast import outlines as draw
from workers.cad.dxf.fast.entities import MODEL, Entities, mixed
from workers.cad.dxf.fast.forms import Forms
from workers.cad.dxf.fast.inserts import Inserts
from workers.cad.dxf.fast.lent import collected, join_texts, lent
from workers.cad.dxf.fast.plan import R12, SPACES, Plan
from workers.cad.dxf.fast.polylines import light_polylines, polylines
from workers.cad.dxf.fast.scan import scanned
from workers.cad.dxf.fast.sections import planned
from workers.cad.dxf.fast.splines import splines
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.dxf.repair import modernised
from workers.cad.dxf.strokes import Strokes, joined
from workers.cad.shape import FindingCode, Integers

# outlines of kinds the reference does not draw either: words and dimensions are not missed, bodies and endless lines are
_NOT_DRAWN = (
    (FindingCode.ENTITIES_SKIPPED, (b"RAY", b"XLINE", b"3DSOLID", b"REGION", b"BODY", b"3DLINE", b"ACAD_PROXY_ENTITY", b"SECTIONOBJECT")),
    (FindingCode.REFERENCES_IGNORED, (b"IMAGE", b"WIPEOUT", b"PDFUNDERLAY")),
)
_WORDS = (b"TEXT", b"MTEXT")
# POLYLINE is not here: it is more than its own tags
_DRAW: tuple[tuple[tuple[bytes, ...], Callable[[Forms, Integers, draw.Outlines], None]], ...] = (
    ((b"LINE",), draw.lines),
    ((b"CIRCLE",), draw.circles),
    ((b"ARC",), draw.arcs),
    ((b"ELLIPSE",), draw.ellipses),
    ((b"SOLID", b"TRACE"), draw.solids),
    ((b"3DFACE",), draw.spatial_faces),
    ((b"LWPOLYLINE",), light_polylines),
    ((b"SPLINE",), splines),
)


def opened_fast(data: bytes) -> Drawing:
    """The drawing in `data`. Raises `NotCovered`, now or when its nodes are asked for what they hold."""
    plan = planned(scanned(data))
    repaired = plan.version == R12 and mixed(plan)
    if repaired:
        plan = _modern(plan)
    entities = Entities(plan)
    if entities.told:
        join_texts(entities)
    model = (entities.place == MODEL).nonzero()[0]
    words = [] if entities.present.isdisjoint(_WORDS) else model[entities.of(*_WORDS)[model]].tolist()
    types = _types(entities, model)
    places = _Places(entities, model, types)
    names = (
        plan.arrows | {key: name for key, (name, _) in plan.records.items()} | {block.name.lower(): block.name for block in entities.blocks}
    )
    return Drawing(
        reader="fast",
        binary=data.startswith(BINARY_DXF),
        version=plan.version,
        units_code=plan.units_code,
        measurement=plan.measurement,
        types=types,
        layers=entities.layers(model),
        blocks=[name for key, name in names.items() if key != SPACES[0] and not key.startswith(SPACES[1])],
        texts=[_words(entities, word) for word in words[:TEXTS]],
        texts_total=len(words),
        node=places.node,
        findings=Counter({FindingCode.FILE_REPAIRED: 1} if repaired else {}),
    )


def _modern(plan: Plan) -> Plan:
    """The same drawing as R2000, as the repair writes it."""
    text = None if plan.binary else modernised(plan.decode(plan.tags.data))
    if text is None:
        raise NotCovered("a repair beyond markers")
    return planned(scanned(text.encode(plan.encoding, "surrogateescape")))


def _types(entities: Entities, of: Integers) -> dict[str, int]:
    kinds, plan = entities.kinds.take(of), entities.plan
    counts = np.bincount(kinds).tolist()
    return {plan.decode(plan.names[kind]): counts[kind] for kind in dict.fromkeys(kinds.tolist())}


def _words(entities: Entities, entity: int) -> str:
    """The text of a TEXT or of an MTEXT, whose long texts are written in parts."""
    plan = entities.plan
    if plan.names[entities.kinds[entity]] == b"TEXT":
        only = int(entities.forms.take(entities.form(np.array([entity])), 1)[0])
        return plan.text(only) if only >= 0 else ""
    span = plan.span(int(entities.own[entity]))
    codes = plan.tags.codes[span.start : span.stop].tolist()
    # the subclasses before the last one hold no words, nor does what belongs to applications
    end = next((at for at, code in enumerate(codes) if code in (101, 1001)), len(codes))
    own = range(end - codes[end - 1 :: -1].index(100), end)
    parts = [at for at in own if codes[at] == 3] + [at for at in own if codes[at] == 1][-1:]
    return "".join([plan.text(span.start + at) for at in parts]).replace("\r", "").replace("\n", "\\P")


class _Places:
    """The modelspace and the blocks, drawn all at once, then given out one by one."""

    def __init__(self, entities: Entities, model: Integers, types: dict[str, int]) -> None:
        """`model` are the entities of the modelspace, `types` how many of each kind these are."""
        self._entities, self._model, self._types = entities, model, types
        self._inserts = Inserts(entities)
        self._lent = lent(entities)
        # before anything is counted: what the reference refuses must not end as a limit
        self._invalid: Integers = np.zeros(0, dtype=np.int64)
        self._drawn = self._draw()

    @cached_property
    def _ordered(self) -> tuple[Integers, Integers]:
        """All entities ordered by their places, and the places in this order."""
        order = self._entities.place.argsort(kind="stable")
        return order, self._entities.place[order]

    def node(self, key: str) -> Node:
        entities = self._entities
        number = MODEL if key == TOP else entities.keys[key] + 1
        if key != TOP and number == MODEL:  # a block that only its record knows
            return Node(lambda: (Strokes.none(), Counter()), {})
        if number == MODEL:
            of, types = self._model, self._types.copy()
        else:
            order, places = self._ordered
            of = order[places.searchsorted(number) : places.searchsorted(number, side="right")]
            types = _types(entities, of)
        types.pop("INSERT", None)
        node = Node(lambda: self._outlines(number, of), types)
        if b"INSERT" in entities.present:
            node.inserts, attributes, node.findings = self._inserts.of(of[entities.of(b"INSERT")[of]])
            if attributes is not None:
                types["ATTRIB"] = types.get("ATTRIB", 0) + attributes
        return node

    def _outlines(self, number: int, of: Integers) -> tuple[Strokes, Counter[FindingCode]]:
        findings: Counter[FindingCode] = Counter()
        for code, kinds in _NOT_DRAWN:
            if not self._entities.present.isdisjoint(kinds):
                findings[code] += int(np.count_nonzero(self._entities.of(*kinds)[of]))
        if len(self._invalid):
            findings[FindingCode.ENTITIES_INVALID] += int(np.isin(of, self._invalid).sum())
        strokes = self._drawn.get(number) or Strokes.none()
        loans: list[Any] = [self._lent[one] for one in of[self._entities.lent[of]].tolist()] if len(self._entities.loans) else []
        if loans:
            more, told = collected(loans)
            findings.update(told)
            strokes = joined([strokes, more])
        return strokes, findings

    def _draw(self) -> dict[int, Strokes]:
        """The outlines of all places."""
        entities, forms = self._entities, self._entities.forms
        to = draw.Outlines()
        # parts and paperspace are never drawn for themselves
        shown = entities.place >= 0
        if len(entities.loans):
            shown &= ~entities.lent
        for names, kind in _DRAW:
            if not entities.present.isdisjoint(names):
                kind(forms, entities.form((entities.of(*names) & shown).nonzero()[0]), to)
        polylines(entities, to)
        if b"HATCH" in entities.present:
            hatches = entities.which(b"HATCH")
            seen = shown[hatches].nonzero()[0]
            entities.hatches.draw(forms, seen, entities.form(hatches[seen]), to)
        plain = entities.plain
        self._invalid = plain[np.concatenate(to.invalid)] if to.invalid else self._invalid
        return to.parted(entities.place[plain])
