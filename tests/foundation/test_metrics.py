"""What happened is counted under the names that were promised."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from foundation import metrics
from foundation.telemetry import (
    BreakerMoved,
    CachePrewarmed,
    CallRefused,
    CallRetried,
    EngineDegraded,
    EngineRestored,
    Event,
    LiveClosed,
    LiveDropped,
    LiveOpened,
    LivePublished,
    LiveRead,
    RecoveryTried,
    SearchDegraded,
)

COUNTED: list[tuple[Event, str, dict[str, str], float]] = [
    (EngineDegraded("load", False), "similarity_degraded_total", {"event": "degraded"}, 1),
    (EngineDegraded("load", False), "similarity_degraded_total", {"event": "flapping"}, 0),
    (EngineDegraded("load", True), "similarity_degraded_total", {"event": "flapping"}, 1),
    (EngineRestored(90.0), "similarity_degraded_total", {"event": "restored"}, 1),
    (EngineRestored(90.0), "degraded_duration_seconds_sum", {}, 90),
    (SearchDegraded(7), "similarity_degraded_total", {"event": "answered"}, 7),
    (RecoveryTried("recovered", False, ""), "faiss_recovery_attempts_total", {"result": "recovered"}, 1),
    (RecoveryTried("failed", True, "load"), "faiss_recovery_attempts_total", {"result": "failed"}, 1),
    (RecoveryTried("overtaken", False, ""), "faiss_recovery_attempts_total", {"result": "overtaken"}, 1),
    (CachePrewarmed(5, 4, 3, 2, 1), "feature_cache_prewarm_total", {"result": "loaded"}, 5),
    (CachePrewarmed(5, 4, 3, 2, 1), "feature_cache_prewarm_total", {"result": "evicted"}, 3),
    (CachePrewarmed(5, 4, 3, 2, 1), "feature_cache_prewarm_total", {"result": "left"}, 1),
    (LiveOpened("sse"), "cadmill_live_connections_total", {"door": "sse"}, 1),
    (LiveClosed("sse", "slow"), "cadmill_live_connections_ended_total", {"door": "sse", "reason": "slow"}, 1),
    (LivePublished(4), "cadmill_live_events_total", {"outcome": "published"}, 4),
    (LiveDropped(3, "ConnectionError"), "cadmill_live_events_total", {"outcome": "dropped"}, 3),
    (BreakerMoved("redis", "closed", "open", "tripped"), "cadmill_breaker_moves_total", {"call": "redis", "state": "open"}, 1),
    (CallRefused("redis", "breaker"), "cadmill_calls_refused_total", {"call": "redis", "part": "breaker"}, 1),
    (CallRetried("redis", 1, 0.1, "TimeoutError"), "cadmill_calls_retried_total", {"call": "redis"}, 1),
    (LiveRead(0.01), "cadmill_live_lag_seconds_count", {}, 1),
]


@pytest.mark.parametrize(("event", "name", "labels", "by"), COUNTED, ids=lambda value: value if isinstance(value, str) else "")
def test_an_event_counts_under_its_promised_name(event: Event, name: str, labels: dict[str, str], by: float) -> None:
    before = REGISTRY.get_sample_value(name, labels) or 0.0
    metrics.count(event)
    assert (REGISTRY.get_sample_value(name, labels) or 0.0) - before == by
