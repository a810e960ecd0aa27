"""Exact search: slow and always right. What is near and what is the same, `sameness` decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ledger.vectors import PartVector
from tasks.vocabulary import Family
from workers.features.packing import unpacked
from workers.features.scaling import scaled
from workers.index.sameness import SAME_SIZE, Floats, nearness


class Gallery:
    """The vectors of a tenant in one feature version. `held` gives the float32 bytes of every file that is needed."""

    def __init__(self, parts: Sequence[PartVector], held: Mapping[str, bytes], scale_invariant: bool) -> None:
        self._held = held
        self._scale_invariant = scale_invariant
        self._parts: dict[Family, list[PartVector]] = {family: [] for family in Family}
        self._family = {part.sha256: Family(part.family) for part in parts}
        for part in parts:
            if part.sha256 in held:
                self._parts[Family(part.family)].append(part)
        self._matrix = {family: self._scaled([part.sha256 for part in members], family) for family, members in self._parts.items()}

    def _scaled(self, sha256s: Sequence[str], family: Family) -> Floats:
        """Scaled vectors, (n, slots)."""
        if not sha256s:
            return np.empty((0, 0))
        matrix: Floats = scaled(np.stack([unpacked(self._held[sha256]) for sha256 in sha256s]).astype(np.float64), family)
        if self._scale_invariant:
            matrix[:, 0] = 0.0
        return matrix

    def search(self, part_id: str, sha256: str, top_k: int, threshold: float, format: str | None = None) -> list[dict[str, Any]]:
        """Hits of a query part, best first, itself left out. Scores are 1 / (1 + gated distance)."""
        family = self._family.get(sha256)
        if family is None:
            return []
        members = self._parts[family]
        found = nearness(self._matrix[family], self._scaled([sha256], family)[0], family)
        scores = 1.0 / (1.0 + found.gated)
        hits: list[dict[str, Any]] = []
        for at in np.argsort(-scores, kind="stable"):
            part = members[at]
            if scores[at] < threshold or len(hits) == top_k:
                break
            if part.part_id != part_id and format in (None, part.format):
                hits.append(
                    {
                        "part_id": part.part_id,
                        "name": part.name,
                        "score": round(float(scores[at]), 6),
                        **self._told(part, sha256, found.same[at]),
                    }
                )
        return hits

    def _told(self, part: PartVector, sha256: str, same: bool) -> dict[str, Any]:
        """What a hit is to the query: slot 0 is the logarithm of a length in both families."""
        ratio = math.exp(float(unpacked(self._held[part.sha256])[0]) - float(unpacked(self._held[sha256])[0]))
        alike = abs(ratio - 1) <= SAME_SIZE
        label = "exact" if part.sha256 == sha256 else "near" if not same else "same" if alike else "scaled"
        suspected = label == "scaled" and min(abs(ratio * 25.4 - 1), abs(ratio / 25.4 - 1)) <= SAME_SIZE
        return {"label": label, "size_ratio": float(f"{ratio:.4g}"), "units_suspected": suspected}
