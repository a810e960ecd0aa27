"""Which solids a STEP file holds, in which units, and where: the way from products to shells."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.analytic.poses import Poses, frames
from workers.cad.brep.step_names import length_unit
from workers.cad.brep.step_text import StepText
from workers.cad.shape import Floats, Integers

# entities that hold geometry in other ways than this module follows
ODD = (b"BREP_WITH_VOIDS", b"FACETED_BREP", b"SHELL_BASED_SURFACE_MODEL", b"FACE_BASED_SURFACE_MODEL", b"GEOMETRIC_CURVE_SET",
       b"GEOMETRIC_SET", b"MAPPED_ITEM", b"OPEN_SHELL", b"CSG_SOLID", b"EXTRUDED_AREA_SOLID", b"REVOLVED_AREA_SOLID",
       b"SOLID_REPLICA", b"POLY_LOOP", b"FACE_SURFACE", b"ORIENTED_FACE", b"ORIENTED_CLOSED_SHELL", b"SUBFACE",
       b"TESSELLATED_SHAPE_REPRESENTATION", b"TESSELLATED_SOLID",
       b"CONSTRUCTIVE_GEOMETRY_REPRESENTATION", b"SHAPE_ASPECT_RELATIONSHIP")  # fmt: skip
KEYWORDS = (b"SHAPE_DEFINITION_REPRESENTATION", b"ADVANCED_BREP_SHAPE_REPRESENTATION", b"SHAPE_REPRESENTATION",
            b"SHAPE_REPRESENTATION_RELATIONSHIP", b"MANIFOLD_SOLID_BREP", b"PRODUCT_DEFINITION_SHAPE", b"PRODUCT_DEFINITION",
            b"PRODUCT_DEFINITION_WITH_ASSOCIATED_DOCUMENTS", b"NEXT_ASSEMBLY_USAGE_OCCURRENCE", b"ITEM_DEFINED_TRANSFORMATION",
            b"CONTEXT_DEPENDENT_SHAPE_REPRESENTATION", *ODD)  # fmt: skip
_RELATION = re.compile(
    rb"\s*\(\s*REPRESENTATION_RELATIONSHIP\s*\([^#]*#\d+\s*,\s*#\d+\s*\)\s*"
    rb"REPRESENTATION_RELATIONSHIP_WITH_TRANSFORMATION\s*\(\s*#\d+\s*\)\s*SHAPE_REPRESENTATION_RELATIONSHIP\s*\(\s*\)\s*\)\s*$"
)
_UNITS = re.compile(rb"GLOBAL_UNIT_ASSIGNED_CONTEXT\s*\(\s*\(([^()]*)\)")
_RADIAN = re.compile(rb"SI_UNIT\s*\(\s*\$\s*,\s*\.RADIAN\.\s*\)")
_CONVERSION = re.compile(rb"CONVERSION_BASED_UNIT\s*\(\s*'(?:[^']|'')*'\s*,\s*#(\d+)\s*\)")
_MEASURE = re.compile(rb"PLANE_ANGLE_MEASURE\s*\(\s*([-+0-9.Ee]+)\s*\)\s*,\s*#(\d+)")


_PRODUCTS = (b"PRODUCT_DEFINITION", b"PRODUCT_DEFINITION_WITH_ASSOCIATED_DOCUMENTS")
_STILL, _STAYING = np.eye(3), np.zeros(3)
# an assembly is unfolded no deeper, and into no more occurrences
_DEEPEST, _MOST = 32, 2000


@dataclass(frozen=True, slots=True, eq=False)
class Solids:
    """k occurrences of solids."""

    rows: Integers  # (k,) of MANIFOLD_SOLID_BREPs
    poses: Poses
    angles: Floats  # (k,) radians in the unit of angle


@dataclass(frozen=True, slots=True)
class _Placed:
    """A shape within another one: a place p of it is at turn p + shift there."""

    child: int
    parent: int
    turn: Floats
    shift: Floats


def solids_of(table: Instances, source: StepText) -> Solids:
    """All solids; each must belong to exactly one representation that a product reaches."""
    if odd := table.present(ODD):
        raise NotCovered(f"it holds {odd[0].decode()}")
    kind = table.keywords
    told = table.of(b"SHAPE_DEFINITION_REPRESENTATION")
    if not len(told):
        raise NotCovered("it defines no shape")
    shapes = table.rows(told, 0)
    if not table.all_are(shapes, b"PRODUCT_DEFINITION_SHAPE"):
        raise NotCovered("a shape that is not of a product")
    products = table.rows(shapes, 0)
    if not table.all_are(products, *_PRODUCTS) or len(set(products.tolist())) != len(products):
        raise NotCovered("a shape that is not of a product")
    shape_of = dict(zip(products.tolist(), table.rows(told, 1).tolist(), strict=True))
    group = {row: row for row in shape_of.values()}
    if len(group) != len(shape_of):
        raise NotCovered("a shape of several products")
    links = table.of(b"SHAPE_REPRESENTATION_RELATIONSHIP")
    pairs = list(zip(table.rows(links, 0).tolist(), table.rows(links, 1).tolist(), strict=True)) if len(links) else []
    for _ in range(min(len(pairs), _DEEPEST)):
        for one, two in pairs:
            for known, other in ((one, two), (two, one)):
                if known in group and group.setdefault(other, group[known]) != group[known]:
                    raise NotCovered("a shape of several products")
    held: dict[int, list[tuple[int, float, float]]] = {}
    units: dict[int, tuple[float, float]] = {}
    for row in sorted(group):
        if table.kinds[row] not in (kind[b"ADVANCED_BREP_SHAPE_REPRESENTATION"], kind[b"SHAPE_REPRESENTATION"]):
            raise NotCovered("a shape of an odd kind")
        *items, context = table.referred(row).tolist() or [-1]
        kinds = [int(table.kinds[item]) for item in items]
        bodies = [item for item, one in zip(items, kinds, strict=True) if one == kind[b"MANIFOLD_SOLID_BREP"]]
        if min(items, default=0) < 0 or kinds.count(kind[b"AXIS2_PLACEMENT_3D"]) + len(bodies) != len(items):
            raise NotCovered("a shape of odd items")
        if context < 0:
            raise NotCovered("a context without its units")
        if context not in units:
            units[context] = _context(table, source, context)
        for body in bodies:
            held.setdefault(group[row], []).append((body, *units[context]))
    bodies = sorted(body for some in held.values() for body, *_ in some)
    if bodies != table.of(b"MANIFOLD_SOLID_BREP").tolist() or not bodies:
        raise NotCovered("solids that belong to no product, or to several")
    placed = _placed(table, source, kind, group, shape_of, units) if len(table.of(b"NEXT_ASSEMBLY_USAGE_OCCURRENCE")) else []
    if not placed and len(table.of(b"CONTEXT_DEPENDENT_SHAPE_REPRESENTATION")):
        raise NotCovered("an odd assembly")
    return _occurrences(held, placed, sorted(set(group.values())))


def _placed(
    table: Instances, source: StepText, kind: Mapping[bytes, int], group: dict[int, int], shape_of: dict[int, int],
    units: dict[int, tuple[float, float]],
) -> list[_Placed]:  # fmt: skip
    """Which shape stands in which, and how; each occurrence of the product structure must have its one placement."""
    if len({length for length, _ in units.values()}) != 1:
        raise NotCovered("an assembly of several units")
    factor = next(iter(units.values()))[0]
    relations = table.of(b"CONTEXT_DEPENDENT_SHAPE_REPRESENTATION")
    usages = table.rows(table.rows(relations, 1), 0)
    if sorted(usages.tolist()) != table.of(b"NEXT_ASSEMBLY_USAGE_OCCURRENCE").tolist():
        raise NotCovered("an odd assembly")
    if (table.kinds[table.rows(relations, 1)] != kind[b"PRODUCT_DEFINITION_SHAPE"]).any():
        raise NotCovered("an odd assembly")
    found = []
    for relation, usage in zip(table.rows(relations, 0).tolist(), usages.tolist(), strict=True):
        refs, parts = table.referred(relation).tolist(), table.referred(usage).tolist()
        if not _RELATION.match(table.text(relation)) or len(refs) != 3 or min(refs) < 0 or len(parts) != 2:
            raise NotCovered("an odd assembly")
        child, parent, transformation = refs
        whole, part = (shape_of.get(row, -1) for row in parts)
        if table.kinds[transformation] != kind[b"ITEM_DEFINED_TRANSFORMATION"] or group.get(child) != part or group.get(parent) != whole:
            raise NotCovered("an odd assembly")
        ends = table.referred(transformation)
        items = (table.referred(shape)[:-1] for shape in (child, parent))
        if len(ends) != 2 or not all(end in some for end, some in zip(ends.tolist(), items, strict=True)):
            raise NotCovered("an odd assembly")
        still = Poses(np.full(1, factor), np.eye(3)[None], np.zeros((1, 3)), True, False)
        both = frames(table, ends, still, np.zeros(2, dtype=np.int64))
        turn = both.axes[..., 1].T @ both.axes[..., 0]
        found.append(_Placed(part, whole, turn, both.origins[:, 1] - turn @ both.origins[:, 0]))
    return found


def _occurrences(held: dict[int, list[tuple[int, float, float]]], placed: list[_Placed], groups: list[int]) -> Solids:
    """Every solid in every place that assemblies give it."""
    within: dict[int, list[_Placed]] = {}
    for one in placed:
        within.setdefault(one.parent, []).append(one)
    parts = {one.child for one in placed}
    waiting = [(row, _STILL, _STAYING, 0) for row in groups if row not in parts]
    found: list[tuple[int, float, float, Floats, Floats]] = []
    unfolded = 0
    while waiting:
        row, turn, shift, depth = waiting.pop(0)
        unfolded += 1
        if depth > _DEEPEST or unfolded > _MOST or len(found) > _MOST:
            raise NotCovered("an assembly that is too deep or too large")
        found += [(body, length, angle, turn, shift) for body, length, angle in held.get(row, ())]
        waiting += [(one.child, turn @ one.turn, turn @ one.shift + shift, depth + 1) for one in within.get(row, ())]
    if {body for body, *_ in found} != {body for some in held.values() for body, *_ in some}:
        raise NotCovered("an assembly without a root")
    rows, factors, angles, turns, shifts = (np.array(part) for part in zip(*found, strict=True))
    return Solids(rows, Poses(factors, turns, shifts, not placed, bool((factors == 1.0).all())), angles)


def _context(table: Instances, source: StepText, row: int) -> tuple[float, float]:
    """Millimetres and radians in the units of a context."""
    found = _UNITS.search(table.text(row))
    numbers = re.findall(rb"#(\d+)", found[1]) if found else []
    lengths = [unit for number in numbers if (unit := length_unit(source, number, 4)) is not None]
    angles = [angle for number in numbers if (angle := _angle(source, number)) is not None]
    if len(lengths) != 1 or len(angles) != 1:
        raise NotCovered("a context without its units")
    return lengths[0].millimetres_per_unit, angles[0]


def _angle(source: StepText, number: bytes) -> float | None:
    text = source.entity(number)
    if _RADIAN.search(text):
        return 1.0
    conversion = _CONVERSION.search(text)
    if conversion is None or b"PLANE_ANGLE_UNIT" not in text:
        return None
    value = _MEASURE.search(source.entity(conversion[1]))
    if value is None or not _RADIAN.search(source.entity(value[2])):
        raise NotCovered("an odd unit of angle")
    size = float(value[1])
    if not 0 < size < math.inf:
        raise NotCovered("an odd unit of angle")
    return size
