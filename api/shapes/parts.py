"""Parts and uploads, as answered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from api.shapes.jobs import Cursor, Reason
from tasks.contract import Answer
from tasks.extraction import ExtractionAnswer
from tasks.vocabulary import FeatureVersion, Format

SHA256 = "^[0-9a-f]{64}$"


class NamedPart(Answer):
    id: str = Field(examples=["part_01KB2C3D4E5F"])
    name: str
    sha256: str = Field(pattern=SHA256)
    format: Format
    bytes: int = Field(ge=0)


class _FromArchive(Answer):
    archive: str = Field("", description="name of the archive it came in, if it did")
    folder: str = Field("", description="where in the archive it was")


class UploadedPart(NamedPart, _FromArchive):
    pass


class RefusedFile(_FromArchive):
    name: str
    error: Reason


class Upload(Answer):
    """One entry a file, in the order they were sent."""

    parts: list[UploadedPart | RefusedFile]


class ListedPart(NamedPart):
    labels: dict[str, str]
    created_at: datetime


class PartPage(Answer):
    parts: list[ListedPart]
    next_cursor: Cursor


class StoredVector(Answer):
    feature_version: FeatureVersion
    engine_build: str
    provenance: Literal["extracted", "cut", "projected"]
    result: ExtractionAnswer
    created_at: datetime


class PartLinks(Answer):
    self: str
    preview_png: str = Field("", description="once a picture was drawn")
    preview_svg: str = Field("", description="once a picture was drawn")


class Part(ListedPart):
    vectors: list[StoredVector]
    links: PartLinks


class QuarantinedPart(Answer):
    id: str
    name: str


class QuarantinedFile(Answer):
    key: str
    sha256: str = Field(pattern=SHA256)
    engine_build: str
    crashes: int = Field(ge=0)
    last_at: datetime
    until: datetime
    parts: list[QuarantinedPart]


class QuarantinePage(Answer):
    files: list[QuarantinedFile]
    next_cursor: Cursor
