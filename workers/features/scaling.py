"""From stored slots to searchable ones: fixed robust scaling, so that no slot drowns the others and no insertion changes any.

The constants ship with the package in `scaling.json`: a median and a scale (90 % quantile minus 10 % quantile) per slot.
They were fitted once; refitting them moves every distance, so it is a new feature version.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from tasks.vocabulary import Family
from workers.cad.shape import Floats

# what lies further out is far; how far must not decide a distance
CLIP = 3.0

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


def medians(family: Family) -> list[float]:
    """The median of each slot of a family, unscaled: `scaled` makes 0 of it."""
    return [float(median) for median in _constants(family)[0]]


@cache
def _constants(family: Family) -> tuple[Floats, Floats]:
    rows = json.loads(Path(__file__).with_name("scaling.json").read_text(encoding="utf-8"))[family.value]
    return np.array([row["median"] for row in rows]), np.array([row["scale"] for row in rows])
