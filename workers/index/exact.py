"""Exact search: slow and always right. What is near and what is the same, `sameness` decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ledger.vectors import PartVector
from tasks.vocabulary import Family, Format
from workers.features.packing import unpacked
from workers.features.scaling import scaled
from workers.index.sameness import Floats, nearness
from workers.index.verdict import LIKELY, verdict
from workers.index.wanted import Found, Wanted


class Gallery:
    """The vectors of a tenant in one feature version. `held` gives the float32 bytes of every file that is needed."""

    def __init__(self, parts: Sequence[PartVector], held: Mapping[str, bytes], wanted: Wanted) -> None:
        self._held = held
        self._wanted = wanted
        self._parts: dict[Family, list[PartVector]] = {family: [] for family in Family}
        self._family = {part.sha256: Family(part.family) for part in parts}
        self._meshes = {part.sha256 for part in parts if part.format == Format.STL}
        for part in parts:
            if part.sha256 in held:
                self._parts[Family(part.family)].append(part)
        self._matrix = {family: self._scaled([part.sha256 for part in members], family) for family, members in self._parts.items()}

    def _scaled(self, sha256s: Sequence[str], family: Family) -> Floats:
        """Scaled vectors, (n, slots)."""
        if not sha256s:
            return np.empty((0, 0))
        matrix: Floats = scaled(np.stack([unpacked(self._held[sha256]) for sha256 in sha256s]).astype(np.float64), family)
        if self._wanted.scale_invariant:
            matrix[:, 0] = 0.0
        return matrix

    def search(self, part_id: str, sha256: str) -> list[dict[str, Any]]:
        """Hits of a query part, best first. Scores are 1 / (1 + gated distance)."""
        family = self._family.get(sha256)
        return [] if family is None else self._wanted.hits(part_id, sha256, self._found(sha256, family))

    def _found(self, sha256: str, family: Family) -> Iterator[Found]:
        """What is near the query, best first; only what may be the same part where nothing else is wanted."""
        found = nearness(self._matrix[family], self._scaled([sha256], family)[0], family)
        scores = 1.0 / (1.0 + found.gated)
        order = np.argsort(-scores, kind="stable")
        query, sized = unpacked(self._held[sha256]), not self._wanted.scale_invariant
        for at in order if self._wanted.near else order[found.stable[order] < LIKELY[family]]:
            part = self._parts[family][at]
            vector, mixed = unpacked(self._held[part.sha256]), (part.sha256 in self._meshes) != (sha256 in self._meshes)
            yield part, float(scores[at]), partial(verdict, query, vector, family, part.sha256 == sha256, mixed, sized)
