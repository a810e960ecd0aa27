"""What a case is, and what cases are provoked with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Place:
    """Where cases do their harm."""

    folder: Path
    postgresql: str
    redis: str
    http: int
    """The port of a server that misbehaves as its path says."""
    tls: int
    """The port of one with a certificate that nobody vouches for."""


@dataclass(frozen=True)
class Case:
    name: str
    provoke: Callable[[Place], Any]
    code: str
    retryable: bool
    provider: str | None = None


def thrown(error: BaseException) -> Callable[[Place], Any]:
    """For what this machine cannot be brought to do: the class itself."""

    def throw(_: Place) -> None:
        raise error

    return throw
