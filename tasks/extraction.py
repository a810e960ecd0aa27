"""Extraction: features of parts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tasks.contract import Answer, Request
from tasks.vocabulary import FeatureVersion, LengthUnit


class UnitsAsked(Request):
    """What a request says of the unit of length of its files. Answers are in millimetres whatever it says."""

    units: LengthUnit | None = Field(None, description="the unit of length of the files, whatever they say of it themselves")
    default_units: LengthUnit | None = Field(None, description="the unit of files that name none; empty: millimetres, told as assumed")


AS_THE_FILE_SAYS = UnitsAsked()


class ExtractionRequest(UnitsAsked):
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
    suspected: str | None = Field(None, description="the unit the sizes would rather suggest: lengths may be 25.4 times off")


class ExtractionAnswer(Answer):
    """Lengths in mm, areas in mm², volumes in mm³.

    Where slots of the wanted feature version could not be computed, `missing_slots` says which and why, `slots` holds all others,
    and `vector` and `feature_version` are of the highest version that is whole. Counts are null where they could not be told.
    """

    format: str
    family: Literal["2d", "3d"]
    feature_version: FeatureVersion
    vector: list[float]
    slots: dict[str, float]
    missing_slots: dict[str, str]
    surface_count: int | None = Field(ge=0)
    shape_entropy: float | None = Field(ge=0, le=1)
    bounding_box: Box
    units: UnitsAnswer
    units_asked: UnitsAsked
    findings: list[dict[str, Any]]
    facts: dict[str, Any]
    engine_build: str
    bytes: int = Field(ge=0, description="of the file")
    memory_bytes: int = Field(ge=0, description="how much further than ever the file drove the memory of the process that read it")
    seconds: float
    preview_seconds: float = Field(0.0, description="what drawing the previews cost on top; 0 when they were there already")
