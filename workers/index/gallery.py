"""Every file of a shelf (tenant, feature version, engine build) that has a vector, ready to be compared with others.

The rows are the ledger's. Each question has spaces of its own, made when first asked: by family, with size or without, over all slots
and over those that stay when a part is written anew or turned. Indexes only propose; what is near and what is the same
`sameness` decides in float64, so every engine that proposes the right files gives the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import NamedTuple

import numpy as np

from foundation.telemetry import logger
from ledger.epochs import Change, Shelf
from tasks.vocabulary import Family, FeatureVersion
from workers.features.scaling import scaled
from workers.index.contract import Floats32, Hit, Index, IndexFailure, Lasting, Portion
from workers.index.places import Integers, Keys
from workers.index.sameness import Floats, fingerprint, gated, nearness
from workers.index.serving import Failover
from workers.index.table import Table

_BLOCK = 100_000  # rows that are scaled at once
_TRIES = 5


class Space(NamedTuple):
    """What is compared: files of a family, with their size or without, over all slots or over the stable ones."""

    family: Family
    sized: bool
    stable: bool


Content = Callable[[], Iterable[tuple[list[str], Floats32]]]
"""Keys and rows of a space as they are now, a block at a time. Any thread may call it."""
NewIndex = Callable[[Shelf, Space, int, Content], Index]
"""Makes the index of a space, so many slots wide, with its content; a lasting one without."""
ChangesSince = Callable[[int], Iterable[Sequence[Change]]]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Files by their nearness to a query, nearest first; where two are equally near, by SHA-256."""

    sha256s: list[str]
    gated: Floats  # (n,) distances
    stable: Floats  # (n,) distances over the stable slots
    rows: Floats32  # (n, width) unscaled
    # Files that are not among these are no nearer than this, if the index found the nearest: through the gate, and over the stable slots.
    # Infinite: all are here.
    surely: float
    surely_stable: float

    @property
    def scores(self) -> Floats:
        return np.asarray(1.0 / (1.0 + self.gated))


