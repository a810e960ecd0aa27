"""Jobs and their items, as answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from tasks.contract import Answer
from tasks.extraction import ExtractionAnswer
from tasks.migration import MigrationAnswer
from tasks.prewarm import PrewarmAnswer
from tasks.similarity import SimilarityAnswer
from tasks.vocabulary import Priority

JobState = Literal["queued", "running", "succeeded", "partial", "failed", "cancelled"]
ItemState = Literal["pending", "succeeded", "failed", "cancelled"]
Cursor = str | None


class Reason(Answer):
    """Why an item or a job failed."""

    code: str = Field(examples=["FILE_CORRUPT"])
    stage: str = Field(description="where on its way it happened", examples=["read"])
    message: str
    remedy: str = Field(description="what to do about it")
    retryable: bool
    context: dict[str, Any]


class Counts(Answer):
    """Items of a job by what became of them."""

    total: int = Field(ge=0)
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)
    cancelled: int = Field(ge=0)
    pending: int = Field(ge=0)


class JobLinks(Answer):
    """Addresses, in the version that was asked for."""

    self: str
    items: str
    result: str
    deliveries: str
    cancel: str
    retry: str
    pause: str
    resume: str
    rollback: str = Field("", description="of a migration only")


class ListedJob(Answer):
    """A job as lists tell it."""

    id: str = Field(examples=["job_01KB2C3D4E5F"])
    kind: str = Field(examples=["extraction"])
    state: JobState
    priority: Priority
    generation: int = Field(ge=1, description="1, and one more with each retry")
    counts: Counts
    labels: dict[str, str]
    input: dict[str, Any] = Field(description="what was asked for, without the lists that have become items")
    callback_url: str | None
    max_concurrency: int | None
    run_after: datetime | None
    paused_at: datetime | None
    deadline: datetime | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    results_pruned_at: datetime | None
    rolled_back_at: datetime | None
    summary: dict[str, Any] | None = Field(description="what came of its items, added up; of a dry run also an estimate of the work")
    error: Reason | None


class Job(ListedJob):
    links: JobLinks


class Block(Answer):
    what: str = Field(description="job_paused, queue_paused, no_worker, run_after, retry, max_concurrency or line")
    sentence: str


class WaitingChunks(Answer):
    queued: int = Field(ge=0)
    running: int = Field(ge=0)
    held: int = Field(ge=0, description="for a place within max_concurrency, or by a pause")
    later: int = Field(ge=0, description="for their time")


class Waiting(Answer):
    """Why chunks of a job wait."""

    place: int | None = Field(description="1: its turn is next")
    ahead: int | None = Field(description="chunks of others that are served before")
    blocked_by: list[Block]
    estimate_seconds: float | None = Field(description="until its next chunk starts; null: nobody can know")
    chunks: WaitingChunks
    sentence: str


class SeenJob(Job):
    waiting: Waiting | None = Field(description="null: no chunk of it waits")


class JobPage(Answer):
    jobs: list[ListedJob]
    next_cursor: Cursor


class Item(Answer):
    """One input of a job, with its own outcome. A result is that of the kind of the job."""

    index: int = Field(ge=0)
    part_id: str | None
    name: str | None = Field(description="of the part")
    state: ItemState
    attempts: int = Field(ge=0)
    error: Reason | None
    result: ExtractionAnswer | SimilarityAnswer | MigrationAnswer | PrewarmAnswer | None
    finished_at: datetime | None


class ItemPage(Answer):
    items: list[Item]
    next_cursor: Cursor


class Result(Answer):
    """A job and every item of it."""

    job: SeenJob
    items: list[Item]


class SkippedJob(Answer):
    id: str
    code: str = Field(description="why it could not be changed")


class ManyJobs(Answer):
    """What became of many jobs."""

    dry_run: bool
    matched: int = Field(ge=0)
    jobs: list[str] = Field(description="ids that were changed; on a dry run those that would be")
    skipped: list[SkippedJob]
    more: bool = Field(description="more jobs match: ask again")


class RetriedJobs(ManyJobs):
    retried: int = Field(ge=0)


class CancelledJobs(ManyJobs):
    cancelled: int = Field(ge=0)
