"""Every failure a user can see: `Failure`, which names a row of the table of codes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from foundation.codes import CODES, current
from foundation.codes.row import Code, Recovery, Severity, Source, Stage

__all__ = ["CODES", "Code", "Failure", "Recovery", "Severity", "Source", "Stage", "current"]


@dataclass(eq=False)
class Failure(Exception):
    """An expected failure, by code; an old name of a code counts as its new one.

    `context` is public: never a path of the server, a secret or a stack trace."""

    code: str
    context: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    def __post_init__(self) -> None:
        self.code = current(self.code)
        self.message = self.message or self.row.sentence
        super().__init__(f"{self.code}: {self.message}")

    def __reduce__(self) -> tuple[type[Failure], tuple[str, dict[str, Any], str]]:
        return Failure, (self.code, self.context, self.message)  # an exception is else pickled by its text alone

    @property
    def row(self) -> Code:
        return CODES[self.code]

    def public(self) -> dict[str, Any]:
        """The form in which an item, a job or an answer carries the failure."""
        row = self.row
        told = {"code": self.code, "stage": row.stage.value, "message": self.message, "remedy": row.remedy}
        return told | {"retryable": row.retryable, "context": self.context}