class Gallery:
    """As of `number` of its shelf's epochs. Not safe for several threads, but for `rank`."""

    def __init__(
        self, shelf: Shelf, new_index: NewIndex, number: int = 0, content: Mapping[Family, tuple[Keys, Floats32]] | None = None
    ) -> None:
        self.shelf, self.number = shelf, number
        self._width = FeatureVersion(shelf.feature_version).width
        self._new_index = new_index
        self._tables = {family: Table(self._width, *(content or {}).get(family, ())) for family in Family}
        self._spaces: dict[Space, Index] = {}
        self._lock = Lock()  # of the tables: an index that failed is built anew by another thread
        self.degraded = False  # whether exact search stood in for a failed engine since this was last unset

    def __len__(self) -> int:
        return sum(len(table) for table in self._tables.values())

    @property
    def bytes(self) -> int:
        """About what it takes in memory."""
        return sum(table.bytes for table in self._tables.values()) + sum(
            len(self._tables[space.family]) * (4 * self._slots(space) + 72) for space in self._spaces
        )

    def content(self) -> dict[Family, tuple[Keys, Floats32]]:
        """What a snapshot keeps."""
        return {family: table.sorted() for family, table in self._tables.items()}

    # -- what it holds

    def apply(self, changes: Sequence[Change]) -> None:
        """Bring rows and spaces further. Vectors that cannot be of this shelf are left out, and told."""
        gone, new = _sorted_out(changes, self._width)
        if changes:
            self.number = changes[-1].number
        for family, table in self._tables.items():
            keys, rows = new[family]
            moved = [key for other, (others, _) in new.items() if other is not family for key in others]
            left = [key for key, at in zip([*gone, *moved], table.find([*gone, *moved]), strict=True) if at >= 0]
            with self._lock:
                table.remove(left)
                table.put(keys, rows)
            for space, index in list(self._spaces.items()):
                if space.family is family and not isinstance(index, Lasting):
                    index.remove(left)
                    index.add(keys, self._seen(rows, space))

    def catch_up(self, changes_since: ChangesSince, floor: int) -> None:
        """Bring the spaces that outlive this process further, once `apply` has been told everything."""
        for space, index in self._spaces.items():
            if isinstance(index, Lasting):
                self._bring(space, index, changes_since, floor)

    def open(self, family: Family, sized: bool, changes_since: ChangesSince, floor: int) -> None:
        """Make the spaces of a question where they are not there yet. Raises `IndexFailure`."""
        for space in (Space(family, sized, stable=False), Space(family, sized, stable=True)):
            if space in self._spaces:
                continue
            index = self._new_index(self.shelf, space, self._slots(space), partial(self._content, space))
            if isinstance(index, Lasting):
                self._bring(space, index, changes_since, floor)
            self._spaces[space] = index

    def _content(self, space: Space) -> Iterator[tuple[list[str], Floats32]]:
        table = self._tables[space.family]
        with self._lock:
            at = table.all()
            keys, rows = table.keys(at), table.rows(at)  # copies
        for start in range(0, len(keys), _BLOCK):
            yield keys[start : start + _BLOCK], self._seen(rows[start : start + _BLOCK], space)

    def _bring(self, space: Space, index: Lasting, changes_since: ChangesSince, floor: int) -> None:
        for _ in range(_TRIES):
            before = index.number
            if before >= max(self.number, floor) or index.reach(before, self._portions(space, changes_since, before), before < floor):
                return
        raise IndexFailure("search", "other workers change this space again and again")

    def _portions(self, space: Space, changes_since: ChangesSince, before: int) -> Iterator[Portion]:
        for changes in changes_since(before):
            gone, new = _sorted_out(changes, self._width)
            keys, rows = new[space.family]
            others = [key for family, (there, _) in new.items() if family is not space.family for key in there]
            yield Portion(changes[-1].number, [*gone, *others], keys, self._seen(rows, space))

    # -- what it answers

    def family(self, sha256: str) -> Family | None:
        """The family of a file that is here."""
        return next((family for family, table in self._tables.items() if table.find([sha256])[0] >= 0), None)

    def size(self, family: Family) -> int:
        return len(self._tables[family])

    def rank(self, queries: Floats32, family: Family, sized: bool, depth: int) -> list[Ranked]:
        """For each unscaled query (q, width): the `depth` nearest files by all slots and the `depth` nearest by the stable ones, each once,
        ranked. The spaces must be open. Raises `IndexFailure`.
        """
        spaces = Space(family, sized, stable=False), Space(family, sized, stable=True)
        found = [self._found(self._spaces[space], self._seen(queries, space), depth) for space in spaces]
        table = self._tables[family]
        keys = [hit.key for hits in zip(*found, strict=True) for some in hits for hit in some]
        places = table.find(keys)
        ranked, start = [], 0
        for query, by_all, by_stable in zip(queries, *found, strict=True):
            end = start + len(by_all) + len(by_stable)
            at = np.unique(places[start:end])
            start = end
            surely = _surely(by_all, by_stable, depth, len(table), family)
            ranked.append(self._ranked(query, table, at[at >= 0], family, sized, *surely))
        return ranked

    def _found(self, index: Index, queries: Floats32, depth: int) -> list[list[Hit]]:
        if not isinstance(index, Failover):
            return index.search(queries, depth)
        served = index.serve(queries, depth)
        self.degraded |= served.degraded
        return served.hits

    def rank_among(self, queries: Floats32, family: Family, sized: bool, sha256s: Sequence[str]) -> list[Ranked]:
        """For each unscaled query (q, width) all of these files that are here, ranked."""
        table = self._tables[family]
        at = table.find(sha256s)
        at = np.unique(at[at >= 0])
        return [self._ranked(query, table, at, family, sized, np.inf, np.inf) for query in queries]

    def _ranked(
        self, query: Floats32, table: Table, at: Integers, family: Family, sized: bool, surely: float, surely_stable: float
    ) -> Ranked:
        rows = table.rows(at)
        both = scaled(np.concatenate([rows, query[None]]), family)
        if not sized:
            both[:, 0] = 0.0
        near = nearness(both[:-1], both[-1], family)
        order = table.order(at, near.gated)
        return Ranked(table.keys(at[order]), near.gated[order], near.stable[order], rows[order], surely, surely_stable)

    def _seen(self, rows: Floats32, space: Space) -> Floats32:
        """Rows as a space sees them, (n, slots) float32."""
        matrix = scaled(rows, space.family)
        if not space.sized:
            matrix[:, 0] = 0.0
        if space.stable:
            matrix = fingerprint(matrix, space.family)
        return matrix.astype(np.float32)

    def _slots(self, space: Space) -> int:
        return len(self._seen(np.zeros((1, self._width), dtype=np.float32), space)[0])


def _surely(by_all: list[Hit], by_stable: list[Hit], depth: int, size: int, family: Family) -> tuple[float, float]:
    """What is further than the last found by all slots and by the stable ones is further through the gate than both at once."""
    if depth >= size or not by_all or not by_stable:
        return float("inf"), float("inf")
    last = by_stable[-1].distance
    return float(gated(np.array([by_all[-1].distance]), np.array([last]), family)[0]), last


def _sorted_out(changes: Sequence[Change], width: int) -> tuple[list[str], dict[Family, tuple[list[str], Floats32]]]:
    """Files that are gone, and the new ones of each family with their rows, (n, width)."""
    gone: list[str] = []
    keys: dict[Family, list[str]] = {family: [] for family in Family}
    blobs: dict[Family, list[bytes]] = {family: [] for family in Family}
    for _, sha256, family, vector in changes:
        if vector is None or family not in keys or len(vector) != 4 * width:
            gone.append(sha256)
            if vector is not None:
                logger.warning("the vector of %s cannot be searched: %s bytes of family %s", sha256, len(vector), family)
        else:
            keys[Family(family)].append(sha256)
            blobs[Family(family)].append(vector)
    new = {}
    for one in Family:
        rows = np.frombuffer(b"".join(blobs[one]), dtype="<f4").reshape(-1, width)
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            bad = [key for key, fine in zip(keys[one], finite, strict=True) if not fine]
            logger.warning("vectors that are not finite cannot be searched: %s", bad[:10])
            gone += bad
            keys[one] = [key for key, fine in zip(keys[one], finite, strict=True) if fine]
            rows = rows[finite]
        new[one] = keys[one], rows
    return gone, new
