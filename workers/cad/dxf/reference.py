"""DXF through ezdxf, which is imported when the first drawing needs it: the reference for every other way of reading."""

from __future__ import annotations

import io
import logging
import math
import struct
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import Failure
from tasks.recognition import BINARY_DXF, HEAD_BYTES, encoding
from workers.cad.dxf.blocks import TOP, Node, References
from workers.cad.dxf.curves import Collector
from workers.cad.dxf.drawing import TEXTS, Drawing
from workers.cad.dxf.repair import SUBCLASS, modernised
from workers.cad.dxf.strokes import Strokes
from workers.cad.shape import FindingCode, Floats

# besides its own errors, what ezdxf was seen to raise for damaged files; it also asserts what a file can break
DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, StopIteration, struct.error)


def opened(path: Path) -> Drawing:
    """The drawing at `path`, repaired where needed. Raises `Failure` ENCODING_UNSUPPORTED, FILE_CORRUPT."""
    findings: Counter[FindingCode] = Counter()
    document, binary = _open(path, findings)
    modelspace, header = document.modelspace(), _header(document)
    words = [entity for entity in modelspace if entity.dxftype() in ("TEXT", "MTEXT")]
    return Drawing(
        reader="ezdxf",
        binary=binary,
        version=str(document.dxfversion),
        units_code=header.get("$INSUNITS", 0),
        measurement=header.get("$MEASUREMENT"),
        types=Counter(entity.dxftype() for entity in modelspace),
        # some rare kinds have no layer at all
        layers={str(entity.dxf.get("layer", "0")) for entity in modelspace if entity.dxf.is_supported("layer")},
        blocks=[str(block.name) for block in document.blocks if not block.is_any_layout],
        texts=[str(word.text if word.dxftype() == "MTEXT" else word.dxf.get("text", "")) for word in words[:TEXTS]],
        texts_total=len(words),
        node=lambda key: _node(document, document.blocks.get(key) if key != TOP else modelspace),
        findings=findings,
    )


def document_of(path: Path) -> Any:
    """The open drawing itself, for its preview: colours and words are no geometry. Raises `Failure` as `opened` does."""
    return _open(path, Counter())[0]


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
    except (DXFError, *DAMAGE, OSError) as error:
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
    except (DXFError, *DAMAGE) as error:
        logging.getLogger(__name__).debug("markers alone do not help: %s", type(error).__name__)
    try:
        document, auditor = recover.readfile(str(path))
        _whole(document)
    except (DXFError, *DAMAGE) as error:
        raise Failure("FILE_CORRUPT", {"reason": "the tags do not form a drawing"}) from error
    if auditor.errors:
        raise Failure("FILE_CORRUPT", {"reason": "numbers or references cannot be read", "places": len(auditor.errors)})
    return document


def _whole(document: Any) -> Any:
    """The document, if it has a modelspace: ezdxf looks for it only when asked."""
    document.modelspace()
    return document


def _header(document: Any) -> Mapping[str, Any]:
    """The header variables that stand in the file, with their values.

    To a file without a header ezdxf gives one of R12 with all variables of all versions, whatever they mean.
    """
    from ezdxf.sections.headervars import HEADER_VAR_MAP

    found = {name: variable.value for name, variable in document.header.hdrvars.items()}
    return {} if found.get("$ACADVER") == "AC1009" and HEADER_VAR_MAP.keys() <= found.keys() else found


def _node(document: Any, layout: Any) -> Node:
    plain: list[Any] = []
    inserts: dict[str, list[Any]] = {}
    types: Counter[str] = Counter()
    node = Node(lambda: _drawn(plain), types)
    for entity in layout:
        kind = entity.dxftype()
        if kind != "INSERT":
            plain.append(entity)
            types[kind] += 1
            continue
        name = entity.dxf.get("name", "")
        block = document.blocks.get(name) if name else None
        # repairs may have destroyed what a block begins with
        if block is None or (block.block is not None and not block.block.is_alive):
            node.findings[FindingCode.BLOCKS_MISSING] += 1
        elif block.block is not None and block.block.dxf.flags & 4:
            node.findings[FindingCode.REFERENCES_IGNORED] += 1
        elif not _has_place(entity):
            node.findings[FindingCode.ENTITIES_INVALID] += 1
        else:
            inserts.setdefault(document.blocks.key(name), []).append(entity)
            types["ATTRIB"] += len(entity.attribs)
    node.inserts = {key: _references(some) for key, some in inserts.items()}
    return node


def _drawn(entities: list[Any]) -> tuple[Strokes, Counter[FindingCode]]:
    collector = Collector()
    for entity in entities:
        collector.add(entity)
    return collector.strokes(), collector.findings


def _has_place(insert: Any) -> bool:
    """Whether it says where its copies are: an extrusion without length has no direction, an infinite angle no sine."""
    try:
        numbers = [*insert.matrix44(), *insert.ocs().ux, insert.dxf.get("row_spacing", 0.0), insert.dxf.get("column_spacing", 0.0)]
    except (ValueError, ArithmeticError):
        return False
    return all(map(math.isfinite, numbers))


def _references(inserts: list[Any]) -> References:
    return References(sum(rows * columns for rows, columns in map(_grid, inserts)), lambda: _places(inserts))


def _grid(insert: Any) -> tuple[int, int]:
    """Rows and columns; without spacing all copies coincide and count once."""
    dxf = insert.dxf
    rows = int(dxf.get("row_count", 1)) if dxf.get("row_spacing", 0.0) else 1
    columns = int(dxf.get("column_count", 1)) if dxf.get("column_spacing", 0.0) else 1
    return max(rows, 1), max(columns, 1)


def _places(inserts: list[Any]) -> tuple[Floats, Floats]:
    """Matrices (k, 3, 3) and offsets (k, 3) of all copies of one block."""
    matrices, offsets = [], []
    for insert in inserts:
        table = np.array(tuple(insert.matrix44()), dtype=np.float64).reshape(4, 4)
        rows, columns = _grid(insert)
        if rows * columns == 1:
            matrices.append(table[None, :3, :3])
            offsets.append(table[None, 3, :3])
            continue
        # the grid turns with the reference but is not scaled by it
        angle = math.radians(insert.dxf.get("rotation", 0.0))
        ocs = insert.ocs()
        axes = np.array([tuple(ocs.ux), tuple(ocs.uy)], dtype=np.float64)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        steps = np.stack(
            np.meshgrid(np.arange(columns) * float(insert.dxf.column_spacing), np.arange(rows) * float(insert.dxf.row_spacing)), axis=-1
        ).reshape(-1, 2)
        offsets.append(table[3, :3] + steps @ turn @ axes)
        matrices.append(np.broadcast_to(table[:3, :3], (rows * columns, 3, 3)))
    return np.concatenate(matrices), np.concatenate(offsets)
