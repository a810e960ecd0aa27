"""Make a process ready before it is asked: open its galleries, load the vectors that will be asked for, and measure what that was worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from foundation.telemetry import CachePrewarmed, emit, logger
from ledger import fleet, heat
from ledger.epochs import Shelf
from ledger.heat import Hot
from tasks.vocabulary import Family, FeatureVersion
from workers.cache.store import VectorKey
from workers.index.contract import IndexFailure
from workers.index.process import searching
from workers.work import Work
from workers.worker import Worker

_BITE = 100  # vectors read at once: between two bites the budget is looked at
_MEASURED = 1000  # requests
_GRACE_SECONDS = 15.0  # how long after its budget a worker may still answer: it looks for orders every two seconds
_FIRST = 100  # of them, whose vectors are one answer


def prewarm(worker: Worker, tenant_id: str, build: str, told: dict[str, Any]) -> dict[str, Any]:
    """Answers `tasks.prewarm.Prewarmed`. `told`: feature_versions, max, budget_bytes, budget_seconds.

    Raises DATABASE_UNAVAILABLE.
    """
    clock, cache, versions = worker.clock, worker.vectors, told["feature_versions"]
    started = clock.tick()

    def key(one: Hot) -> VectorKey:
        return VectorKey(tenant_id, one.sha256, FeatureVersion(one.feature_version), build, one.written)

    def rate(requests: Sequence[Hot]) -> float | None:
        held = cache.holds(map(key, requests))
        return round(sum(key(one) in held for one in requests) / len(requests), 6) if requests else None

    def first_answer(requests: Sequence[Hot]) -> float | None:
        """What a search does before it ranks. Vectors are not kept: else the measuring would do the work; galleries stay open."""
        begun, first = clock.tick(), list(dict.fromkeys(requests))[:_FIRST]
        _open(worker, tenant_id, build, versions)
        held = cache.holds(map(key, first))
        with worker.ledger.read() as tx:
            heat.load(tx, tenant_id, build, [one for one in first if key(one) not in held])
        return round(clock.tick() - begun, 6) if requests else None

    with worker.ledger.read() as tx:
        chosen = heat.hottest(tx, tenant_id, build, versions, min(told["max"], cache.capacity))
        requests = heat.queries(tx, tenant_id, build, versions, _MEASURED) or chosen
    answer: dict[str, Any] = {
        "worker": worker.name,
        "epoch": cache.epoch,
        "requests": len(requests),
        "hit_rate_before": rate(requests),
        "first_answer_seconds_before": first_answer(requests),
    }
    held = cache.holds(map(key, chosen))
    wanted = [one for one in chosen if key(one) not in held]
    loaded, tried = _load(worker, tenant_id, build, wanted, told)
    # the most urgent are used last, so they leave last
    cache.touch(key(one) for one in reversed(chosen) if key(one) in held)
    put = cache.put((key(one), vector) for one, vector in reversed(loaded.items()))
    counts = {
        "loaded": put.loaded,
        "skipped": len(held),
        "evicted": put.evicted,
        "failed": tried - len(loaded),
        "left": len(wanted) - tried,
    }
    emit(CachePrewarmed(**counts))
    return (
        answer
        | counts
        | {
            "cached": len(cache),
            "hit_rate_after": rate(requests),
            "first_answer_seconds_after": first_answer(requests),
            "seconds": round(clock.tick() - started, 6),
        }
    )


def prewarm_fleet(work: Work, build: str, payload: dict[str, Any]) -> dict[str, Any]:
    """The same here, and ordered from every other process alive. Answers `tasks.prewarm.PrewarmAnswer`. Raises `Overtaken`."""
    worker, tenant_id = work.worker, work.claimed.tenant_id
    # a job queued by an older cadmill names one version and no budget
    older = {"feature_versions": [payload.get("feature_version")], "budget_bytes": None, "budget_seconds": 30.0}
    told = older | payload
    patience = told["budget_seconds"] + _GRACE_SECONDS
    with worker.ledger.write() as tx:
        order = fleet.give(tx, fleet.PREWARM, tenant_id, work.claimed.job_id, told | {"asker": worker.name}, patience)
        asked = {report.process for report in fleet.alive(tx)} - {worker.name}
    until = worker.clock.tick() + patience
    told_by = {worker.name: {"result": "done"} | prewarm(worker, tenant_id, build, told)}
    alive = asked
    while (asked & alive) - told_by.keys() and worker.clock.tick() < until:
        work.rest(0.2)
        with worker.ledger.read() as tx:
            told_by |= fleet.answers(tx, order.number)
            alive = {report.process for report in fleet.alive(tx)}
    workers = [told_by[name] for name in sorted(told_by) if told_by[name]["result"] == "done"]
    unable = [{"worker": name} | told_by[name] for name in sorted(told_by) if told_by[name]["result"] != "done"]
    sums = {word: sum(one[word] for one in workers) for word in ("loaded", "skipped", "evicted", "failed", "left")}
    here = {"cached": len(worker.vectors), "worker": worker.name}
    return sums | here | {"workers": workers, "unable": unable, "silent": sorted(asked - told_by.keys())}


def _open(worker: Worker, tenant_id: str, build: str, versions: Sequence[str]) -> None:
    """The galleries of these versions, as new as the ledger, with the indexes that most searches use."""
    for version in versions:
        try:
            with searching(worker).galleries.held(Shelf(tenant_id, version, build)) as held:
                for family in Family:
                    if held.gallery.size(family):
                        held.open(family, sized=True)
        except IndexFailure as failure:  # searches will tell; what can be loaded is
            logger.warning("a gallery could not be opened ahead: %s", failure)


def _load(worker: Worker, tenant_id: str, build: str, wanted: Sequence[Hot], told: dict[str, Any]) -> tuple[dict[Hot, bytes], int]:
    """As many of these as the budget has room for, the first ones; and how many were tried."""
    most, until = told["budget_bytes"], worker.clock.tick() + told["budget_seconds"]
    loaded: dict[Hot, bytes] = {}
    size = tried = 0
    for start in range(0, len(wanted), _BITE):
        bite = wanted[start : start + _BITE]
        if worker.clock.tick() >= until:
            break
        with worker.ledger.read() as tx:
            found = heat.load(tx, tenant_id, build, bite)
        for one in bite:
            vector = found.get(one, b"")
            if most is not None and size + len(vector) > most:
                return loaded, tried
            tried += 1
            if len(vector) == 4 * FeatureVersion(one.feature_version).width:  # else it is gone, or no vector of its version
                loaded[one] = vector
                size += len(vector)
    return loaded, tried
