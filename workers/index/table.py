"""The vectors of a family as the ledger has them: float32, unscaled, a row a file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workers.index.contract import Floats32
from workers.index.exact import Floats
from workers.index.places import Integers, Keys, Places, enlarged, told


class Table:
    """Rows by the SHA-256 of their file. Rows and keys may lie in a mapped file: what is written then stays with this process."""

    def __init__(self, width: int, keys: Keys | None = None, rows: Floats32 | None = None) -> None:
        """`keys`, ascending, and their `rows`, (n, width)."""
        self.width = width
        self._places = Places(keys)
        self._rows: Floats32 = np.empty((0, width), dtype=np.float32) if rows is None else rows

    def __len__(self) -> int:
        return len(self._places)

    @property
    def bytes(self) -> int:
        """About what it takes."""
        return self._places.used * (4 * self.width + 72)

    def put(self, keys: Sequence[str], rows: Floats32) -> None:
        """Rows of keys, each once; one that is there is replaced."""
        at = self._places.take(keys)
        if self._places.used > len(self._rows):
            self._rows = enlarged(self._rows, len(self._rows), max(self._places.used, 2 * len(self._rows)))
        self._rows[at] = rows

    def remove(self, keys: Sequence[str]) -> None:
        self._places.leave(keys)
        if self._places.used > 2 * len(self) + 10_000:
            self._places, self._rows = (half := Table(self.width, *self.sorted()))._places, half._rows

    def find(self, keys: Sequence[str]) -> Integers:
        """The rows of keys, -1 where there is none."""
        return self._places.find(keys)

    def rows(self, at: Integers) -> Floats32:
        return self._rows[at]

    def keys(self, at: Integers) -> list[str]:
        return told(self._places.keys(at))

    def order(self, at: Integers, by: Floats) -> Integers:
        """The order of rows by a number each, equal ones by their key."""
        order = np.argsort(by, kind="stable")
        equal = by[order]
        return np.lexsort((self._places.keys(at), by)) if (equal[1:] == equal[:-1]).any() else order

    def all(self) -> Integers:
        """Every row that holds a file."""
        return np.flatnonzero(self._places.there)

    def sorted(self) -> tuple[Keys, Floats32]:
        """Keys in ascending order, and their rows: copies."""
        at = self.all()
        keys = self._places.keys(at)
        order = np.argsort(keys, kind="stable")
        return keys[order], self._rows[at[order]]
