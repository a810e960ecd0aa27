"""What every index can do, and how it says that it cannot any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.float32]
Reason = Literal["import", "load", "search", "dimension", "corruption"]


class Hit(NamedTuple):
    key: str
    distance: float  # Euclidean


class IndexFailure(Exception):
    """The engine under an index failed; another one may still answer."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason


class Index(Protocol):
    """One space of one (tenant, feature version, engine build, family); keys are sha256 of files."""

    def add(self, keys: Sequence[str], matrix: Floats32) -> None:
        """(n, d) scaled; a key that is there is replaced."""

    def remove(self, keys: Sequence[str]) -> None:
        """Unknown keys are ignored."""

    def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
        """(q, d); nearest first, ties by key."""
        ...

    def __len__(self) -> int: ...
