"""How a vector gets from one feature version to another: a decision and an exact cut, no arithmetic on numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tasks.extraction import AS_THE_FILE_SAYS, UnitsAsked
from tasks.vocabulary import Family, FeatureVersion, slot_names


@dataclass(frozen=True, slots=True)
class Plan:
    """`result` is the extraction result in the target version where it needs no new extraction; `units` are those to extract with."""

    way: Literal["present", "prefix", "extraction"]
    result: dict[str, Any] | None = None
    units: UnitsAsked = AS_THE_FILE_SAYS


def plan(source: FeatureVersion, target: FeatureVersion, present: dict[str, Any] | None, longer: dict[str, Any] | None) -> Plan:
    """`present`: the stored result in `target`; `longer`: the one in `source`. Padding is never an answer: up means extraction."""
    if present is not None:
        return Plan("present", present)
    if longer is not None and target.width <= source.width:
        return Plan("prefix", cut(longer, target))
    return Plan("extraction", units=UnitsAsked(**longer["units_asked"]) if longer else AS_THE_FILE_SAYS)


def cut(result: dict[str, Any], target: FeatureVersion) -> dict[str, Any]:
    """A result in its own or a shorter version: versions are prefixes, so the numbers are bit for bit those of an extraction."""
    return result | {
        "feature_version": target.value,
        "vector": result["vector"][: target.width],
        "missing_slots": {},
        "slots": {name: result["slots"][name] for name in slot_names(Family(result["family"]), target)},
    }
