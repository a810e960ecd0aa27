"""Slots that are computed together, and so are missing together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Study = TypeVar("Study")


@dataclass(frozen=True, slots=True)
class Group(Generic[Study]):
    """The next `width` slots of a version, computed from the study of a shape."""

    width: int
    compute: Callable[[Study], list[float]]
