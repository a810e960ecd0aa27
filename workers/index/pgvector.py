"""Search inside PostgreSQL (`ledger/neighbours.py`): one space for all workers, limited by the database's memory and not by theirs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ledger import neighbours
from ledger.session import Ledger
from workers.index.contract import Floats32, Hit, Portion, checked, newest

HNSW_ABOVE = 20_000
"""Vectors above which a space gets an HNSW index. Below it every row is looked at, and answers are exact as far as float32 goes."""
_BITE = 5_000  # rows of a transaction


class PgvectorIndex:
    """A space by its name. Distances are computed in float32: those nearer to each other than that come in any order."""

    def __init__(self, ledger: Ledger, space: str, width: int, hnsw_above: int = HNSW_ABOVE) -> None:
        """Raises PGVECTOR_MISSING where the database cannot do it, DATABASE_UNAVAILABLE."""
        neighbours.prepare(ledger, width)
        self._ledger, self._space, self._width, self._hnsw_above = ledger, space, width, hnsw_above

    def __len__(self) -> int:
        with self._ledger.read() as tx:
            return neighbours.count(tx, self._space, self._width)

    def add(self, keys: Sequence[str], matrix: Floats32) -> None:
        once, rows = newest(keys, checked(matrix, self._width))
        for start in range(0, len(once), _BITE):
            bite = slice(start, start + _BITE)
            with self._ledger.write() as tx:
                neighbours.number(tx, self._space, lock=True)
                neighbours.put(tx, self._space, self._width, once[bite], rows[bite].tolist())
        self._hasten()

    def remove(self, keys: Sequence[str]) -> None:
        with self._ledger.write() as tx:
            neighbours.number(tx, self._space, lock=True)
            neighbours.remove(tx, self._space, self._width, keys)

    def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
        asked = checked(queries, self._width)
        if k <= 0 or not len(asked):
            return [[] for _ in asked]
        with self._ledger.read() as tx:
            quick = neighbours.hastened(tx, self._space, self._width)
            found = neighbours.search(tx, self._space, self._width, asked.tolist(), k, quick)
        return [[Hit(key, distance) for key, distance in hits] for hits in found]

    # -- what outlives the process: how far the rows have come

    @property
    def number(self) -> int:
        """The epoch up to which the rows have been brought, by whichever worker."""
        with self._ledger.read() as tx:
            return neighbours.number(tx, self._space)

    def reach(self, before: int, portions: Iterable[Portion], afresh: bool) -> bool:
        """Take portions in, in one commit, `afresh` instead of what is there. False: somebody else has brought the rows further."""
        with self._ledger.write() as tx:
            if neighbours.number(tx, self._space, lock=True) != before:
                return False
            if afresh:
                neighbours.clear(tx, self._space, self._width)
            number = before
            for portion in portions:
                keys, rows = newest(portion.keys, checked(portion.matrix, self._width))
                neighbours.remove(tx, self._space, self._width, portion.gone)
                neighbours.put(tx, self._space, self._width, keys, rows.tolist())
                number = portion.number
            neighbours.reach(tx, self._space, number)
        self._hasten()
        return True

    def _hasten(self) -> None:
        with self._ledger.write() as tx:
            if neighbours.count(tx, self._space, self._width) > self._hnsw_above and not neighbours.hastened(tx, self._space, self._width):
                neighbours.hasten(tx, self._space, self._width)
