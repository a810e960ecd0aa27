"""What an index is: one space of vectors that can be searched. The ledger's vectors are the truth, an index can always be made anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats32 = npt.NDArray[np.float32]
Reason = Literal["import", "load", "search", "dimension", "corruption"]


class Hit(NamedTuple):
    """A file and its Euclidean distance from the query."""

    key: str
    distance: float


class IndexFailure(Exception):
    """An engine that cannot do its work, and why: what could not be imported, loaded or searched, has another width, or is not as it was
    written.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason: Reason = reason
        self.detail = detail


class Index(Protocol):
    """One space of one tenant, feature version, engine build and family. Keys are SHA-256 of files in hex (any ASCII of up to 64 will do).

    Whatever fails raises `IndexFailure`: a wrong width "dimension", numbers that are not finite "corruption".
    """

    def add(self, keys: Sequence[str], matrix: Floats32) -> None:
        """Scaled vectors, (n, d). A key that is there is replaced; of a key that comes twice the last one stays."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Unknown keys are ignored."""
        ...

    def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
        """For each row of (q, d) its k nearest, nearest first, ties by key; fewer where the space has fewer."""
        ...

    def __len__(self) -> int: ...


class Portion(NamedTuple):
    """What changed in a space up to a number: files that left it, and new ones with their rows, (n, d)."""

    number: int
    gone: list[str]
    keys: list[str]
    matrix: Floats32


@runtime_checkable
class Lasting(Index, Protocol):
    """An index that outlives this process, and is brought further by whichever one comes first (`pgvector.py`)."""

    @property
    def number(self) -> int:
        """The epoch it has come to."""
        ...

    def reach(self, before: int, portions: Iterable[Portion], afresh: bool) -> bool:
        """Take portions in, all or none, `afresh` instead of what is there. False, and nothing is done, if it is not at `before`."""
        ...


def checked(matrix: Floats32, width: int) -> Floats32:
    """The rows as contiguous float32, (n, width). Raises `IndexFailure`."""
    rows = np.ascontiguousarray(matrix, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise IndexFailure("dimension", f"{rows.shape} where rows of {width} belong")
    if not np.isfinite(rows).all():
        raise IndexFailure("corruption", "a number is not finite")
    return rows


def newest(keys: Sequence[str], rows: Floats32) -> tuple[list[str], Floats32]:
    """Each key once, with its last row. Raises `IndexFailure` where there is not one row a key."""
    if len(keys) != len(rows):
        raise IndexFailure("dimension", f"{len(keys)} keys for {len(rows)} rows")
    last = {key: at for at, key in enumerate(keys)}
    return (list(keys), rows) if len(last) == len(keys) else (list(last), rows[list(last.values())])
