"""Migration: bring vectors to another feature version. Down is an exact prefix; up is a new extraction, never padding."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from tasks.contract import Answer, Request
from tasks.vocabulary import FeatureVersion, Format


class Selector(Request):
    """Which parts: the named ones, or those that match every given field; nothing given: all."""

    parts: tuple[str, ...] = Field((), description="ids of parts")
    format: Format | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class MigrationRequest(Request):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    from_version: FeatureVersion = Field(alias="from")
    to_version: FeatureVersion = Field(alias="to")
    selector: Selector = Field(default_factory=Selector)
    dry_run: bool = Field(False, description="tell what would be done, and store nothing")


class MigrationAnswer(Answer):
    way: Literal["present", "prefix", "extraction"] = Field(
        description="it was there already; cut from a longer vector; computed from the file"
    )
    delta: int = Field(description="slots gained (or lost)")
    stored: bool
    feature_version: FeatureVersion
    engine_build: str
