"""Block references: counted before they are expanded, then expanded from the bottom up, each block translated once.

A few kilobytes of nested references can stand for 10^9 entities. Counting needs one visit per block, whatever the number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from workers.cad.dxf.strokes import Strokes, joined
from workers.cad.shape import FindingCode, Floats

# straight pieces an allowed entity may cost on average, which bounds memory to some 200 bytes an entity
_PIECES_PER_ENTITY = 4
# beyond this a count is told as this: arrays of arrays reach numbers that neither a database nor a client can hold
_COUNTED = 10**18
# the key of the modelspace; no block has an empty name
TOP = ""


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """All references from one place to one block: how many copies, and where; the places are asked for once they are allowed."""

    times: int
    places: Callable[[], tuple[Floats, Floats]]  # matrices (k, 3, 3), offsets (k, 3)


@dataclass(slots=True, eq=False)
class Node:
    """The modelspace or one block: its own entities, the blocks it refers to, and, once counted, all below it."""

    drawn: Callable[[], tuple[Strokes, Counter[FindingCode]]]  # its own outlines; asked for once they are allowed
    types: Counter[str] = field(default_factory=Counter)
    inserts: dict[str, References] = field(default_factory=dict)
    findings: Counter[FindingCode] = field(default_factory=Counter)
    entities: int = 0
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Expansion:
    """What the modelspace holds once all references are resolved."""

    strokes: Strokes
    types: Counter[str]
    findings: Counter[FindingCode]
    depth: int


def expanded(node_of: Callable[[str], Node], limits: CadSettings) -> Expansion:
    """Resolve all references of the modelspace; `node_of` yields it for `TOP`, and each block it refers to for its key.

    Raises `Failure` CAD_CYCLIC_REFERENCE, CAD_EXPANSION_LIMIT, CAD_LIMIT.
    """
    nodes = _counted(node_of, limits)
    findings: Counter[FindingCode] = Counter()
    known: dict[str, Strokes] = {}
    pieces: dict[str, int] = {}
    for key, node in nodes.items():  # the order of counting: whatever a block refers to comes before it
        drawn, told = node.drawn()
        own, dropped = drawn.sound()
        if node.findings or told:
            findings.update(node.findings)
            findings.update(told)
        if dropped:
            findings[FindingCode.NUMBERS_DROPPED] += dropped
        pieces[key] = own.pieces + sum([pieces[child] * some.times for child, some in node.inserts.items()])
        _within_pieces(pieces[key], limits)
        parts = [own]
        for child, some in node.inserts.items():
            if known[child].paths:
                parts.append(known[child].placed(*some.places()))
        known[key] = joined(parts)
    strokes, top = known[TOP], nodes[TOP]
    if top.inserts:  # copies may be larger than what they are of
        strokes, dropped = strokes.sound()
        findings[FindingCode.NUMBERS_DROPPED] += dropped
    return Expansion(strokes, top.types, findings, top.depth)


def _counted(node_of: Callable[[str], Node], limits: CadSettings) -> dict[str, Node]:
    """All blocks the modelspace needs, the modelspace last, after their expansion was counted and found allowed.

    Walks with a stack of its own: thousands of nested blocks must not exhaust the interpreter's.
    """
    done: dict[str, Node] = {}
    opened: dict[str, Node] = {}
    stack: list[tuple[str, Iterator[str]]] = []

    def enter(key: str) -> None:
        node = node_of(key)
        opened[key] = node
        stack.append((key, iter(node.inserts)))

    enter(TOP)
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
            enter(child)
    return done


def _sum_up(node: Node, done: dict[str, Node], limits: CadSettings) -> None:
    node.entities = sum(node.types.values())
    for child, some in node.inserts.items():
        times, below = some.times, done[child]
        # a reference counts as well, or arrays of empty blocks would be free
        node.entities += times * (1 + below.entities)
        node.depth = max(node.depth, below.depth + 1)
        for kind, count in below.types.items():
            node.types[kind] += count * times
    if node.entities > limits.max_entities:
        raise Failure(
            "CAD_EXPANSION_LIMIT" if node.inserts else "CAD_LIMIT",
            {"limit": "CADMILL_CAD_MAX_ENTITIES", "allowed": limits.max_entities, "found": min(node.entities, _COUNTED)},
        )
    if node.depth > limits.max_nesting:
        raise Failure("CAD_EXPANSION_LIMIT", {"limit": "CADMILL_CAD_MAX_NESTING", "allowed": limits.max_nesting})


def _within_pieces(pieces: int, limits: CadSettings) -> None:
    allowed = limits.max_entities * _PIECES_PER_ENTITY
    if pieces > allowed:
        raise Failure("CAD_LIMIT", {"limit": "CADMILL_CAD_MAX_ENTITIES", "allowed_pieces": allowed, "found_pieces": min(pieces, _COUNTED)})
