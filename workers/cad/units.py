"""The unit of length of a shape: what the request says of it comes first, then the file's own word, then an assumption.

A unit that is wrong by a factor of 25.4 is the commonest slip of exchanged parts. Two signs of it can be read off the sizes alone:
inches that would make a part of several metres, and bare numbers that are fractions of an inch. They only lead to a hint.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from foundation.errors import Failure
from tasks.extraction import UnitsAsked
from tasks.vocabulary import LengthUnit
from workers.cad.shape import LARGEST, Finding, FindingCode, Origin, Shape, Units

# parts of more than 100 inches are rare, drawings of 100 to 1000 mm are what most are
_INCHES_AT_MOST = 100.0
# eighths to sixty-fourths: in millimetres nobody chooses 1.375 or 2.953125, in inches everybody does
_FINEST, _EXACT, _INCH_FRACTIONS_BELOW = 64, 2e-6, 50.0


def measured_in(shape: Shape, asked: UnitsAsked) -> Shape:
    """The shape in millimetres as the request wants its numbers understood, with a hint where they look 25.4 times off.

    Raises `Failure` GEOMETRY_INVALID when the wanted unit makes it absurdly large.
    """
    own = shape.units
    given = asked.units or (asked.default_units if own.origin is Origin.ASSUMED else None)
    if given is None:
        suspected = _suspected(shape)
        if suspected is None:
            return shape
        doubtful = replace(own, suspected=suspected.value, confidence=own.confidence / 2)
        return replace(shape, units=doubtful, findings=(*shape.findings, Finding.of(FindingCode.UNITS_DOUBTFUL)))
    findings = [finding for finding in shape.findings if finding.code is not FindingCode.UNITS_ASSUMED]
    factor = given.millimetres / own.millimetres_per_unit
    if own.origin is Origin.FILE and abs(factor - 1) > 1e-9:
        findings.append(Finding.of(FindingCode.UNITS_OVERRIDDEN))
    scaled = shape if factor == 1.0 else shape.scaled(factor)
    if not (np.abs(scaled.extent) <= LARGEST).all():
        raise Failure("GEOMETRY_INVALID", {"reason": "coordinates are absurdly large in the unit asked for", "unit": given.value})
    return replace(scaled, units=Units(given.value, given.millimetres, Origin.GIVEN, 1.0), findings=tuple(findings))


def _suspected(shape: Shape) -> LengthUnit | None:
    """The unit the sizes would rather suggest. Measured on 328 STEP files in millimetres: two would be taken for inches if bare."""
    units = shape.units
    assumed, inches = units.origin is Origin.ASSUMED, units.origin is Origin.FILE and units.name == LengthUnit.INCH
    if not (assumed or inches):
        return None
    low, high = shape.extent.tolist()
    sides = [(end - begin) / units.millimetres_per_unit for begin, end in zip(low, high, strict=True)]
    if inches:
        return LengthUnit.MILLIMETRE if max(sides) > _INCHES_AT_MOST else None
    return LengthUnit.INCH if max(sides) <= _INCH_FRACTIONS_BELOW and _inch_fractions(sides) else None


def _inch_fractions(sides: list[float]) -> bool:
    """Whether all sides are binary fractions or thousandths, and one of them is a fraction that is no hundredth."""
    exact = _EXACT * (1 + max(sides))

    def multiple(side: float, step: float) -> bool:
        return abs(side - round(side / step) * step) <= exact

    if not all(multiple(side, 1 / _FINEST) or multiple(side, 0.001) for side in sides):
        return False
    return any(side > exact and multiple(side, 1 / _FINEST) and not multiple(side, 0.01) for side in sides)
