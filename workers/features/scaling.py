"""From stored slots to searchable ones: fixed robust scaling, so that no slot drowns the others and no insertion changes any.

The constants ship with the package (`tasks/scaling.json`).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from tasks.scaling import CLIP, constants
from tasks.vocabulary import Family
from workers.cad.shape import Floats

_STABLE: dict[Family, tuple[int, ...]] = {Family.SOLID: (0, 1, 2, 3, 4, 5, 6, 7, 15), Family.FLAT: (0, 1, 2, 3, 4, 5, 6)}


def scaled(vectors: ArrayLike, family: Family) -> Floats:
    """clip((x - median) / scale, -3, 3) slot by slot for vectors (n, d) or (d,) of any version; numbers without unit.

    Raises ValueError when d is more than the family has slots.
    """
    table = np.asarray(vectors, dtype=np.float64)
    median, scale = _constants(family)
    width = table.shape[-1]
    if width > len(median):
        raise ValueError(f"{width} slots, the family has {len(median)}")
    return np.asarray(np.clip((table - median[:width]) / scale[:width], -CLIP, CLIP))


def stable_slots(family: Family) -> tuple[int, ...]:
    """The slots that stay the same however a part is written and posed: those that tell whether two parts are one."""
    return _STABLE[family]


@cache
def _constants(family: Family) -> tuple[Floats, Floats]:
    median, scale = constants(family)
    return np.array(median), np.array(scale)
