"""Prewarm: load the vectors asked for most often into the cache of the worker that takes the job."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.contract import Answer, Request
from tasks.vocabulary import FeatureVersion


class PrewarmSelector(Request):
    feature_version: FeatureVersion | None = Field(None, description="empty: the server's FEATURE_VERSION")


class PrewarmRequest(Request):
    target: Literal["vectors"] = "vectors"
    selector: PrewarmSelector = Field(default_factory=PrewarmSelector)
    max: int | None = Field(None, ge=1, description="most vectors to load; empty: the server's PREWARM_MAX, which is also the limit")


class PrewarmAnswer(Answer):
    loaded: int
    cached: int = Field(description="vectors in this worker's cache afterwards")
    worker: str
