"""What a task is: its name, its queue, what it asks for, how it is cut into chunks and how often it is tried."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from foundation.resilience.retry import RetryPolicy
from tasks.vocabulary import Kind


class Request(BaseModel):
    """A request type: unknown fields are refused, so that a typing error is told and not ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Answer(BaseModel):
    """An answer type: what the result of one item looks like. Fields may be added, never renamed."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True, slots=True)
class Task:
    """A kind of work. Its Celery name and its queue are those of its kind."""

    kind: Kind
    sentence: str
    asks: type[Request]
    answers: type[Answer]
    chunk_items: int
    policy: RetryPolicy
    reads_files: bool = False  # by the engine: a file may be blamed for the death of its process

    @property
    def name(self) -> str:
        return self.kind.value

    @property
    def queue(self) -> str:
        return self.kind.value
