"""DXF, text and binary, R10 to R2018, through ezdxf, which is imported when the first drawing is read.

What counts is the modelspace. Outlines are measured; words, dimensions and points are only counted.
"""

from __future__ import annotations

import io
import logging
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import Failure
from foundation.settings import CadSettings
from tasks.recognition import BINARY_DXF, HEAD_BYTES, encoding
from tasks.vocabulary import Family, Format
from workers.cad.dxf_blocks import Expansion, expanded
from workers.cad.dxf_repair import SUBCLASS, modernised
from workers.cad.shape import MILLIMETRES_ASSUMED, Finding, FindingCode, Origin, Shape, Units
from workers.cad.strokes import flattened

# the most names and texts a result carries
NAMES, TEXTS, TEXT_LETTERS = 200, 50, 200

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
# besides its own errors, what ezdxf was seen to raise for damaged files; it also asserts what a file can break
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, StopIteration, struct.error)
# templates set the unit unasked, so even a named one may be wrong
_FILE_CONFIDENCE = 0.9


def read_dxf(path: Path, limits: CadSettings) -> Shape:
    """Read a DXF file. Raises `Failure` ENCODING_UNSUPPORTED, FILE_CORRUPT, GEOMETRY_MISSING, GEOMETRY_INVALID,
    CAD_EXPANSION_LIMIT, CAD_CYCLIC_REFERENCE, CAD_LIMIT.
    """
    findings: Counter[FindingCode] = Counter()
    document, binary = _open(path, findings)
    types = Counter(entity.dxftype() for entity in document.modelspace())
    if not types:
        # an empty drawing is sound; an empty drawing out of a broken file means that the reader lost everything
        if findings[FindingCode.FILE_REPAIRED]:
            raise Failure("FILE_CORRUPT", {"reason": "no entity could be recovered"})
        raise Failure("GEOMETRY_MISSING", {"entities": 0})
    if sum(types.values()) > limits.max_entities:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_ENTITIES", "allowed": limits.max_entities, "found": sum(types.values())})
    units = _units(document)
    expansion = expanded(document, limits)
    findings.update(expansion.findings)
    facts = {"encoding": "binary" if binary else "text", **_facts(document, types, expansion, findings)}
    if _leaves_plane(expansion):
        findings[FindingCode.DEPTH_DROPPED] += 1
    if units.origin is Origin.ASSUMED:
        findings[FindingCode.UNITS_ASSUMED] += 1
    paths = flattened(expansion.strokes, units.millimetres_per_unit, expansion.types)
    if not len(paths.lengths):
        damaged = findings[FindingCode.NUMBERS_DROPPED] or findings[FindingCode.ENTITIES_INVALID] or expansion.strokes.pieces
        raise Failure("GEOMETRY_INVALID" if damaged else "GEOMETRY_MISSING", {"entities_by_type": _bounded(types)})
    facts["total_length"] = float(paths.lengths.sum())
    facts["paths"] = paths.paths
    told = tuple(Finding.of(code, count) for code, count in sorted(findings.items()) if count)
    return Shape(Format.DXF, Family.FLAT, paths, units, told, dict(types), facts)


def _open(path: Path, findings: Counter[FindingCode]) -> tuple[Any, bool]:
    """The document, and whether it is binary; repairs are reported in `findings`."""
    from ezdxf.filemanagement import read, readfile
    from ezdxf.lldxf.const import DXFError

    # its warnings quote the file; what matters of them comes back as findings
    logging.getLogger("ezdxf").setLevel(logging.CRITICAL)
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    mark, binary = encoding(head), head.startswith(BINARY_DXF[:18])
    if mark == "utf-16":
        raise Failure("ENCODING_UNSUPPORTED", {"encoding": mark})
    try:
        if mark:
            document = _whole(read(io.StringIO(path.read_text(encoding=mark, errors="surrogateescape"))))
        else:
            document = _whole(readfile(str(path)))
        # R12 with entities of R2000: read, but without half of their attributes
        mixed = document.dxfversion <= "AC1009" and any(entity.dxftype() in SUBCLASS for entity in document.entitydb.values())
        if binary or not mixed:
            return document, binary
    except (DXFError, *_DAMAGE, OSError) as error:
        # an OSError with a number comes from the disk instead
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if binary:
            raise Failure("FILE_CORRUPT", {"reason": "the binary tags break off or make no sense"}) from error
    findings[FindingCode.FILE_REPAIRED] += 1
    return _recovered(path, mark), binary


