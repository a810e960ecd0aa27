"""Prewarm: load the vectors that will be asked for into the cache of every worker process, before they are."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tasks.contract import Answer, Request
from tasks.vocabulary import FeatureVersion

_MOST = 2**53  # the largest whole number that every JSON reader tells from its neighbours


class PrewarmSelector(Request):
    feature_version: FeatureVersion | Literal["all"] | None = Field(
        None, description="empty: the server's FEATURE_VERSION; all: of every version what is asked for most per byte"
    )


class PrewarmRequest(Request):
    target: Literal["vectors"] = "vectors"
    selector: PrewarmSelector = Field(default_factory=PrewarmSelector)
    max: int | None = Field(
        None, ge=1, le=_MOST, description="most vectors a worker loads; empty: the server's PREWARM_MAX, which is also the limit"
    )
    budget_bytes: int | None = Field(None, ge=1, le=_MOST, description="most bytes of vectors a worker loads; empty: as many as fit")
    budget_seconds: float = Field(30.0, gt=0, le=600, description="how long a worker may load")


class Prewarmed(Answer):
    """What one worker process did. The measured requests are the last queries of similarity jobs (else what was asked for lately)."""

    worker: str
    result: str = Field("done", description="done; others are told in `unable`")
    loaded: int
    skipped: int = Field(description="that were there already")
    evicted: int = Field(description="that had to leave for them")
    failed: int = Field(description="that could not be read")
    left: int = Field(description="that the budget was too small for")
    cached: int = Field(description="vectors in its cache afterwards")
    epoch: int = Field(description="of the cache setting it has taken")
    requests: int = Field(description="how many requests were measured")
    hit_rate_before: float | None = Field(description="share of those requests that its cache would have answered; null: there were none")
    hit_rate_after: float | None
    first_answer_seconds_before: float | None = Field(
        description="how long it took to open the indexes and to get the vectors of the first of them, at most a hundred"
    )
    first_answer_seconds_after: float | None
    seconds: float


class PrewarmAnswer(Answer):
    """Sums over the workers, and each of them."""

    loaded: int
    skipped: int
    evicted: int
    failed: int
    left: int
    cached: int = Field(description="vectors in the cache of the worker that had the job")
    worker: str
    workers: list[Prewarmed]
    unable: list[dict[str, Any]] = Field(description="workers that tried in vain, or came too late")
    silent: list[str] = Field(description="workers that were asked and did not answer in time")
