"""Whether two vectors show one part: how near that brings them in a ranking, and whether to say so.

All functions take scaled vectors of any version, (n, d) against (d,); without size, slot 0 is 0 in both.

"Same" is a verdict and can be wrong. Of 977 solids that the limit was not chosen on, 0.9 % have a *different* part on a shelf of 1969
within it (0.8 % in version 1, which lacks a stable slot; 1.2 % without size), of 152 drawings none; it knows 99 % of the
STEP and 98 % of the finely meshed STL that Open CASCADE made of them, but half of the coarse meshes. `make quality` measures it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tasks.vocabulary import Family
from workers.features.scaling import stable_slots

GATE = 0.15
# stable distance below which two files are called the same part; `python -m bench.quality.fit_sameness` chose it
SAME_PART: Mapping[Family, float] = {Family.SOLID: 0.004, Family.FLAT: 0.001}

# part of the size by which two forms of one part may differ in it
SAME_SIZE = 0.01

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
    return Nearness(plain, stable, gated(plain, stable, family), stable < SAME_PART[family])


def fingerprint(matrix: Floats, family: Family) -> Floats:
    """The columns whose Euclidean distance is the stable distance, (n, s)."""
    return matrix[:, [slot for slot in stable_slots(family) if slot < matrix.shape[1]]]


def gated(plain: Floats, stable: Floats, family: Family) -> Floats:
    """plain * clip(stable, SAME_PART, GATE) / GATE. Two forms of one part agree in the stable slots, so the gate closes for them, while
    the order of merely similar parts stays as it is. It never closes wholly: below the limit the stable distance is noise, and
    among parts that it cannot tell apart all slots decide.
    """
    return np.asarray(plain * np.clip(stable, SAME_PART[family], GATE) / GATE)


def candidates(plain: Floats, stable: Floats, depth: int) -> Integers:
    """Places of the `depth` nearest by all slots and of the `depth` nearest by the stable ones, each once: what must be ranked
    for the first places to be right. (n,) each.
    """
    if len(plain) <= depth:
        return np.arange(len(plain))
    return np.union1d(np.argpartition(plain, depth - 1)[:depth], np.argpartition(stable, depth - 1)[:depth])


def _length(difference: Floats) -> Floats:
    return np.asarray(np.sqrt(np.square(difference).sum(axis=1)))