def _recovered(path: Path, mark: str | None) -> Any:
    """The last resort, for text only. Raises `Failure` FILE_CORRUPT where the repair had to invent numbers."""
    from ezdxf import recover
    from ezdxf.filemanagement import dxf_file_info, read
    from ezdxf.lldxf.const import DXFError

    try:
        modern = modernised(path.read_text(encoding=mark or dxf_file_info(str(path)).encoding, errors="surrogateescape"))
        if modern is not None:
            return _whole(read(io.StringIO(modern)))
    except (DXFError, *_DAMAGE) as error:
        logging.getLogger(__name__).debug("markers alone do not help: %s", type(error).__name__)
    try:
        document, auditor = recover.readfile(str(path))
        _whole(document)
    except (DXFError, *_DAMAGE) as error:
        raise Failure("FILE_CORRUPT", {"reason": "the tags do not form a drawing"}) from error
    if auditor.errors:
        raise Failure("FILE_CORRUPT", {"reason": "numbers or references cannot be read", "places": len(auditor.errors)})
    return document


def _whole(document: Any) -> Any:
    """The document, if it has a modelspace: ezdxf looks for it only when asked."""
    document.modelspace()
    return document


def _units(document: Any) -> Units:
    code = document.header.get("$INSUNITS", 0)
    known = _UNITS.get(code) if isinstance(code, int) else None
    return Units(*known, Origin.FILE, _FILE_CONFIDENCE) if known else MILLIMETRES_ASSUMED


def _leaves_plane(expansion: Expansion) -> bool:
    strokes = expansion.strokes
    points = np.concatenate([strokes.lines.reshape(-1, 3), strokes.arcs[:, 0]])
    if not len(points):
        return False
    spread, axes = np.ptp(points, axis=0), np.abs(strokes.arcs[:, 1:])
    return bool(spread[2] > 1e-6 * spread.max() or axes[:, :, 2].max(initial=0) > 1e-6 * axes.max(initial=0))


def _facts(document: Any, types: Counter[str], expansion: Expansion, findings: Counter[FindingCode]) -> dict[str, Any]:
    repaired: list[str] = []

    def clean(text: str) -> str:
        try:
            text.encode()
        except UnicodeEncodeError:
            repaired.append(text)
            text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return text.replace("\0", "\N{REPLACEMENT CHARACTER}")

    modelspace = document.modelspace()
    # some rare kinds have no layer at all
    layers = sorted({str(entity.dxf.get("layer", "0")) for entity in modelspace if entity.dxf.is_supported("layer")})
    blocks = sorted(str(block.name) for block in document.blocks if not block.is_any_layout)
    words = [entity for entity in modelspace if entity.dxftype() in ("TEXT", "MTEXT")]
    texts = [str(entity.text if entity.dxftype() == "MTEXT" else entity.dxf.get("text", ""))[:TEXT_LETTERS] for entity in words[:TEXTS]]
    facts = {
        "dxf_version": str(document.dxfversion),
        "entities": sum(types.values()),
        "entity_counts": _bounded(types),
        "expanded_counts": _bounded(expansion.types),
        "nesting": expansion.depth,
        "layers": [clean(name[:TEXT_LETTERS]) for name in layers[:NAMES]],
        "layers_total": len(layers),
        "blocks": [clean(name[:TEXT_LETTERS]) for name in blocks[:NAMES]],
        "blocks_total": len(blocks),
        "texts": [clean(text) for text in texts],
        "texts_total": len(words),
    }
    if repaired:
        findings[FindingCode.TEXT_REPAIRED] += len(repaired)
    return facts


def _bounded(types: Counter[str]) -> dict[str, int]:
    """The most frequent types; their names come from the file, so their length and number are bounded."""
    return {kind[:40]: count for kind, count in types.most_common(NAMES)}
