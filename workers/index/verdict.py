"""What is told about a hit besides its score."""

from __future__ import annotations

import math
from typing import Any

from workers.index.contract import Floats32
from workers.index.sameness import SAME_SIZE


def verdict(query: Floats32, hit: Floats32, same_file: bool, same_part: bool) -> dict[str, Any]:
    """`query` and `hit` are unscaled vectors, (width,): slot 0 is the logarithm of a length in both families."""
    ratio = math.exp(float(hit[0]) - float(query[0]))
    alike = abs(ratio - 1) <= SAME_SIZE
    label = "exact" if same_file else "near" if not same_part else "same" if alike else "scaled"
    suspected = label == "scaled" and min(abs(ratio * 25.4 - 1), abs(ratio / 25.4 - 1)) <= SAME_SIZE
    return {"label": label, "size_ratio": float(f"{ratio:.4g}"), "units_suspected": suspected}
