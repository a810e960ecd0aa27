"""Pairs, clusters, the duplicates report and reviews, as answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from api.shapes.jobs import Counts, Cursor, JobState
from api.shapes.parts import SHA256, ListedPart, PartLinks
from tasks.contract import Answer
from tasks.duplicates import Kind
from tasks.extraction import UnitsAnswer
from tasks.reviews import Mark
from tasks.similarity import Match


class PairSide(Answer):
    part_id: str
    name: str
    sha256: str = Field(pattern=SHA256)
    format: str


class PairSlot(Answer):
    """A slot that keeps the two apart."""

    slot: str
    share: float = Field(ge=0, le=1, description="its part of the squared distance")
    first: float
    second: float


class ReviewMark(Answer):
    mark: Mark
    by: str
    note: str
    at: datetime


class Pair(Answer):
    """Two parts, and what shows that they belong together. What a job of an older release did not tell is null."""

    first: PairSide
    second: PairSide
    label: Match
    equal: bool | None
    likely: bool | None
    score: float = Field(ge=0, le=1)
    distance: float | None
    size_ratio: float = Field(description="how many times as large the second one is")
    units_suspected: bool | None
    slots: list[PairSlot]
    review: ReviewMark | None


class LeftOut(Answer):
    """Pairs that are not told, by why."""

    rejected: int = Field(0, ge=0)
    ignored: int = Field(0, ge=0)
    deleted: int = Field(0, ge=0, description="one of the two parts is gone")


class PairPage(Answer):
    pairs: list[Pair]
    left_out: LeftOut
    job_state: JobState
    next_cursor: Cursor


class Cluster(Answer):
    id: str
    parts: list[PairSide]
    labels: dict[str, int] = Field(description="hits of its evidence by label")
    least_score: float | None
    evidence: list[Pair]
    evidence_total: int = Field(ge=0)


class ClusterPage(Answer):
    clusters: list[Cluster]
    total: int = Field(ge=0)
    left_out: LeftOut
    next_cursor: Cursor


class ComparingJob(Answer):
    id: str
    state: JobState
    input: dict[str, Any]
    created_at: datetime
    finished_at: datetime | None
    counts: Counts


class Staleness(Answer):
    parts_added: int = Field(ge=0)
    vectors_changed: int = Field(ge=0)
    stale: bool


class KindCounts(Answer):
    groups: int = Field(ge=0)
    parts: int = Field(ge=0)
    sentence: str


class DuplicatePart(ListedPart):
    size_mm: list[float] | None
    units: UnitsAnswer | None
    surface_count: int | None
    subgroup: str | None = Field(description="the group of a surer kind that it is in")
    links: PartLinks


class DuplicateGroup(Answer):
    id: str
    kind: Kind
    sentence: str
    parts: list[DuplicatePart]
    parts_total: int = Field(ge=0)
    evidence: list[Pair]
    evidence_total: int = Field(ge=0)
    rejected_within: int = Field(ge=0)


class DuplicatePage(Answer):
    job: ComparingJob | None = Field(description="null: copies only, which need no job")
    stale: Staleness
    not_compared: dict[str, int] = Field(description="parts that were not compared, by code")
    left_out: LeftOut
    kinds: dict[str, KindCounts]
    groups: list[DuplicateGroup]
    next_cursor: Cursor


class KeptReview(Answer):
    first: str = Field(pattern=SHA256)
    second: str = Field(pattern=SHA256)
    mark: Mark


class KeptReviews(Answer):
    reviews: list[KeptReview]


class Review(ReviewMark):
    first: str = Field(pattern=SHA256)
    second: str = Field(pattern=SHA256)


class ReviewPage(Answer):
    reviews: list[Review]
    next_cursor: Cursor
