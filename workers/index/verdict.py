"""What a part that was found is to its query, and by which evidence: label, sizes, and the slots that keep both apart.

All slots of both families are made of lengths, areas, volumes and angles without a sign, so a part and its mirror image have one
vector: neither a distance nor a label can tell them apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.similarity import Match
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.features.scaling import scaled
from workers.index.sameness import SAME_PART, SAME_SIZE, fingerprint

# stable distance without size below which two files are worth a look as one part although they are not told as the same: a drawing
# whose curves an old release could only keep as polylines, or a solid beside a coarse mesh of it (`docs/duplicates.md`)
LIKELY: Mapping[Family, float] = {Family.SOLID: 0.02, Family.FLAT: 0.002}

_SHOWN, _LEAST_SHARE = 3, 0.01  # of the slots that contribute
_NOISE = 1e-5  # in units of scale: what float32 and the digits of text files leave of equal numbers
_INCH = 25.4

Floats32 = npt.NDArray[np.float32]


def verdict(query: Floats32, part: Floats32, family: Family, same_file: bool, one_is_a_mesh: bool, sized: bool) -> dict[str, Any]:
    """What is told of a hit beside its score, from stored vectors (d,). `one_is_a_mesh`: and the other one is exact; `sized`: size has
    a say in the distance.
    """
    difference = scaled(part, family) - scaled(query, family)
    equal = bool(np.abs(difference).max() <= _NOISE)
    if not sized:
        difference[0] = 0.0
    distance = float(np.linalg.norm(fingerprint(difference[None, :], family)))
    ratio = math.exp(float(part[0]) - float(query[0]))  # slot 0 is the logarithm of a length in both families
    alike, inch = abs(ratio - 1) <= SAME_SIZE, min(abs(ratio * _INCH - 1), abs(ratio / _INCH - 1)) <= SAME_SIZE
    match = Match.EXACT if same_file else Match.NEAR if distance >= SAME_PART[family] else Match.SAME if alike else Match.SCALED
    trusted = family is Family.FLAT or one_is_a_mesh
    likely = match is Match.NEAR and trusted and distance < LIKELY[family] and (alike or inch)
    return {
        "label": match.value,
        "equal": equal,
        "likely": likely,
        "distance": float(f"{distance:.4g}"),
        "size_ratio": float(f"{ratio:.4g}"),
        "units_suspected": inch and (match is Match.SCALED or likely),
        "slots": _contributions(query, part, np.square(difference), family),
    }


def _contributions(query: Floats32, part: Floats32, squares: npt.NDArray[np.float64], family: Family) -> list[dict[str, Any]]:
    """The slots with the largest shares of the squared distance, at most three, and both stored values; none where all that is
    left is noise.
    """
    if squares.max() <= _NOISE**2:
        return []
    total, names = float(squares.sum()), slot_names(family, FeatureVersion.V4)
    largest = [int(at) for at in np.argsort(-squares, kind="stable")[:_SHOWN] if squares[at] >= _LEAST_SHARE * total]
    return [
        {"slot": names[at], "share": round(float(squares[at]) / total, 4), "query": _told(query[at]), "part": _told(part[at])}
        for at in largest
    ]


def _told(value: np.float32) -> float:
    return float(f"{value:.6g}")
