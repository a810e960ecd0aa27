"""Which solids a STEP file holds, in which units, and where: the way from products to shells."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.brep.step_names import length_unit
from workers.cad.brep.step_text import StepText
from workers.cad.shape import Floats, Integers

# entities that hold geometry in other ways than this module follows
ODD = (b"BREP_WITH_VOIDS", b"FACETED_BREP", b"SHELL_BASED_SURFACE_MODEL", b"FACE_BASED_SURFACE_MODEL", b"GEOMETRIC_CURVE_SET",
       b"GEOMETRIC_SET", b"MAPPED_ITEM", b"OPEN_SHELL", b"CSG_SOLID", b"EXTRUDED_AREA_SOLID", b"REVOLVED_AREA_SOLID",
       b"SOLID_REPLICA", b"POLY_LOOP", b"FACE_SURFACE", b"ORIENTED_FACE", b"ORIENTED_CLOSED_SHELL", b"SUBFACE",
       b"NEXT_ASSEMBLY_USAGE_OCCURRENCE", b"TESSELLATED_SHAPE_REPRESENTATION", b"TESSELLATED_SOLID",
       b"CONSTRUCTIVE_GEOMETRY_REPRESENTATION", b"SHAPE_ASPECT_RELATIONSHIP", b"CONTEXT_DEPENDENT_SHAPE_REPRESENTATION")  # fmt: skip
KEYWORDS = (b"SHAPE_DEFINITION_REPRESENTATION", b"ADVANCED_BREP_SHAPE_REPRESENTATION", b"SHAPE_REPRESENTATION",
            b"SHAPE_REPRESENTATION_RELATIONSHIP", b"MANIFOLD_SOLID_BREP", b"PRODUCT_DEFINITION_SHAPE", b"PRODUCT_DEFINITION",
            b"PRODUCT_DEFINITION_WITH_ASSOCIATED_DOCUMENTS", *ODD)  # fmt: skip
_UNITS = re.compile(rb"GLOBAL_UNIT_ASSIGNED_CONTEXT\s*\(\s*\(([^()]*)\)")
_RADIAN = re.compile(rb"SI_UNIT\s*\(\s*\$\s*,\s*\.RADIAN\.\s*\)")
_CONVERSION = re.compile(rb"CONVERSION_BASED_UNIT\s*\(\s*'(?:[^']|'')*'\s*,\s*#(\d+)\s*\)")
_MEASURE = re.compile(rb"PLANE_ANGLE_MEASURE\s*\(\s*([-+0-9.Ee]+)\s*\)\s*,\s*#(\d+)")


@dataclass(frozen=True, slots=True, eq=False)
class Solids:
    rows: Integers  # (k,) of MANIFOLD_SOLID_BREPs
    factors: Floats  # (k,) millimetres in the unit of length of each
    angles: Floats  # (k,) radians in the unit of angle


def solids_of(table: Instances, source: StepText) -> Solids:
    """All solids; each must belong to exactly one representation that a product reaches."""
    if odd := table.present(ODD):
        raise NotCovered(f"it holds {odd[0].decode()}")
    told = table.of(b"SHAPE_DEFINITION_REPRESENTATION")
    if not len(told):
        raise NotCovered("it defines no shape")
    kind = {word: table.keywords.index(word) for word in KEYWORDS}
    shapes = table.rows(told, 0)
    if (table.kinds[shapes] != kind[b"PRODUCT_DEFINITION_SHAPE"]).any():
        raise NotCovered("a shape that is not of a product")
    holders = (kind[b"PRODUCT_DEFINITION"], kind[b"PRODUCT_DEFINITION_WITH_ASSOCIATED_DOCUMENTS"])
    if not np.isin(table.kinds[table.rows(shapes, 0)], holders).all():
        raise NotCovered("a shape that is not of a product")
    reached = set(table.rows(told, 1).tolist())
    links = table.of(b"SHAPE_REPRESENTATION_RELATIONSHIP")
    pairs = np.stack([table.rows(links, 0), table.rows(links, 1)], axis=1).tolist() if len(links) else []
    for _ in range(len(pairs)):
        more = {other for pair in pairs if set(pair) & reached for other in pair} - reached
        if not more:
            break
        reached |= more
    rows, factors, angles = [], [], []
    for row in sorted(reached):
        if table.kinds[row] not in (kind[b"ADVANCED_BREP_SHAPE_REPRESENTATION"], kind[b"SHAPE_REPRESENTATION"]):
            raise NotCovered("a shape of an odd kind")
        items = table.references[table.firsts[row] : table.firsts[row + 1] - 1]
        context = int(table.rows(np.array([row]), -1)[0])
        bodies = [item for item in items.tolist() if item >= 0 and table.kinds[item] == kind[b"MANIFOLD_SOLID_BREP"]]
        others = table.kinds[items[~np.isin(items, bodies)]]
        if (others != table.keywords.index(b"AXIS2_PLACEMENT_3D")).any():
            raise NotCovered("a shape of odd items")
        if bodies:
            length, angle = _context(table, source, context)
            rows += bodies
            factors += [length] * len(bodies)
            angles += [angle] * len(bodies)
    if sorted(rows) != table.of(b"MANIFOLD_SOLID_BREP").tolist() or not rows:
        raise NotCovered("solids that belong to no product, or to several")
    return Solids(np.array(rows), np.array(factors), np.array(angles))


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
