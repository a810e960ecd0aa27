"""Extraction: features of parts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tasks.contract import Answer, Request
from tasks.vocabulary import FeatureVersion


class ExtractionRequest(Request):
    parts: tuple[str, ...] = Field(min_length=1, description="ids of the parts; one item each, in this order")
    feature_version: FeatureVersion | None = Field(
        None, description="v1 (8 slots), v2 (16), v3 (22) or v4 (24); empty: the server's FEATURE_VERSION"
    )
    force: bool = Field(False, description="compute anew what is already known")
    previews: bool = Field(False, description="draw pictures too, where there are none yet; takes 0.02 to 0.3 s a file of usual size")


class Box(Answer):
    min: list[float]
    max: list[float]


class UnitsAnswer(Answer):
    name: str
    millimetres_per_unit: float
    origin: Literal["file", "given", "assumed"]
    confidence: float = Field(ge=0, le=1)


class ExtractionAnswer(Answer):
    """Lengths in mm, areas in mm², volumes in mm³."""

    format: str
    family: Literal["2d", "3d"]
    feature_version: FeatureVersion
    vector: list[float]
    slots: dict[str, float]
    surface_count: int
    shape_entropy: float = Field(ge=0, le=1)
    bounding_box: Box
    units: UnitsAnswer
    findings: list[dict[str, Any]]
    facts: dict[str, Any]
    engine_build: str
    seconds: float
    preview_seconds: float = Field(0.0, description="what drawing the previews cost on top; 0 when they were there already")
