"""The verdict "same part": how often it is wrong, and how often it is missed, for any limit of the stable distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.ranking import Flags, Floats

LIMITS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05)
WRONG_AT_MOST = 0.01
_STEP = 0.0005


@dataclass(frozen=True, slots=True)
class Verdict:
    """`wrong` is the share of parts that have a *different* part within the limit, `recall` that of variants within it."""

    limit: float
    wrong: float
    recall: dict[str, float]


def alarms(near: Floats, alike: Flags) -> Floats:
    """Of each part of a square table, the distance of the nearest different part."""
    return np.asarray(np.where(alike, np.inf, near).min(axis=1))


def judged(nearest_other: Floats, own: dict[str, Floats], limit: float) -> Verdict:
    """`own` holds, for each kind of variant, the distances of the variants from their originals."""
    recall = {name: float((distances < limit).mean()) for name, distances in own.items()}
    return Verdict(limit, float((nearest_other < limit).mean()), recall)


def widest(nearest_other: Floats) -> float:
    """The largest limit, in steps of 0.0005, that keeps the share of wrong verdicts; 0 when even equality misleads too many."""
    allowed = int(len(nearest_other) * WRONG_AT_MOST)
    limit = float(np.sort(nearest_other)[allowed]) if allowed < len(nearest_other) else np.inf
    return min(int(limit / _STEP) * _STEP, 1.0) if np.isfinite(limit) else 1.0
