"""The verdict "same part": how often it is wrong and how often it is missed, on the half of the parts that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.quality.comparing import Shelf, Variants, apart

WRONG_AT_MOST = 0.01


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one half. `wrong`: the share of its parts that have a *different* part on the whole shelf called the same as they;
    `recall`: by kind of variant, how many there are and the share that is called the same as the original.
    """

    parts: int
    wrong: float
    recall: dict[str, tuple[int, float]]
    examples: list[tuple[str, str]]  # files of two different parts that are called one


def judged(shelf: Shelf, kinds: Sequence[Variants], held: bool) -> Verdict:
    asking = np.flatnonzero(shelf.held == held)
    table = apart(shelf.matrix[asking], shelf.matrix, shelf.family, sized=True)
    alarms = table.same & ~shelf.alike[True][asking]
    recall = {}
    for kind in kinds:
        mine = shelf.held[kind.at] == held
        if not kind.scaled_up and mine.any():
            recall[kind.name] = (int(mine.sum()), float(kind.same[mine].mean()))
    pairs = {tuple(sorted((shelf.samples[asking[one]].path.name, shelf.samples[other].path.name))) for one, other in np.argwhere(alarms)}
    wrong = float(alarms.any(axis=1).mean()) if len(asking) else 0.0
    return Verdict(len(asking), wrong, recall, [(one, other) for one, other in sorted(pairs)])
