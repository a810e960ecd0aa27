"""What stands around outgoing calls, as answered."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from tasks.contract import Answer


class PolicyRow(Answer):
    call: str = Field(examples=["webhook"])
    what: str = Field(description="what is called")
    timeout_seconds: float | None = Field(description="null: none, `why` says why")
    limiter: str = Field(description="in words; empty: none, `why` says why")
    bulkhead: str
    breaker: str
    retry: str
    off: list[Literal["limiter", "bulkhead", "breaker", "retry"]] = Field(description="switched off by CADMILL_RESILIENCE_OFF")
    why: str


class BreakerStanding(Answer):
    """Counts are since the process began, but those of the window."""

    state: Literal["closed", "open", "half-open"]
    generation: int = Field(ge=0, description="how often it has moved; an answer asked for under an older one is ignored")
    since: datetime = Field(description="when it moved last")
    until: float | None = Field(description="seconds until it may be asked again; null: it may")
    calls: int = Field(ge=0)
    inside: int = Field(ge=0, description="calls under way")
    failures: int = Field(ge=0)
    slow: int = Field(ge=0)
    rejected: int = Field(ge=0, description="calls it did not let through")
    window: int = Field(ge=0, description="last tries it looks at, now")
    failing: int = Field(ge=0, description="those of them that failed")
    slowing: int = Field(ge=0, description="those of them that were slow")


class BulkheadStanding(Answer):
    capacity: int
    free: int
    refused: int


class LimiterStanding(Answer):
    room: float
    refused: int


class RetryStanding(Answer):
    tokens: float = Field(description="what is left of the budget of retries")


class ProtectionStanding(Answer):
    call: str
    subject: str = Field(description="to whom it goes, where each has a breaker of its own")
    breaker: BreakerStanding | None = None
    bulkhead: BulkheadStanding | None = None
    limiter: LimiterStanding | None = None
    retry: RetryStanding | None = None


class Resilience(Answer):
    process: str = Field(description="which process tells; each has its own")
    policies: list[PolicyRow]
    protections: list[ProtectionStanding] = Field(description="those this process has needed so far; open breakers first")
