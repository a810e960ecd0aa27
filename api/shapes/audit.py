"""The audit trail, as answered."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from api.shapes.jobs import Cursor
from tasks.contract import Answer

Outcome = Literal["done", "failed", "refused"]


class AuditLine(Answer):
    """Who did what to what, from where, and how it went."""

    chain: str = Field(description="id of a tenant, or store")
    number: int | None = Field(description="its place in the chain; null: nobody wrote it through cadmill")
    seq: int = Field(description="its place among the lines of all chains")
    at: datetime
    actor: str
    action: str = Field(examples=["job.accepted"])
    subject: str
    outcome: Outcome
    origin: str = Field(description="the address that asked")
    request_id: str
    detail: dict[str, Any]
    hash: str


class AuditPage(Answer):
    lines: list[AuditLine]
    next_cursor: Cursor


class ChainBreak(Answer):
    """A place at which a chain does not hold."""

    chain: str
    number: int = Field(description="of the line")
    through: int = Field(description="the last line it is about")
    kind: str = Field(examples=["changed"])
    message: str
    remedy: str


class AnchorsCompared(Answer):
    compared: int = Field(ge=0)
    last_at: datetime | None
    key: str | None = Field(description="that verifies the anchors")


class AuditVerdict(Answer):
    whole: bool
    chains: int = Field(ge=0)
    lines: int = Field(ge=0)
    let_go: dict[str, int] = Field(description="by chain: lines up to this number are no longer kept")
    open_ended: list[str] = Field(description="chains whose end is told by nothing")
    anchors: AnchorsCompared
    broken: int = Field(ge=0)
    breaks: list[ChainBreak] = Field(description="the first ones of each chain")


class DayOfTrail(Answer):
    day: date
    who: str
    action: str
    outcome: Outcome
    lines: int = Field(ge=0)


class NotDone(Answer):
    action: str
    outcome: Outcome
    who: str
    origin: str
    lines: int = Field(ge=0)


class ToldSubject(Answer):
    subject: str
    lines: int = Field(ge=0)


class AuditReport(Answer):
    since: datetime
    days: list[DayOfTrail]
    not_done: list[NotDone]
    subjects: list[ToldSubject]
