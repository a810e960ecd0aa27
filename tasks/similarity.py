"""Similarity: which parts look like these."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tasks.contract import Answer, Request
from tasks.vocabulary import FeatureVersion, Format


class Match(StrEnum):
    """What a hit is to its query. The descriptor is blind to reflection: a mirrored part is told as the part itself."""

    EXACT = "exact"  # the same bytes
    SAME = "same"  # the same part in another file, format or pose
    SCALED = "scaled"  # the same shape at another size
    NEAR = "near"  # alike


class Sought(StrEnum):
    """What hits may be asked for, the surest first."""

    EXACT = "exact"
    SAME = "same"
    SCALED = "scaled"
    LIKELY = "likely"  # those of the near ones that are worth a look as the same part
    NEAR = "near"


def is_sought(told: Mapping[str, Any], matches: Collection[Sought]) -> bool:
    """Whether a hit is one of these. What a job of an older release has not told counts as not so."""
    return told["label"] in matches or (Sought.LIKELY in matches and bool(told.get("likely")))


class SimilaritySelector(Request):
    """The parts that match every given field."""

    labels: dict[str, str] = Field(default_factory=dict, max_length=50, description="labels the parts were uploaded with")
    format: Format | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.labels and self.format is None:
            raise ValueError("name labels or a format; for all parts say 'all'")
        return self


class SimilarityFilters(Request):
    format: Format | None = Field(None, description="only hits of this format")
    labels: dict[str, str] = Field(default_factory=dict, max_length=50, description="only hits with these labels")
    matches: tuple[Sought, ...] = Field((), description="only hits that are told as one of these; empty: all")


class SimilarityRequest(Request):
    queries: tuple[str, ...] | Literal["all"] | SimilaritySelector = Field(
        description="the parts to look for, one item each: their ids, 'all' of yours (all against all), or the labels and format they have"
    )
    top_k: int = Field(10, ge=1, le=1000, description="most hits a query")
    threshold: float = Field(0.0, ge=0, le=1, description="least score of a hit")
    filters: SimilarityFilters = Field(default_factory=SimilarityFilters)
    scale_invariant: bool = Field(False, description="leave size out: finds the same shape at another scale, or with mistaken units")
    feature_version: FeatureVersion | None = Field(None, description="empty: the server's FEATURE_VERSION")
    include_self: bool = Field(False, description="the query is a hit of itself; other parts with its content always are")
    distinct: bool = Field(False, description="ask once for parts of one content, and show one of them where they are hits")
    extract: bool = Field(
        True,
        description="extract queries that have no vector in this version yet; else they fail with DATA_NOT_FOUND. Of two that are "
        "extracted in one job the one may be a hit of the other only, so its pairs are complete, its lists of hits may not be",
    )


class Slot(Answer):
    """A slot that keeps two vectors apart."""

    slot: str
    share: float = Field(ge=0, le=1, description="its part of the squared distance over all slots")
    query: float
    part: float


class Hit(Answer):
    part_id: str
    name: str
    score: float = Field(ge=0, le=1, description="1 is the same; equal for both parts of a pair, whatever else is there")
    label: Match = Field(
        description="exact: same bytes; same: same part in another form, or its mirror image; scaled: the same at another size; near: alike"
    )
    equal: bool = Field(description="all slots are equal, size included, but for float noise")
    likely: bool = Field(description="near, but perhaps the same part: a drawing with curves made straight, or a solid and a coarse mesh")
    distance: float = Field(ge=0, description="over the slots that survive another format or pose, which decide about 'same'")
    size_ratio: float = Field(gt=0, description="how many times as large as the query")
    units_suspected: bool = Field(description="the same at 25.4 times the size, or a 25.4th: one of the two has its unit wrong")
    slots: list[Slot] = Field(description="the slots that contribute most to the distance, the largest share first; none: there is none")


class SimilarityAnswer(Answer):
    hits: list[Hit]
    engine: Literal["approximate", "exact", "pgvector", "degraded"]
    epoch: int = Field(description="number of the last change of your vectors that was known to this search; it never falls")
    unseen: int = Field(
        0, ge=0, description="parts that might have been hits, but had no vector in this version when this query was answered"
    )


def resolved(request: SimilarityRequest, version: FeatureVersion) -> dict[str, Any]:
    """The request as a job keeps it: without the queries, which have become its items, but telling whether they were all parts."""
    asked = request.model_dump(mode="json", exclude={"queries"})
    return asked | {"feature_version": request.feature_version or version, "all_against_all": request.queries == "all"}
