"""Similarity: which parts look like these."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tasks.contract import Answer, Request
from tasks.vocabulary import FeatureVersion, Format


class SimilarityFilters(Request):
    format: Format | None = Field(None, description="only hits of this format")


class SimilarityRequest(Request):
    queries: tuple[str, ...] | Literal["all"] = Field(description="ids of the parts to look for, or 'all' of yours; one item each")
    top_k: int = Field(10, ge=1, le=1000, description="most hits a query")
    threshold: float = Field(0.0, ge=0, le=1, description="least score of a hit")
    filters: SimilarityFilters = Field(default_factory=SimilarityFilters)
    scale_invariant: bool = Field(False, description="leave size out: finds the same shape at another scale, or with mistaken units")
    feature_version: FeatureVersion | None = Field(None, description="empty: the server's FEATURE_VERSION")


class Hit(Answer):
    part_id: str
    name: str
    score: float = Field(ge=0, le=1, description="1 is the same")
    label: Literal["exact", "same", "scaled", "near"] = Field(
        description="exact: same bytes; same: same part in another form; scaled: the same at another size; near: alike"
    )
    size_ratio: float = Field(gt=0, description="how many times as large as the query")
    units_suspected: bool = Field(description="the same at 25.4 times the size, or a 25.4th: one of the two has its unit wrong")


class SimilarityAnswer(Answer):
    hits: list[Hit]
    engine: Literal["approximate", "exact", "pgvector", "degraded"]
    epoch: int = Field(description="number of the last change of your vectors that was known to this search; it never falls")
