"""Migration: bring vectors to another feature version. Down is an exact prefix; up is a new extraction.

Where the bytes of a file are gone, a projection can be asked for: a vector filled up with medians, marked as such and never searched.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from tasks.contract import Answer, Request
from tasks.vocabulary import FeatureVersion, Format


class Selector(Request):
    """Which parts: the named ones, or those that match every given field; nothing given: all."""

    parts: tuple[str, ...] = Field((), description="ids of parts")
    format: Format | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class MigrationRequest(Request):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    from_version: FeatureVersion = Field(alias="from")
    to_version: FeatureVersion = Field(alias="to")
    selector: Selector = Field(default_factory=Selector)
    dry_run: bool = Field(False, description="tell what would be done, and store nothing")
    allow_projection: bool = Field(
        False, description="where the bytes of a file are gone: fill a shorter vector up with medians, instead of failing the item"
    )
    sample: int = Field(
        0, ge=0, le=300, description="with dry_run: compute the new vectors of so many of the parts all the same, for the preview"
    )

    @model_validator(mode="after")
    def _sampled_only_dry(self) -> MigrationRequest:
        if self.sample and not self.dry_run:
            raise ValueError("sample goes with dry_run: true")
        return self


class MigrationAnswer(Answer):
    way: Literal["present", "prefix", "extraction", "projection"] = Field(
        description="it was there already; cut from a longer vector; computed from the file; filled up, because the file is gone"
    )
    dimension_before: int | None = Field(description="slots of the part's vector in `from`; null: it had none there")
    dimension_after: int
    delta: int | None = Field(description="slots gained (or lost); null: there was nothing before")
    provenance: Literal["extracted", "cut", "projected"] = Field(
        description="of the vector in `to`; a projected one is left out of searches, galleries and statistics"
    )
    imputed_slots: list[str] = Field(description="slots of a projected vector that hold the median of its family and say nothing")
    stored: bool
    feature_version: FeatureVersion
    engine_build: str
    vector_before: list[float] | None = Field(None, description="of a part of the sample: its vector in `from`")
    vector_after: list[float] | None = Field(None, description="of a part of the sample: its vector in `to`, which is not stored")
    family: Literal["2d", "3d"] | None = Field(None, description="of a part of the sample")
