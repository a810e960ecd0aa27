"""Queues, indexes, caches, schedules, migrations, health and versions, as answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.shapes.jobs import Cursor, Reason
from tasks.contract import Answer
from tasks.schedules import CatchUp
from tasks.vocabulary import EngineState, FeatureVersion


class Paused(Answer):
    since: datetime
    by: str | None
    reason: str | None


class Queue(Answer):
    name: str
    paused: Paused | None
    depth: dict[str, int] = Field(description="chunks by state: queued, running, waiting")
    queued_by_priority: dict[str, int]
    oldest_wait_seconds: float = Field(ge=0)
    workers: int = Field(ge=0, description="chunks that workers alive can work on at once")


class Queues(Answer):
    queues: list[Queue]


class IndexEvent(Answer):
    at: datetime
    event: str
    state: EngineState
    reason: str | None


class IndexOfWorker(Answer):
    worker: str
    reported_at: datetime
    state: EngineState
    since: datetime | None
    degraded_since: datetime | None
    reason: str | None
    last_recovery_attempt: datetime | None
    next_recovery_attempt: datetime | None
    flapping: bool
    history: list[IndexEvent]


class Recovery(Answer):
    """The last recovery asked for by hand."""

    number: int
    asked_by: str
    asked_at: datetime
    running: bool
    answers: list[dict[str, Any]] = Field(description="of each worker: recovered, failed, overtaken, unneeded or refused")


class IndexHealth(Answer):
    recovery_status: Literal["healthy", "held", "recovering", "degraded", "unknown"]
    reason: str | None
    degraded_since: datetime | None
    last_recovery_attempt: datetime | None
    next_recovery_attempt: datetime | None
    flapping: bool
    history: list[IndexEvent]
    recovery: Recovery | None
    workers: list[IndexOfWorker]


class OrderedRecovery(Answer):
    number: int
    asked_at: datetime
    workers: list[str]


class CacheSetting(Answer):
    epoch: int = Field(ge=0)
    capacity: int | None = Field(description="vectors; null: as the environment of each worker says")
    ttl_seconds: float | None


class CacheRecommendation(Answer):
    capacity: int | None
    ttl_seconds: float | None
    why: list[str]
    lookups: int = Field(ge=0)
    hit_rate: float | None
    hit_rate_predicted: float | None
    bytes: int = Field(ge=0)
    bytes_predicted: int = Field(ge=0)


class CacheOfWorker(Answer):
    worker: str
    epoch: int
    reported_at: datetime
    since: datetime
    capacity: int
    ttl_seconds: float
    held: int
    bytes: int
    hits: int
    misses: int
    evicted: int
    expired: int
    expired_misses: int
    distinct_keys: int
    ghost_hits: int
    would_serve: dict[str, float]


class CacheVersion(CacheSetting):
    set_at: datetime
    set_by: str
    way: str
    before: CacheSetting | None
    rollback_until: datetime | None
    rolled_back_at: datetime | None


class CacheTuning(Answer):
    setting: CacheSetting
    taken_by_all: bool
    recommendation: CacheRecommendation
    workers: list[CacheOfWorker]
    history: list[CacheVersion]


class CacheApplied(Answer):
    dry_run: bool
    changed: bool
    before: CacheSetting
    after: CacheSetting
    rollback_until: datetime | None
    recommendation: CacheRecommendation


class CacheRolledBack(Answer):
    before: CacheSetting
    after: CacheSetting


class ListedSchedule(Answer):
    id: str
    name: str
    cron: str
    timezone: str
    job: dict[str, Any]
    catch_up: CatchUp
    catch_up_most: int
    enabled: bool
    next_at: datetime | None
    last_slot: datetime | None
    created_at: datetime
    updated_at: datetime


class ScheduleRun(Answer):
    slot: datetime
    until: datetime | None
    slots: int
    asked_by: str = Field(description="clock or hand")
    outcome: Literal["submitted", "refused", "missed"]
    job_id: str | None
    error: Reason | None
    at: datetime


class Schedule(ListedSchedule):
    next_slots: list[datetime]
    last_runs: list[ScheduleRun]


class SchedulePage(Answer):
    schedules: list[ListedSchedule]
    next_cursor: Cursor


class Neighbours(Answer):
    nearest: int
    parts: int
    mean_overlap: float | None
    least_overlap: float | None


class SlotDelta(Answer):
    family: Literal["2d", "3d"]
    slot: str
    delta: float


class MigrationPreview(Answer):
    from_version: FeatureVersion = Field(alias="from")
    to_version: FeatureVersion = Field(alias="to")
    dimension_before: int
    dimension_after: int
    dimension_delta: int
    samples: int = Field(ge=0)
    avg_delta: float | None
    median_delta: float | None
    warnings: list[Literal["large_negative_skew", "growth_spike"]]
    dimensions: int
    falling_dimensions: int
    growing_samples: int
    neighbours: Neighbours
    slots: list[SlotDelta]
    shared_slots_changed: int
    hint: str | None


class Announced(Answer):
    """What was said to all who listen, or to some."""

    text: str
    tenant: str | None = Field(description="null: all of them")
    key: str | None


class Liveness(Answer):
    status: Literal["live"]


class Readiness(Answer):
    status: Literal["ready", "degraded", "unavailable"]
    database: str = Field(description="up, or the code of what is wrong")
    redis: str = Field(description="up, or the code of what is wrong")


class ApiVersion(Answer):
    name: str = Field(examples=["v1"])
    status: Literal["current", "supported", "deprecated", "sunset"]
    address: str = Field(examples=["/api/v1"])
    features: list[str] = Field(description="what it does that others do not")
    deprecated_at: datetime | None
    sunset_at: datetime | None


class ApiVersions(Answer):
    current: str = Field(description="the version that a call gets that names none")
    versions: list[ApiVersion]
