"""Retrieval of like parts: labelled parts ask for the others of their label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.quality.comparing import Shelf, apart
from bench.quality.ranking import Measures, leave_one_out

# ranking, whether size counts
_SETTINGS = (("plain", True), ("stable", True), ("gated", True), ("gated", False))


@dataclass(frozen=True, slots=True)
class Classes:
    """One setting of one set of classes. `family_out`: files whose names differ only in digits have left the gallery."""

    ranking: str
    sized: bool
    family_out: bool
    labels: int
    queries: int
    measures: Measures


def classes(shelf: Shelf, chosen: Callable[[str], bool] = bool) -> list[Classes]:
    """Every part with a chosen label asks for its like among the parts with chosen labels."""
    places = [at for at, sample in enumerate(shelf.samples) if sample.label and chosen(sample.label)]
    if not places:
        return []
    labels = np.array([shelf.samples[at].label for at in places])
    kin = np.array([shelf.samples[at].kin for at in places])
    relevant = labels[:, None] == labels[None, :]
    nobody, family = np.zeros_like(relevant), kin[:, None] == kin[None, :]
    matrix, told = shelf.matrix[places], []
    for ranking, sized in _SETTINGS:
        distances = apart(matrix, matrix, shelf.family, sized).by_name[ranking]
        for family_out in (False, True):
            score = leave_one_out(distances, relevant, family if family_out else nobody)
            told.append(Classes(ranking, sized, family_out, len(set(labels)), score.queries, score.mean))
    return told
