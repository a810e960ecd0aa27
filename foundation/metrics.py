"""Events to Prometheus. Label values come from closed sets: never a tenant, a job or a name."""

from __future__ import annotations

from prometheus_client import REGISTRY as OWN
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

from foundation import telemetry
from foundation.settings import settings
from foundation.telemetry import Event

_JOBS = Counter("cadmill_jobs_accepted", "Jobs accepted", ["kind"])
_ITEMS = Counter("cadmill_items", "Items that ended", ["kind", "outcome"])
_CHUNKS = Histogram("cadmill_chunk_seconds", "Work on one chunk", ["kind", "way"], buckets=(0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 300))
_STALE = Counter("stale_commit", "Commits of overtaken attempts, refused")
_DOUBTED = Counter("cadmill_commits_doubted", "Commits told failed, by what the database said of them later", ["answer"])
_RINGS_FAILED = Counter("cadmill_rings_failed", "Doorbells that Redis did not take (they are rung again)")
_RINGS_DROPPED = Counter("cadmill_rings_dropped", "Doorbells for chunks that did not wait for one")
_REPAIRS = Counter("cadmill_repairs", "What upkeep repaired", ["what"])
_HANDED_BACK = Counter("cadmill_chunks_handed_back", "Chunks given back by a worker that was told to stop")
_SLOTS = Counter("cadmill_schedule_slots", "Slots of schedules, by what became of them", ["outcome"])
_PRUNED = Counter("cadmill_pruned", "What retention let go", ["what"])
_EXTRACTION = Histogram("feature_extraction_latency_seconds", "Reading one file and computing its vector", ["version"])
_PREVIEWS = Histogram("cadmill_preview_seconds", "Drawing the previews of one file", ["format"])
_MIGRATED = Histogram(
    "vector_migrate_dimension_delta", "Slots gained or lost by vectors that were migrated", ["way"],
    buckets=(-16, -14, -8, -6, -2, 0, 2, 6, 8, 14, 16),  # every difference that two feature versions can have
)  # fmt: skip
_GALLERIES = Counter("cadmill_galleries_made", "Galleries that workers loaded, by where from", ["source"])
_SAVED = Histogram(
    "batch_similarity_parallel_savings_seconds",
    "What searching a batch in parallel saved against its serial run, measured on a slice of it; below zero: lost",
    buckets=(-10, -1, -0.1, -0.01, 0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
_BATCHES = Counter("batch_similarity", "Batches of queries, by how they were searched", ["way"])
_CRASHES = Counter("cadmill_engine_crashes", "Processes killed by the file they read", ["quarantined"])
_ABANDONED = Counter("cadmill_work_abandoned", "Worker processes ended because they would not let go of work that was no longer theirs")
_DELAYED = Counter("cadmill_retries_delayed", "Retries that wait for the budget of a dependency", ["dependency"])
_DEGRADED = Counter(
    "similarity_degraded", "Searches without the fast index: it failed, flapped, came back, or a query was answered", ["event"]
)
_DEGRADED_SECONDS = Histogram(
    "degraded_duration_seconds", "How long exact search stood in for a failed index", buckets=(1, 10, 60, 300, 600, 1800, 3600, 7200, 86400)
)
_RECOVERIES = Counter("faiss_recovery_attempts", "Tries to get a failed index back", ["result"])
_PREWARMED = Counter("feature_cache_prewarm", "Vectors a prewarm looked at, by what became of them", ["result"])
_DELIVERIES = Counter("cadmill_delivery_tries", "Tries to deliver a webhook, by what came of them", ["state"])
_LIVE = Counter("cadmill_live_connections", "Connections that listen to live events; less those that ended: how many do now", ["door"])
_LIVE_ENDED = Counter("cadmill_live_connections_ended", "Connections that listened, by why they ended", ["door", "reason"])
_LIVE_EVENTS = Counter("cadmill_live_events", "Live events, by whether Redis took them", ["outcome"])
_LIVE_LAG = Histogram(
    "cadmill_live_lag_seconds", "From the publishing of a live event to the connections of a process",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)  # fmt: skip
_LIMITED = Counter("cadmill_rate_limits", "Rate limits asked, by tier, by what they said, and by whether Redis counted or each process", [
    "tier", "outcome", "counted_by",
])  # fmt: skip
_ALONE = Counter("cadmill_limiter_outages", "Times a process had to count for itself, because Redis was gone, or could stop", ["event"])
_MAPPED = Counter("cadmill_errors_mapped", "Exceptions that were given a code; UNKNOWN: by no rule", ["provider", "code"])
_BREAKERS = Counter("cadmill_breaker_moves", "Moves of the breakers around outgoing calls, by the state they moved to", ["call", "state"])
_REFUSED = Counter("cadmill_calls_refused", "Outgoing calls that were not made, by which part refused them", ["call", "part"])
_RETRIED = Counter("cadmill_calls_retried", "Outgoing calls that failed and were made again", ["call"])
_REQUESTS = Histogram("cadmill_http_seconds", "HTTP requests", ["method", "route", "status"])
_CALLS = Histogram("cadmill_grpc_seconds", "gRPC calls", ["method", "status"])


def count(event: Event) -> None:
    """The metrics sink."""
    match event:
        case telemetry.JobAccepted(kind=kind):
            _JOBS.labels(kind).inc()
        case telemetry.ChunkSettled():
            _ITEMS.labels(event.kind, "succeeded").inc(event.succeeded)
            _ITEMS.labels(event.kind, "failed").inc(event.failed)
            _CHUNKS.labels(event.kind, event.way).observe(event.seconds)
        case telemetry.CommitStale():
            _STALE.inc()
        case telemetry.CommitDoubted(answer=answer):
            _DOUBTED.labels(answer).inc()
        case telemetry.RingFailed(rings=rings):
            _RINGS_FAILED.inc(rings)
        case telemetry.RingDropped():
            _RINGS_DROPPED.inc()
        case telemetry.Repaired():
            _REPAIRS.labels("rescued").inc(event.rescued)
            _REPAIRS.labels("due").inc(event.due)
            _REPAIRS.labels("rung_again").inc(event.rung_again)
            _REPAIRS.labels("deliveries_rescued").inc(event.deliveries_rescued)
        case telemetry.ChunkHandedBack():
            _HANDED_BACK.inc()
        case telemetry.SlotSettled():
            _SLOTS.labels(event.outcome).inc(event.slots)
        case telemetry.Pruned():
            for what in ("jobs", "items", "chunks", "results", "slots", "deliveries", "files"):
                _PRUNED.labels(what).inc(getattr(event, what))
        case telemetry.FeaturesExtracted():
            _EXTRACTION.labels(event.version).observe(event.seconds)
        case telemetry.PreviewDrawn():
            _PREVIEWS.labels(event.format).observe(event.seconds)
        case telemetry.VectorMigrated():
            _MIGRATED.labels(event.way).observe(event.delta)
        case telemetry.GalleryMade(source=source):
            _GALLERIES.labels(source).inc()
        case telemetry.BatchSearched(way=way, saved=saved):
            _BATCHES.labels(way).inc()
            if saved is not None:
                _SAVED.observe(saved)
        case telemetry.EngineCrashed(quarantined=quarantined):
            _CRASHES.labels("yes" if quarantined else "no").inc()
        case telemetry.WorkAbandoned():
            _ABANDONED.inc()
        case telemetry.RetryDelayed(dependency=dependency):
            _DELAYED.labels(dependency).inc()
        case telemetry.EngineDegraded(flapping=flapping):
            _DEGRADED.labels("degraded").inc()
            if flapping:
                _DEGRADED.labels("flapping").inc()
        case telemetry.RecoveryTried(result=result):
            _RECOVERIES.labels(result).inc()
        case telemetry.EngineRestored(seconds=seconds):
            _DEGRADED.labels("restored").inc()
            _DEGRADED_SECONDS.observe(seconds)
        case telemetry.SearchDegraded(queries=queries):
            _DEGRADED.labels("answered").inc(queries)
        case telemetry.CachePrewarmed():
            for what in ("loaded", "skipped", "evicted", "failed", "left"):
                _PREWARMED.labels(what).inc(getattr(event, what))
        case telemetry.DeliveryTried(state=state):
            _DELIVERIES.labels(state).inc()
        case telemetry.LivePublished(events=events):
            _LIVE_EVENTS.labels("published").inc(events)
        case telemetry.LiveDropped(events=events):
            _LIVE_EVENTS.labels("dropped").inc(events)
        case telemetry.LiveRead(seconds=seconds):
            _LIVE_LAG.observe(seconds)
        case telemetry.LiveOpened(door=door):
            _LIVE.labels(door).inc()
        case telemetry.LiveClosed(door=door, reason=reason):
            _LIVE_ENDED.labels(door, reason).inc()
        case telemetry.LimitsAsked():
            by = "process" if event.alone else "redis"
            for tier in (event.refused,) if event.refused else event.tiers:
                _LIMITED.labels(tier, "refused" if event.refused else "admitted", by).inc()
        case telemetry.LimiterAlone():
            _ALONE.labels("began").inc()
        case telemetry.LimiterBack():
            _ALONE.labels("ended").inc()
        case telemetry.ErrorMapped(provider=provider, code=code):
            _MAPPED.labels(provider, code).inc()
        case telemetry.BreakerMoved(call=call, new=state):
            _BREAKERS.labels(call, state).inc()
        case telemetry.CallRefused(call=call, part=part):
            _REFUSED.labels(call, part).inc()
        case telemetry.CallRetried(call=call):
            _RETRIED.labels(call).inc()
        case telemetry.RequestAnswered():
            _REQUESTS.labels(event.method, event.route, str(event.status)).observe(event.seconds)
        case telemetry.CallAnswered():
            _CALLS.labels(event.method, event.status).observe(event.seconds)
        case _:
            pass


def exposition() -> bytes:
    """All metrics in Prometheus text form; those of every process of this machine where they share a folder."""
    return generate_latest(_everyone())


def _everyone() -> CollectorRegistry:
    if not settings().process.metrics_directory:
        return OWN
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
