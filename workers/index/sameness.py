"""Whether two vectors show one part: how near that brings them in a ranking, and whether to say so.

All functions take scaled vectors of any version, (n, d) against (d,); without size, slot 0 is 0 in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.vocabulary import Family
from workers.features.scaling import stable_slots

GATE = 0.15
# what writing a part anew moves the stable slots by: a smaller stable distance tells nothing, there all slots decide
FLOOR = 0.02
# stable distance below which two files are called the same part
SAME_PART: Mapping[Family, float] = {Family.SOLID: 0.012, Family.FLAT: 0.005}

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Nearness:
    """From a query to each of n rows."""

    plain: Floats  # over all slots
    stable: Floats  # over those that survive a change of format or pose
    gated: Floats  # what ranks
    same: Flags  # the verdict


def nearness(matrix: Floats, query: Floats, family: Family) -> Nearness:
    difference = matrix - query
    plain = _length(difference)
    stable = _length(fingerprint(difference, family))
    return Nearness(plain, stable, gated(plain, stable), stable < SAME_PART[family])


def fingerprint(matrix: Floats, family: Family) -> Floats:
    """The columns whose Euclidean distance is the stable distance, (n, s)."""
    return matrix[:, [slot for slot in stable_slots(family) if slot < matrix.shape[1]]]


def gated(plain: Floats, stable: Floats) -> Floats:
    """plain * clip(stable, FLOOR, GATE) / GATE."""
    return np.asarray(plain * np.clip(stable, FLOOR, GATE) / GATE)


def candidates(plain: Floats, stable: Floats, depth: int) -> Integers:
    """Places of the `depth` nearest by all slots and of the `depth` nearest by the stable ones, each once: what must be ranked
    for the first places to be right. (n,) each.
    """
    if len(plain) <= depth:
        return np.arange(len(plain))
    return np.union1d(np.argpartition(plain, depth - 1)[:depth], np.argpartition(stable, depth - 1)[:depth])


def _length(difference: Floats) -> Floats:
    return np.asarray(np.sqrt(np.square(difference).sum(axis=1)))
