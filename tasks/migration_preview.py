"""What a migration would do to vectors, measured on a sample of parts whose vectors are known in both versions.

Vectors are compared where searches compare them: scaled (`tasks/scaling.py`), in all slots of the longer version. A slot that a
vector does not have counts as 0, the median of its family: it says nothing. So, for a sample of n parts:

- delta of a part in a slot = scaled value after - scaled value before;
- delta of a dimension = the mean of that over the parts of its family. A dimension is a slot of a family (solids and drawings share
  no slot), so a mixed sample of v4 has 48;
- `avg_delta` and `median_delta` = mean and median of the deltas of all dimensions. `dimension_delta` is another thing: how many slots
  a vector gains or loses;
- a dimension falls when its delta is below 0. `large_negative_skew`: more than half of all dimensions fall;
- a part grows by (length after / length before) - 1, lengths being Euclidean over the scaled slots. `growth_spike`: more than 30 % of
  the parts grow by more than 100 %. A vector of length 0 grows by more than 100 % as soon as it has any length;
- neighbours: the 10 nearest of the sample (of the same family; all others where there are fewer) before and after, by Euclidean
  distance; the overlap is the share of those before that are there after. No gate of `workers/index/sameness.py`, which knows two
  forms of one part, is applied, and a sample is thinner than a shelf, so the neighbours of a shelf are rather less stable.

Both limits are strict: exactly half of the dimensions, exactly 30 % of the parts, exactly 100 % warn of nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import dist, hypot
from statistics import fmean, median
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from foundation.errors import Failure
from ledger import job_views, vectors
from ledger.session import Ledger
from tasks.migration import Selector
from tasks.scaling import scaled
from tasks.vocabulary import Family, FeatureVersion, slot_names

NEIGHBOURS = 10
GROWN_PERCENT = 30
_ENOUGH = 2 * NEIGHBOURS  # parts below which a sample says little
_MIGRATE_SOME = "Run a migration job with dry_run: true and sample: 200, and ask for the preview of that job."


class PreviewRequest(BaseModel):
    """What to compare: stored vectors in two versions, or the sample of a dry run."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_version: FeatureVersion | None = Field(None, alias="from")
    to_version: FeatureVersion | None = Field(None, alias="to")
    selector: Selector = Field(default_factory=Selector)
    sample: int = Field(200, ge=1, le=300, description="most parts compared")
    job: str | None = Field(None, max_length=64, description="a dry run with `sample`: compares what it computed")


@dataclass(frozen=True, slots=True)
class Compared:
    """A part's scaled vectors before and after, both as long as the longer of them."""

    family: Family
    before: tuple[float, ...]
    after: tuple[float, ...]


def preview(ledger: Ledger, tenant_id: str, asked: PreviewRequest) -> dict[str, Any]:
    """The statistics above. Raises REQUEST_INVALID, JOB_NOT_FOUND."""
    if asked.job is not None:
        with ledger.read() as tx:
            told, results = job_views.samples(tx, tenant_id, asked.job)
        source, target = FeatureVersion(told["from"]), FeatureVersion(told["to"])
        whole = [one for one in results if one.get("vector_before") and one.get("vector_after")]
        raw = [(Family(one["family"]), one["vector_before"], one["vector_after"]) for one in whole]
    else:
        if asked.from_version is None or asked.to_version is None:
            raise Failure("REQUEST_INVALID", {"fields": {"from, to": "name both versions, or a job"}})
        source, target = asked.from_version, asked.to_version
        raw = _stored(ledger, tenant_id, source, target, asked)
    return told_of(source, target, raw)


_Raw = tuple[Family, Sequence[float], Sequence[float]]


def _stored(ledger: Ledger, tenant_id: str, source: FeatureVersion, target: FeatureVersion, asked: PreviewRequest) -> list[_Raw]:
    up = target.width > source.width
    with ledger.read() as tx:
        build = next(iter(vectors.builds(tx, tenant_id, source)), "")
        selector = asked.selector.model_dump(mode="json")
        pairs = vectors.sample(tx, tenant_id, source, target if up else None, build, selector, asked.sample)
    found: list[_Raw] = []
    for pair in pairs:
        before = _floats(pair.before)
        # down is a cut, whatever is stored
        found.append((Family(pair.family), before, before[: target.width] if pair.after is None else _floats(pair.after)))
    return found


