"""Choose the limits of the verdict "same part": `python -m bench.quality.fit_sameness`, run by hand, never by the suite.

Only one half of the parts is looked at (by the hash of the name without digits), against each other; the other half reports in
`make quality`. What is printed is written into `workers/index/sameness.py` by hand, because it moves every verdict.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench.quality.__main__ import arguments, collected
from bench.quality.comparing import Shelf, Variants, mates
from bench.quality.extracted import extracted
from bench.quality.measured import Bounds, all_variants
from bench.quality.ranking import Floats
from bench.quality.verdict import WRONG_AT_MOST
from tasks.vocabulary import Family
from workers.index.sameness import SAME_PART, nearness

_STEP, _WIDEST = 0.0005, 0.05


def main() -> None:
    asked = arguments()
    collections = collected(asked)
    samples = [sample for collection in collections for sample in collection.samples if not sample.held]
    with ExitStack() as stack:
        cache = asked.cache or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cadmill-quality-")))
        found = extracted([(sample.path, "") for sample in samples], cache)
        for family in Family:
            shelf = Shelf.of(family, samples, found)
            if shelf.samples:
                _fit(shelf, all_variants(shelf, collections, cache, Bounds(asked.parts, 0, 0.0)) + mates(shelf))


def _fit(shelf: Shelf, kinds: list[Variants]) -> None:
    others = nearest_other(shelf)
    own = {kind.name: own_distances(shelf, kind) for kind in kinds if kind.count and not kind.scaled_up}
    limit = chosen(others, own)
    print(f"{shelf.family.value}: {len(others)} parts, limit {limit:g}, in force {SAME_PART[shelf.family]:g}")
    for at in sorted({limit, 0.001, 0.002, 0.003, 0.004, 0.005, 0.008, 0.012, 0.02}):
        recall = ", ".join(f"{name} {100 * (distances < at).mean():.1f} of {len(distances)}" for name, distances in own.items())
        print(f"  {at:<6g} false alarms {100 * (others < at).mean():.2f}; {recall}")


def nearest_other(shelf: Shelf) -> Floats:
    """Of each part, the stable distance of the nearest different one."""
    rows = [nearness(shelf.matrix, row, shelf.family).stable for row in shelf.matrix]
    return np.asarray(np.where(shelf.alike[True], np.inf, np.array(rows)).min(axis=1))


def own_distances(shelf: Shelf, kind: Variants) -> Floats:
    """Of each variant, the stable distance from its original."""
    return np.array([nearness(shelf.matrix[[at]], query, shelf.family).stable[0] for at, query in zip(kind.at, kind.queries, strict=True)])


def chosen(others: Floats, own: Mapping[str, Floats]) -> float:
    """Of all limits, in steps, with few enough false alarms the one with the best mean recall; the smallest of equally good ones."""
    limits = [_STEP * number for number in range(1, round(_WIDEST / _STEP) + 1)]
    allowed = [limit for limit in limits if (others < limit).mean() <= WRONG_AT_MOST] or limits[:1]
    recall = [float(np.mean([(distances < limit).mean() for distances in own.values()])) for limit in allowed]
    return round(allowed[int(np.argmax(recall))], 4)


if __name__ == "__main__":
    main()
