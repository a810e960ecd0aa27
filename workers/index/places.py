"""Which file stands in which row: keys and their places, in little memory and without looking at them one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.bytes_]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

KEY = np.dtype("S64")  # a SHA-256 in hex
_FEW = 1_000  # keys that are kept in a dictionary before all are sorted anew


class Places:
    """Keys by place and places by key. A place that was let go stays empty until its key comes back; places never move.

    Keys of a million files take 72 MB: 64 bytes each, and a sorted order.
    """

    def __init__(self, keys: Keys | None = None) -> None:
        """`keys`: those of the first places, each once, in ascending order."""
        first = np.empty(0, KEY) if keys is None else keys
        self._keys, self._used = first, len(first)
        self._there: Flags = np.ones(len(first), dtype=np.bool_)
        self._count = len(first)
        self._sorted = first  # what can be searched by halving
        self._order: Integers | None = None  # the places of the sorted keys; none: they stand in that order
        self._recent: dict[bytes, int] = {}

    def __len__(self) -> int:
        return self._count

    @property
    def used(self) -> int:
        """Places, the empty ones among them."""
        return self._used

    @property
    def there(self) -> Flags:
        """Whether a place holds a key, (used,)."""
        return self._there[: self._used]

    def find(self, keys: Sequence[str]) -> Integers:
        """The places of keys, -1 for those that are not there."""
        places = self._known(np.array(list(keys), dtype=KEY))
        places[places >= 0] = np.where(self._there[places[places >= 0]], places[places >= 0], -1)
        return places

    def take(self, keys: Sequence[str]) -> Integers:
        """A place for each key, none of which may come twice: its own if it has one, else a new one at the end."""
        asked = np.array(list(keys), dtype=KEY)
        places = self._known(asked)
        new = np.flatnonzero(places < 0)
        places[new] = self._used + np.arange(len(new))
        self._grow(self._used + len(new))
        self._keys[places[new]] = asked[new]
        self._used += len(new)
        self._count += len(keys) - int(self._there[places].sum())
        self._there[places] = True
        self._recent.update(zip(asked[new].tolist(), places[new].tolist(), strict=True))
        if len(self._recent) > max(_FEW, len(self._sorted) // 8):
            self._order = np.argsort(self._keys[: self._used], kind="stable")
            self._sorted, self._recent = self._keys[self._order], {}
        return places

    def leave(self, keys: Sequence[str]) -> Integers:
        """Empty the places of keys, and tell which; unknown keys are ignored."""
        places = self.find(keys)
        places = np.unique(places[places >= 0])
        self._there[places] = False
        self._count -= len(places)
        return places

    def keys(self, places: Integers) -> Keys:
        return self._keys[places]

    def _known(self, asked: Keys) -> Integers:
        places = np.full(len(asked), -1, dtype=np.int64)
        if len(self._sorted):
            near = np.minimum(np.searchsorted(self._sorted, asked), len(self._sorted) - 1)
            hit = self._sorted[near] == asked
            places[hit] = near[hit] if self._order is None else self._order[near[hit]]
        if self._recent:
            unknown, recent = np.flatnonzero(places < 0), self._recent
            places[unknown] = [recent.get(key, -1) for key in asked[unknown].tolist()]
        return places

    def _grow(self, needed: int) -> None:
        if needed > len(self._keys):
            room = max(needed, 2 * len(self._keys), 64)
            self._keys = enlarged(self._keys, self._used, room)
            self._there = enlarged(self._there, self._used, room)


def enlarged(array: npt.NDArray[Scalar], used: int, room: int) -> npt.NDArray[Scalar]:
    """A copy with room for so many rows, the used ones filled, the others zero."""
    larger: npt.NDArray[Scalar] = np.zeros((room, *array.shape[1:]), dtype=array.dtype)
    larger[:used] = array[:used]
    return larger


def told(keys: Keys) -> list[str]:
    """Keys as words."""
    return [key.decode("ascii") for key in keys.tolist()]  # half the time of astype
