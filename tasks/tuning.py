"""How large the feature caches should be: a recommendation from what the workers counted, applied to the fleet and taken back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import Field

from foundation.clock import iso
from foundation.engine_settings import CacheSettings
from ledger import cache_settings, fleet
from ledger.session import Ledger, Tx
from ledger.tenants import Tenant
from tasks.contract import Request

LOOKUPS = 1000  # below that many nothing is recommended
GAIN = 0.02  # of the hit rate that makes a larger cache worth its memory
ENOUGH = 0.9  # share of all that could be gained with which the smallest cache is good enough
LOSS = 0.005  # of the hit rate that a smaller cache may cost
EXPIRED = 0.02  # share of lookups that missed only because of the TTL, from which it is too short
_HISTORY = 10


class CacheChange(Request):
    """What to set; nothing given: what is recommended."""

    capacity: int | None = Field(None, ge=1, le=50_000_000, description="vectors a worker process keeps")
    ttl_seconds: float | None = Field(None, ge=0, description="how long; 0: as long as there is room")


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`capacity` and `ttl_seconds` are None where nothing should be changed; rates are None where they are not known."""

    capacity: int | None
    ttl_seconds: float | None
    why: list[str]
    lookups: int
    hit_rate: float | None
    hit_rate_predicted: float | None
    bytes: int  # of the fullest worker
    bytes_predicted: int


def recommend(counted: Sequence[dict[str, Any]]) -> Recommendation:
    """From the statistics of each cache (`VectorCache.statistics`). Pure."""
    lookups = sum(one["hits"] + one["misses"] for one in counted)
    size = max((one["bytes"] for one in counted), default=0)
    if lookups < LOOKUPS:
        why = [f"{lookups} lookups were counted since the setting was taken; fewer than {LOOKUPS} say nothing."]
        return Recommendation(None, None, why, lookups, None, None, size, size)
    rate = sum(one["hits"] for one in counted) / lookups
    capacity = max(one["capacity"] for one in counted)
    held, keys = max(one["held"] for one in counted), max(one["distinct_keys"] for one in counted)
    wanted, share, why = _size(_served(counted), capacity, held, keys)
    ttl, told = _ttl(counted, lookups)
    gained = 0.0 if wanted is None else share
    each = size / held if held else 0.0
    grown = size if wanted is None else round(each * min(wanted, max(keys, held)))
    return Recommendation(wanted, ttl, why + told, lookups, round(rate, 4), round(min(1.0, rate + gained), 4), size, grown)


def _served(counted: Sequence[dict[str, Any]]) -> dict[float, float]:
    """By share of the capacity: of all lookups, the share that caches of that size would have served."""
    weights = [(one["would_serve"], one["hits"] + one["misses"]) for one in counted if one["would_serve"]]
    total = sum(weight for _, weight in weights)
    steps = {float(step) for serve, _ in weights for step in serve}
    return {step: sum(serve[f"{step:g}"] * weight for serve, weight in weights) / total for step in sorted(steps)}


def _size(served: dict[float, float], capacity: int, held: int, keys: int) -> tuple[int | None, float, list[str]]:
    """The capacity to have (None: this one), what it changes in the hit rate, and why."""
    if not served:
        return None, 0.0, ["The sample of lookups is empty."]
    now, most = served[1.0], max(served.values())
    if most - now >= GAIN:
        step = next(step for step in served if step > 1 and served[step] - now >= ENOUGH * (most - now))
        wanted = min(round(step * capacity), max(capacity + 1, math.ceil(1.1 * keys)))
        share = served[step] - now
        return wanted, share, [f"{share:.1%} of the lookups missed what {wanted:,} vectors would have held; about {keys:,} are in use."]
    for step in (step for step in served if step < 1):
        lost = now - served[step]
        if lost <= LOSS and held > step * capacity:
            wanted = max(1, round(step * capacity))
            return wanted, -lost, [f"A cache of {wanted:,} vectors would have served all but {lost:.1%} of what this one did."]
    smaller = now - served[0.5]
    half = "half of it would do as well, but it is not that full" if smaller <= LOSS else f"half of it {smaller:.1%} less"
    return None, 0.0, [f"The size is right: four times of it would serve {most - now:.1%} more, {half}."]


def _ttl(counted: Sequence[dict[str, Any]], lookups: int) -> tuple[float | None, list[str]]:
    ttl, expired = max(one["ttl_seconds"] for one in counted), sum(one["expired_misses"] for one in counted)
    if not ttl or expired < EXPIRED * lookups:
        return None, []
    return 2 * ttl, [f"{expired / lookups:.1%} of the lookups missed a vector that was there a moment before, past its {ttl:g} s."]


def state(tx: Tx) -> dict[str, Any]:
    """The setting, who has taken it, what was counted under it, and what is recommended."""
    setting, reports = cache_settings.newest(tx), fleet.alive(tx)
    taken = [one for one in reports if one.cache_epoch == setting.epoch]
    return {
        "setting": asdict(setting),
        "taken_by_all": len(taken) == len(reports) > 0,
        "recommendation": asdict(recommend([one.cache for one in taken])),
        "workers": [{"worker": one.process, "epoch": one.cache_epoch, "reported_at": iso(one.at)} | one.cache for one in reports],
        "history": cache_settings.history(tx, _HISTORY),
    }


def apply(ledger: Ledger, admin: Tenant, asked: CacheChange, settings: CacheSettings, dry_run: bool) -> dict[str, Any]:
    """Make a new version of the setting, which every worker takes within seconds; or only tell what it would be.

    Raises CACHE_TUNING_SNAPSHOT_ACTIVE, also on a dry run: a real one would."""
    with ledger.write() as tx:
        cache_settings.check(tx)
        before = cache_settings.newest(tx)
        found = recommend([one.cache for one in fleet.alive(tx) if one.cache_epoch == before.epoch])
        told = asked if asked.model_fields_set else CacheChange(capacity=found.capacity, ttl_seconds=found.ttl_seconds)
        after = before.changed(told.capacity, told.ttl_seconds)
        changed = (after.capacity, after.ttl_seconds) != (before.capacity, before.ttl_seconds)
        until = tx.now + settings.rollback_window_seconds
        if changed and not dry_run:
            after = cache_settings.apply(tx, admin.id, admin.name, told.capacity, told.ttl_seconds, settings.rollback_window_seconds)
        return {
            "dry_run": dry_run,
            "changed": changed,
            "before": asdict(before),
            "after": asdict(after if changed else before),
            "rollback_until": iso(until) if changed and not dry_run else None,
            "recommendation": asdict(found),
        }


def rollback(ledger: Ledger, admin: Tenant) -> dict[str, Any]:
    """Bring back the setting before. Raises CACHE_TUNING_ROLLBACK_EXPIRED, CACHE_TUNING_NOTHING_APPLIED."""
    with ledger.write() as tx:
        before = cache_settings.newest(tx)
        return {"before": asdict(before), "after": asdict(cache_settings.rollback(tx, admin.id, admin.name))}
