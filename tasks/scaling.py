"""The constants of the scaled space: a median and a scale (90 % quantile minus 10 % quantile) per slot of a family, in `scaling.json`.

They were fitted once; refitting them moves every distance, so it is a new feature version. Plain numbers, for whoever has no numpy.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from tasks.vocabulary import Family

# what lies further out is far; how far must not decide a distance
CLIP = 3.0


@cache
def constants(family: Family) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Medians and scales of the slots of a family, in order."""
    rows = json.loads(Path(__file__).with_name("scaling.json").read_text(encoding="utf-8"))[family.value]
    return tuple(row["median"] for row in rows), tuple(row["scale"] for row in rows)


def scaled(vector: Sequence[float], family: Family) -> tuple[float, ...]:
    """clip((x - median) / scale, -3, 3) slot by slot for one vector of any version; numbers without unit."""
    median, scale = constants(family)
    return tuple(max(-CLIP, min(CLIP, (x - m) / s)) for x, m, s in zip(vector, median, scale, strict=False))
