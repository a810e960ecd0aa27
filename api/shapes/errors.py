"""The table of codes, as answered."""

from __future__ import annotations

from pydantic import Field

from foundation.codes.row import Recovery, Severity, Source, Stage
from tasks.contract import Answer


class ErrorCode(Answer):
    code: str
    source: Source = Field(description="who caused it")
    severity: Severity
    stage: Stage = Field(description="where on the way of a job it happens")
    status: int = Field(description="the HTTP status it wears")
    grpc_status: str
    retryable: bool = Field(description="a program may send the same again, and that can succeed")
    temporary: bool = Field(description="the condition passes without a change of the request")
    recovery: Recovery = Field(description="what gets over it")
    message: str
    remedy: str
    version: int = Field(ge=1, description="raised when the meaning of the code changes")
    reserved: bool = Field(description="nothing fails with it yet")


class ErrorCodes(Answer):
    codes: list[ErrorCode]
    renamed: dict[str, str] = Field(description="old names of codes, each with its present one; both may be asked for")
