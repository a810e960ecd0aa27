"""A real faiss index and a brute force one behind the contract, and ways to break the first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import faiss
import numpy as np

from workers.index.contract import Floats32, Hit, IndexFailure

WIDTH = 24


def vectors(keys: Sequence[str], seed: int = 7) -> dict[str, Floats32]:
    dice = np.random.default_rng(seed)
    return {key: dice.normal(size=WIDTH).astype(np.float32) for key in keys}


class Brute:
    """Every distance, in double precision."""

    def __init__(self, rows: dict[str, Floats32]) -> None:
        self._rows = dict(rows)

    def add(self, keys: Sequence[str], matrix: Floats32) -> None:
        self._rows.update(zip(keys, matrix, strict=True))

    def remove(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._rows.pop(key, None)

    def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
        keys = sorted(self._rows)
        matrix = np.stack([self._rows[key] for key in keys]).astype(np.float64)
        found = []
        for query in queries:
            distances = np.linalg.norm(matrix - query, axis=1)
            found.append([Hit(keys[at], float(distances[at])) for at in np.argsort(distances, kind="stable")[:k]])  # ties by key
        return found

    def __len__(self) -> int:
        return len(self._rows)


class Flat:
    """faiss, saved to and read from a file as a snapshot would be; raises what faiss raises."""

    def __init__(self, keys: Sequence[str], index: faiss.Index) -> None:
        faiss.omp_set_num_threads(1)
        self._keys, self.index = list(keys), index

    @classmethod
    def of(cls, rows: dict[str, Floats32]) -> Flat:
        index = faiss.IndexFlatL2(WIDTH)
        index.add(np.stack([rows[key] for key in sorted(rows)]))
        return cls(sorted(rows), index)

    def save(self, path: Path) -> None:
        faiss.write_index(self.index, str(path))

    @classmethod
    def load(cls, path: Path, keys: Sequence[str]) -> Flat:
        index = faiss.read_index(str(path))
        if index.ntotal != len(keys):
            raise IndexFailure("corruption", f"{index.ntotal} vectors in the snapshot, {len(keys)} in the ledger")
        return cls(sorted(keys), index)

    def add(self, keys: Sequence[str], matrix: Floats32) -> None:
        self.remove(keys)
        self.index.add(matrix)
        self._keys += keys

    def remove(self, keys: Sequence[str]) -> None:
        gone = [self._keys.index(key) for key in keys if key in self._keys]
        self.index.remove_ids(np.array(gone, dtype=np.int64))
        self._keys = [key for at, key in enumerate(self._keys) if at not in gone]

    def search(self, queries: Floats32, k: int) -> list[list[Hit]]:
        far, at = self.index.search(queries, min(k, len(self._keys)))
        found = [[Hit(self._keys[i], float(d) ** 0.5) for i, d in zip(ids, ds, strict=True)] for ids, ds in zip(at, far, strict=True)]
        return [sorted(one, key=lambda hit: hit[::-1]) for one in found]

    def __len__(self) -> int:
        return len(self._keys)


def corrupt(path: Path) -> None:
    """Half of the snapshot is another one's."""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def narrower(path: Path, rows: dict[str, Floats32]) -> None:
    """A snapshot of another feature version under the name of this one."""
    index = faiss.IndexFlatL2(WIDTH - 2)
    index.add(np.stack([np.ascontiguousarray(rows[key][: WIDTH - 2]) for key in sorted(rows)]))
    faiss.write_index(index, str(path))
