"""Block references: counted before they are expanded, then expanded from the bottom up, each block translated once.

A few kilobytes of nested references can stand for 10^9 entities. Counting needs one visit per block, whatever the number.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from foundation.errors import Failure
from foundation.settings import CadSettings
from workers.cad.dxf_curves import Collector
from workers.cad.shape import FindingCode, Floats
from workers.cad.strokes import Strokes, joined

# straight pieces an allowed entity may cost on average, which bounds memory to some 200 bytes an entity
_PIECES_PER_ENTITY = 4


@dataclass(slots=True)
class _Node:
    """The modelspace or one block: its own entities, the blocks it refers to, and, once counted, all below it."""

    plain: list[Any] = field(default_factory=list)
    inserts: dict[str, list[Any]] = field(default_factory=dict)
    types: Counter[str] = field(default_factory=Counter)
    entities: int = 0
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Expansion:
    """What the modelspace holds once all references are resolved."""

    strokes: Strokes
    types: Counter[str]
    findings: Counter[FindingCode]
    depth: int


def expanded(document: Any, limits: CadSettings) -> Expansion:
    """Resolve all references. Raises `Failure` CAD_CYCLIC_REFERENCE, CAD_EXPANSION_LIMIT, CAD_LIMIT."""
    findings: Counter[FindingCode] = Counter()
    nodes = _counted(document, limits, findings)
    known: dict[str, Strokes] = {}
    pieces: dict[str, int] = {}
    for key, node in nodes.items():  # the order of counting: whatever a block refers to comes before it
        collector = Collector()
        for entity in node.plain:
            collector.add(entity)
        own, dropped = collector.strokes().sound()
        findings.update(collector.findings)
        findings[FindingCode.NUMBERS_DROPPED] += dropped
        pieces[key] = own.pieces + sum(pieces[child] * sum(map(_times, some)) for child, some in node.inserts.items())
        _within_pieces(pieces[key], limits)
        parts = [own]
        for child, inserts in node.inserts.items():
            if known[child].paths:
                parts.append(known[child].placed(*_places(inserts)))
        known[key] = joined(parts)
    strokes, dropped = known[_TOP].sound()
    findings[FindingCode.NUMBERS_DROPPED] += dropped
    top = nodes[_TOP]
    return Expansion(strokes, top.types, +findings, top.depth)


_TOP = ""


def _counted(document: Any, limits: CadSettings, findings: Counter[FindingCode]) -> dict[str, _Node]:
    """All blocks the modelspace needs, the modelspace last, after their expansion was counted and found allowed.

    Walks with a stack of its own: thousands of nested blocks must not exhaust the interpreter's.
    """
    done: dict[str, _Node] = {}
    opened: dict[str, _Node] = {}
    stack: list[tuple[str, Iterator[str]]] = []

    def enter(key: str, layout: Any) -> None:
        node = _node(document, layout, findings)
        opened[key] = node
        stack.append((key, iter(node.inserts)))

    enter(_TOP, document.modelspace())
    while stack:
        key, children = stack[-1]
        child = next(children, None)
        if child is None:
            stack.pop()
            done[key] = opened.pop(key)
            _sum_up(done[key], done, limits)
        elif child in opened:
            raise Failure("CAD_CYCLIC_REFERENCE", {"blocks_in_cycle": len(opened) - list(opened).index(child)})
        elif child not in done:
            enter(child, document.blocks.get(child))
    return done


def _node(document: Any, layout: Any, findings: Counter[FindingCode]) -> _Node:
    node = _Node()
    for entity in layout:
        kind = entity.dxftype()
        if kind != "INSERT":
            node.plain.append(entity)
            node.types[kind] += 1
            continue
        name = entity.dxf.get("name", "")
        block = document.blocks.get(name) if name else None
        if block is None:
            findings[FindingCode.BLOCKS_MISSING] += 1
        elif block.block is not None and block.block.dxf.flags & 4:
            findings[FindingCode.REFERENCES_IGNORED] += 1
        else:
            node.inserts.setdefault(document.blocks.key(name), []).append(entity)
            node.types["ATTRIB"] += len(entity.attribs)
    return node


def _sum_up(node: _Node, done: dict[str, _Node], limits: CadSettings) -> None:
    node.entities = sum(node.types.values())
    for child, inserts in node.inserts.items():
        times, below = sum(map(_times, inserts)), done[child]
        # a reference counts as well, or arrays of empty blocks would be free
        node.entities += times * (1 + below.entities)
        node.depth = max(node.depth, below.depth + 1)
        for kind, count in below.types.items():
            node.types[kind] += count * times
    if node.entities > limits.max_entities:
        raise Failure(
            "CAD_EXPANSION_LIMIT" if node.inserts else "CAD_LIMIT",
            {"limit": "CADMILL_CAD_MAX_ENTITIES", "allowed": limits.max_entities, "found": node.entities},
        )
    if node.depth > limits.max_nesting:
        raise Failure("CAD_EXPANSION_LIMIT", {"limit": "CADMILL_CAD_MAX_NESTING", "allowed": limits.max_nesting})


def _within_pieces(pieces: int, limits: CadSettings) -> None:
    allowed = limits.max_entities * _PIECES_PER_ENTITY
    if pieces > allowed:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_ENTITIES", "allowed_pieces": allowed, "found_pieces": pieces})


def _grid(insert: Any) -> tuple[int, int]:
    """Rows and columns; without spacing all copies coincide and count once."""
    dxf = insert.dxf
    rows = int(dxf.get("row_count", 1)) if dxf.get("row_spacing", 0.0) else 1
    columns = int(dxf.get("column_count", 1)) if dxf.get("column_spacing", 0.0) else 1
    return max(rows, 1), max(columns, 1)


def _times(insert: Any) -> int:
    rows, columns = _grid(insert)
    return rows * columns


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
