"""Version 1: slots 0-7, the exact integrals that stay the same however a part is written, moved or turned.

All are plain numbers without unit, except slot 0, which is the logarithm of millimetres.
"""

from __future__ import annotations

import math

from workers.features.flat import FlatStudy
from workers.features.group import Group
from workers.features.solid import SolidStudy, ratio

# the ratio cbrt V / sqrt A of what has no volume
_NO_VOLUME = 1e-3


def _integrals(study: SolidStudy) -> list[float]:
    """log_size ln sqrt A; log_vol_ratio ln(cbrt V / sqrt A), ln 0.001 for sheets; log_rms_ratio ln(r / sqrt A) with r the root
    mean square radius of the surface; surf_gyr_2, surf_gyr_3 sqrt(l2/l1), sqrt(l3/l1) of its second moment; vol_gyr_2,
    vol_gyr_3 the same of the solid (the surface's again for sheets).
    """
    surface, volume = study.surface_spread, study.volume_spread
    return [
        math.log(study.side) + math.log(study.extent),
        math.log(abs(study.signed_volume) ** (1 / 3) / study.side if study.has_volume else _NO_VOLUME),
        math.log(study.rms / study.side),
        ratio(surface[1], surface[0]),
        ratio(surface[2], surface[0]),
        ratio(volume[1], volume[0]),
        ratio(volume[2], volume[0]),
    ]


def _solidity(study: SolidStudy) -> list[float]:
    """solidity V / V(convex hull), 0 for sheets."""
    return [study.solidity]


def _moments(study: FlatStudy) -> list[float]:
    """log_length ln L; log_rms_ratio ln(r / L) with r the root mean square radius about the centroid; log_radius_ratio
    ln(R / r) with R the largest; gyr_2 sqrt(l2/l1) of the second moment; fourth_moment (mean d^4)^(1/4) / r.
    """
    return [
        math.log(study.length),
        math.log(study.rms) - math.log(study.length),
        math.log(study.reach),
        ratio(study.spread[1], study.spread[0]),
        study.fourth_moment,
    ]


def _hull(study: FlatStudy) -> list[float]:
    """hull_area_ratio sqrt(hull area) / r, 0 for a straight line; log_hull_perimeter_ratio ln(hull perimeter / L), at least
    ln 10^-6.
    """
    return [math.sqrt(study.hull_area), math.log(max(study.hull_perimeter * study.rms / study.length, 1e-6))]


def _direction(study: FlatStudy) -> list[float]:
    """direction_2 length-weighted mean of exp(2i angle), its magnitude."""
    return [study.harmonic(2)]


SOLID_GROUPS = (Group(7, _integrals), Group(1, _solidity))
FLAT_GROUPS = (Group(5, _moments), Group(2, _hull), Group(1, _direction))
