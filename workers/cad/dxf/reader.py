"""DXF, text and binary, R10 to R2018: the fast way where it covers the file, ezdxf for all others.

What counts is the modelspace. Outlines are measured; words, dimensions and points are only counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from tasks.vocabulary import Family, Format
from workers.cad.dxf.blocks import Expansion, expanded
from workers.cad.dxf.drawing import NAMES, TEXT_LETTERS, Drawing
from workers.cad.dxf.fast.reader import opened_fast
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.dxf.reference import opened
from workers.cad.dxf.strokes import flattened
from workers.cad.shape import MILLIMETRES_ASSUMED, Finding, FindingCode, Origin, Shape, Units

# $INSUNITS of the DXF reference: code, name, millimetres
_UNITS: dict[int, tuple[str, float]] = {
    1: ("in", 25.4),
    2: ("ft", 304.8),
    3: ("mi", 1_609_344.0),
    4: ("mm", 1.0),
    5: ("cm", 10.0),
    6: ("m", 1000.0),
    7: ("km", 1e6),
    8: ("microinch", 25.4e-6),
    9: ("mil", 0.0254),
    10: ("yd", 914.4),
    11: ("angstrom", 1e-7),
    12: ("nm", 1e-6),
    13: ("um", 1e-3),
    14: ("dm", 100.0),
    15: ("dam", 1e4),
    16: ("hm", 1e5),
    17: ("Gm", 1e12),
    21: ("us-ft", 1_200_000 / 3937),
    22: ("us-in", 100_000 / 3937),
    23: ("us-yd", 3_600_000 / 3937),
    24: ("us-mi", 6_336_000_000 / 3937),
}
# templates set the unit unasked, so even a named one may be wrong
_FILE_CONFIDENCE, _AT_ODDS_CONFIDENCE = 0.9, 0.6
# that bare numbers are millimetres, by $MEASUREMENT: English, metric
_SYSTEMS: dict[object, str] = {0: "english", 1: "metric"}
_ASSUMED: dict[object, Units] = {system: replace(MILLIMETRES_ASSUMED, confidence=sure) for system, sure in ((0, 0.3), (1, 0.6))}


def read_dxf(path: Path, limits: CadSettings) -> Shape:
    """Read a DXF file. Raises `Failure` ENCODING_UNSUPPORTED, FILE_CORRUPT, GEOMETRY_MISSING, GEOMETRY_INVALID,
    CAD_EXPANSION_LIMIT, CAD_CYCLIC_REFERENCE, CAD_LIMIT.
    """
    try:
        # read in one go, so nothing is gained by a buffer
        with open(path, "rb", buffering=0) as stream:
            data = stream.read()
        return measured(opened_fast(data), limits)
    except NotCovered as reason:
        logging.getLogger(__name__).debug("left to the reference: %s", reason)
    return measured(opened(path), limits)


def measured(drawing: Drawing, limits: CadSettings) -> Shape:
    """The shape of a drawing. Raises `Failure` as `read_dxf` does."""
    findings, types = Counter(drawing.findings), drawing.types
    if not types:
        # an empty drawing is sound; an empty drawing out of a broken file means that the reader lost everything
        if findings[FindingCode.FILE_REPAIRED]:
            raise Failure("FILE_CORRUPT", {"reason": "no entity could be recovered"})
        raise Failure("GEOMETRY_MISSING", {"entities": 0})
    if sum(types.values()) > limits.max_entities:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_ENTITIES", "allowed": limits.max_entities, "found": sum(types.values())})
    units = _units(drawing.units_code, drawing.measurement)
    expansion = expanded(drawing.node, limits)
    if expansion.findings:
        findings.update(expansion.findings)
    facts = _facts(drawing, expansion, findings)
    if _leaves_plane(expansion):
        findings[FindingCode.DEPTH_DROPPED] += 1
    if units.origin is Origin.ASSUMED:
        findings[FindingCode.UNITS_ASSUMED] += 1
    paths = flattened(expansion.strokes, units.millimetres_per_unit, expansion.types)
    length = paths.length
    if not length:
        damaged = findings[FindingCode.NUMBERS_DROPPED] or findings[FindingCode.ENTITIES_INVALID] or expansion.strokes.pieces
        raise Failure("GEOMETRY_INVALID" if damaged else "GEOMETRY_MISSING", {"entities_by_type": _bounded(types)})
    facts["total_length"] = length
    facts["paths"] = paths.paths
    told = tuple(Finding.of(code, count) for code, count in sorted(findings.items()) if count)
    return Shape(Format.DXF, Family.FLAT, paths, units, told, types, facts)


def _units(code: object, measurement: object) -> Units:
    known = _UNITS.get(code) if isinstance(code, int) else None
    if known:
        # English line types beside millimetres, or the reverse: one of the two is a template's
        at_odds = (known[0], measurement) in (("in", 1), ("mm", 0))
        return Units(*known, Origin.FILE, _AT_ODDS_CONFIDENCE if at_odds else _FILE_CONFIDENCE)
    # who draws with English line types and hatches seldom means millimetres; they convert nothing, though
    return _ASSUMED.get(measurement, MILLIMETRES_ASSUMED)


def _leaves_plane(expansion: Expansion) -> bool:
    strokes = expansion.strokes
    if not (np.count_nonzero(strokes.lines[:, :, 2]) or (len(strokes.arcs) and np.count_nonzero(strokes.arcs[:, :, 2]))):
        return False
    points, axes = np.concatenate([strokes.lines.reshape(-1, 3), strokes.arcs[:, 0]]), np.abs(strokes.arcs[:, 1:])
    spread = np.ptp(points, axis=0)
    return bool(spread[2] > 1e-6 * spread.max() or axes[:, :, 2].max(initial=0) > 1e-6 * axes.max(initial=0))


def _facts(drawing: Drawing, expansion: Expansion, findings: Counter[FindingCode]) -> dict[str, Any]:
    repaired = 0

    def clean(text: str) -> str:
        nonlocal repaired
        if text.isascii() and "\0" not in text:
            return text
        repaired += any("\ud800" <= letter <= "\udfff" for letter in text)
        return _storable(text)

    layers, blocks = sorted(drawing.layers), sorted(drawing.blocks)
    facts = {
        "reader": drawing.reader,
        "encoding": "binary" if drawing.binary else "text",
        "dxf_version": _storable(drawing.version[:40]),
        "measurement": _SYSTEMS.get(drawing.measurement, "not given"),
        "entities": sum(drawing.types.values()),
        "entity_counts": _bounded(drawing.types),
        "expanded_counts": _bounded(expansion.types),
        "nesting": expansion.depth,
        "layers": [clean(name[:TEXT_LETTERS]) for name in layers[:NAMES]],
        "layers_total": len(layers),
        "blocks": [clean(name[:TEXT_LETTERS]) for name in blocks[:NAMES]],
        "blocks_total": len(blocks),
        "texts": [clean(text[:TEXT_LETTERS]) for text in drawing.texts],
        "texts_total": drawing.texts_total,
    }
    if repaired:
        findings[FindingCode.TEXT_REPAIRED] += repaired
    return facts


def _bounded(types: dict[str, int]) -> dict[str, int]:
    """The most frequent types; their names come from the file, so they may be anything, and their length and number are bounded."""
    told: dict[str, int] = {}
    for kind, count in sorted(types.items(), key=itemgetter(1), reverse=True)[:NAMES]:
        name = _storable(kind[:40])
        told[name] = told.get(name, 0) + count
    return told


def _storable(text: str) -> str:
    """The text without what neither JSON nor a database can hold: zero bytes, and bytes that were no letters when it was decoded."""
    if text.isascii() and "\0" not in text:
        return text
    try:
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # halves of letters that no byte stands for
        text = text.encode("utf-8", "replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")