def _floats(data: bytes) -> tuple[float, ...]:
    return struct.unpack(f"<{len(data) // 4}f", data)


def told_of(source: FeatureVersion, target: FeatureVersion, raw: Sequence[_Raw]) -> dict[str, Any]:
    """The preview of (family, vector before, vector after), unscaled."""
    width, shared = max(source.width, target.width), min(source.width, target.width)
    compared = [
        Compared(family, _filled(scaled(before, family), width), _filled(scaled(after, family), width)) for family, before, after in raw
    ]
    return {
        "from": source.value,
        "to": target.value,
        "dimension_before": source.width,
        "dimension_after": target.width,
        "dimension_delta": target.width - source.width,
        **statistics(compared),
        # up is an extraction: other numbers in the slots that were there mean other units, or a file that was read otherwise
        "shared_slots_changed": sum(list(before[:shared]) != list(after[:shared]) for _, before, after in raw),
        "hint": None if len(raw) >= _ENOUGH else f"{len(raw)} part(s) have both vectors. {_MIGRATE_SOME}",
    }


def _filled(vector: tuple[float, ...], width: int) -> tuple[float, ...]:
    return vector + (0.0,) * (width - len(vector))


def statistics(sample: Sequence[Compared]) -> dict[str, Any]:
    """Deltas, warnings and neighbours of scaled vectors. Without a sample: null, and no warning."""
    slots = _slots(sample)
    deltas = [one["delta"] for one in slots]
    falling, growing = sum(delta < 0 for delta in deltas), sum(_doubled(one) for one in sample)
    warned = {"large_negative_skew": 2 * falling > len(deltas), "growth_spike": 100 * growing > GROWN_PERCENT * len(sample)}
    return {
        "samples": len(sample),
        "avg_delta": fmean(deltas) if deltas else None,
        "median_delta": median(deltas) if deltas else None,
        "warnings": [name for name, is_so in warned.items() if is_so],
        "dimensions": len(deltas),
        "falling_dimensions": falling,
        "growing_samples": growing,
        "neighbours": neighbours(sample),
        "slots": slots,
    }


def _slots(sample: Sequence[Compared]) -> list[dict[str, Any]]:
    found = []
    for family in Family:
        here = [one for one in sample if one.family is family]
        if here:
            width = len(here[0].before)
            version = next(version for version in FeatureVersion if version.width >= width)
            for slot, name in enumerate(slot_names(family, version)[:width]):
                delta = fmean(one.after[slot] - one.before[slot] for one in here)
                found.append({"family": family.value, "slot": name, "delta": delta})
    return found


def _doubled(one: Compared) -> bool:
    return hypot(*one.after) > 2 * hypot(*one.before)


def neighbours(sample: Sequence[Compared], most: int = NEIGHBOURS) -> dict[str, Any]:
    """How many of the nearest parts stay the nearest: `mean_overlap` and `least_overlap`, 0 to 1, over the parts that have neighbours."""
    overlaps: list[float] = []
    for family in Family:
        here = [one for one in sample if one.family is family]
        k = min(most, len(here) - 1)
        if k < 1:
            continue
        before = _nearest([one.before for one in here], k)
        after = _nearest([one.after for one in here], k)
        overlaps += [len(was & now) / k for was, now in zip(before, after, strict=True)]
    return {
        "nearest": most,
        "parts": len(overlaps),
        "mean_overlap": fmean(overlaps) if overlaps else None,
        "least_overlap": min(overlaps, default=None),
    }


def _nearest(points: Sequence[tuple[float, ...]], k: int) -> list[set[int]]:
    """Places of the k nearest others of each point; of equally near ones the first."""
    found = []
    for at, point in enumerate(points):
        others = ((dist(point, other), place) for place, other in enumerate(points) if place != at)
        found.append({place for _, place in nsmallest(k, others)})
    return found
