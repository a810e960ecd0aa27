"""Measures of rankings by distance. Whoever is equally far shares: what is told is the mean over all orders of the equal ones.

The measures of one query take the distances of its gallery and which of them are relevant; the query itself is not among them.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# slots are stored as float32: what differs by less is equal
_DECIMALS = 6
_NDCG_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Measures:
    """Shares 0..1: nearest neighbour, first and second tier, mean average precision, nDCG of the first ten."""

    nearest: float
    first_tier: float
    second_tier: float
    precision: float
    ndcg: float


@dataclass(frozen=True, slots=True)
class Score:
    """Mean over the queries that have anything to find, and how many these are."""

    queries: int
    mean: Measures


def measure(distances: Floats, relevant: Flags) -> Measures:
    """All measures of one query; `relevant` holds at least one True."""
    ends, sizes, found = _steps(distances, relevant)
    chance = np.repeat(found / sizes, sizes)  # of each place to be taken by a relevant one
    wanted = int(relevant.sum())
    weights = 1 / np.log2(np.arange(2, _NDCG_DEPTH + 2))
    best = float(weights[:wanted].sum())
    return Measures(
        nearest=float(chance[0]),
        first_tier=float(chance[:wanted].sum()) / wanted,
        second_tier=float(chance[: 2 * wanted].sum()) / wanted,
        precision=_average_precision(ends, sizes, found) / wanted,
        ndcg=float((chance[:_NDCG_DEPTH] * weights[: len(chance)]).sum()) / best,
    )


def _steps(distances: Floats, relevant: Flags) -> tuple[Integers, Integers, Floats]:
    """Groups of equal distance, nearest first: the places before each, its size, and how many relevant ones it has."""
    _, group = np.unique(np.round(distances, _DECIMALS), return_inverse=True)
    sizes = np.bincount(group)
    return np.cumsum(sizes) - sizes, sizes, np.bincount(group, weights=relevant)


def _average_precision(before: Integers, sizes: Integers, found: Floats) -> float:
    """Sum of the expected precisions at the places of the relevant ones."""
    total, earlier = 0.0, 0.0
    for start, size, hits in zip(before, sizes, found, strict=True):
        if hits:
            place = np.arange(size)
            # given that a relevant one takes this place, the others of its group spread evenly over the rest
            ahead = place * (hits - 1) / max(size - 1, 1)
            total += float((hits / size * (earlier + ahead + 1) / (start + place + 1)).sum())
        earlier += float(hits)
    return total


def leave_one_out(distances: Floats, relevant: Flags, hidden: Flags) -> Score:
    """Every row asks for its relevant columns among those that are not hidden from it (itself is always hidden)."""
    hidden = hidden | np.eye(len(distances), dtype=bool)
    rows = [
        astuple(measure(distances[at, ~hidden[at]], relevant[at, ~hidden[at]]))
        for at in range(len(distances))
        if (relevant[at] & ~hidden[at]).any()
    ]
    means = np.mean(rows, axis=0) if rows else np.zeros(5)
    return Score(len(rows), Measures(*(float(mean) for mean in means)))


def recall_at_one(distances: Floats, hits: Flags) -> float:
    """Mean share of hits among the nearest of each row of (queries, gallery)."""
    rounded = np.round(distances, _DECIMALS)
    nearest = rounded == rounded.min(axis=1, keepdims=True)
    return float(((nearest & hits).sum(axis=1) / nearest.sum(axis=1)).mean())
