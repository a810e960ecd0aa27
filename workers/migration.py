"""How a vector gets from one feature version to another: a decision, an exact cut, and an honest stop-gap for files that are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from foundation.errors import Failure
from ledger import vectors
from ledger.session import Tx
from ledger.vectors import CUT, EXTRACTED, PROJECTED, Stored
from tasks.extraction import AS_THE_FILE_SAYS, UnitsAsked
from tasks.scaling import constants
from tasks.vocabulary import Family, FeatureVersion, slot_names
from workers.features.extraction import ENGINE_BUILD
from workers.features.packing import packed, unpacked

Held = Mapping[str, Stored]
"""What is stored of one file, by feature version."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`made` is the result in the target version where it needs no new extraction; `units` are those to extract with."""

    way: Literal["present", "prefix", "extraction", "projection"]
    made: Stored | None = None
    units: UnitsAsked = AS_THE_FILE_SAYS


def plan(source: FeatureVersion, target: FeatureVersion, held: Held, file_there: bool, allow_projection: bool) -> Plan:
    """A native vector in `target` is kept; a longer one is cut, that in `source` before any other, then the shortest; else the file is
    read. Without the file the longest vector is projected, where that is allowed. Raises FILE_MISSING where it is not, or there is none.
    """
    here = held.get(target)
    if here is not None and here.provenance != PROJECTED:
        return Plan("present", here)
    order = [source, *(version for version in FeatureVersion if version is not source)]
    longer = next((held[version] for version in order if version in held and _computed(held[version].result) >= target.width), None)
    if longer is not None:
        return Plan("prefix", Stored(cut(longer.result, target), CUT))
    known = [held[version] for version in order if version in held]
    if file_there:
        return Plan("extraction", units=UnitsAsked(**known[0].result["units_asked"]) if known else AS_THE_FILE_SAYS)
    if not known or not allow_projection:
        why = "the input has allow_projection: false" if known else "there is no vector to project from"
        raise Failure("FILE_MISSING", {"projection": why})
    longest = max(known, key=lambda stored: _computed(stored.result))
    if here is not None and _computed(here.result) == _computed(longest.result):
        return Plan("present", here)
    return Plan("projection", Stored(projected(longest.result, target), PROJECTED))


def cut(result: dict[str, Any], target: FeatureVersion) -> dict[str, Any]:
    """A result in its own or a shorter version: versions are prefixes, so the numbers are bit for bit those of an extraction.

    Of a projected result at most as many slots may be kept as were computed."""
    return {name: value for name, value in result.items() if name != "imputed_slots"} | {
        "feature_version": target.value,
        "vector": result["vector"][: target.width],
        "missing_slots": {},
        "slots": {name: result["slots"][name] for name in slot_names(Family(result["family"]), target)},
    }


def projected(result: dict[str, Any], target: FeatureVersion) -> dict[str, Any]:
    """A result in a longer version: what was computed of it, then the median of its family in every further slot, which `imputed_slots`
    names. Scaled that is 0, where a slot says nothing; a raw 0 would be a claim (of a part without faces, say).
    """
    computed, family = _computed(result), Family(result["family"])
    names = slot_names(family, target)
    filled = unpacked(packed(constants(family)[0][computed : target.width])).tolist()
    vector = [*result["vector"][:computed], *filled]
    return result | {
        "feature_version": target.value,
        "vector": vector,
        "missing_slots": {},
        "slots": dict(zip(names, vector, strict=True)),
        "imputed_slots": list(names[computed:]),
    }


def _computed(result: Mapping[str, Any]) -> int:
    """How many slots were computed from the file: all of a native vector, the first ones of a projected one."""
    return len(result["vector"]) - len(result.get("imputed_slots", ()))


def told(source: FeatureVersion, target: FeatureVersion, held: Held, chosen: Plan, stored: bool) -> dict[str, Any]:
    """The answer of one item, as `tasks.migration.MigrationAnswer` describes it."""
    before = len(held[source].result["vector"]) if source in held else None
    return {
        "way": chosen.way,
        "dimension_before": before,
        "dimension_after": target.width,
        "delta": None if before is None else target.width - before,
        "provenance": EXTRACTED if chosen.made is None else chosen.made.provenance,
        "imputed_slots": [] if chosen.made is None else chosen.made.result.get("imputed_slots", []),
        "stored": stored,
        "feature_version": target.value,
    }


def sampled(before: Stored | None, after: dict[str, Any]) -> dict[str, Any]:
    """What the answer of a part of the sample has besides, for `tasks.migration_preview`."""
    return {
        "family": after["family"],
        "vector_before": None if before is None or before.provenance == PROJECTED else before.result["vector"],
        "vector_after": None if after.get("imputed_slots") else after["vector"],
    }


def expected_seconds(tx: Tx, tenant_id: str, sha256s: Sequence[str], held: Mapping[str, Held]) -> dict[str, float]:
    """How long the extraction of each file should take: as its stored results say, else the median of its format. Files of whose
    format nothing is stored are not in it."""
    expected = {sha256: max(float(one.result["seconds"]) for one in here.values()) for sha256, here in held.items() if here}
    unknown = [sha256 for sha256 in sha256s if sha256 not in expected]
    if unknown:
        typical, formats = vectors.typical_seconds(tx, tenant_id, ENGINE_BUILD), vectors.formats(tx, unknown)
        expected |= {sha256: typical[formats[sha256]] for sha256 in unknown if formats.get(sha256) in typical}
    return expected


def estimated(seconds: float | None) -> dict[str, float]:
    """What one extraction of a dry run adds to the summary of its job."""
    return {"unmeasured": 1} if seconds is None else {"work_seconds": seconds}
