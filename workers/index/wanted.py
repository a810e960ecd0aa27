"""Which of the parts that a search found are hits, best first: threshold, filters, copies and the query itself."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ledger.vectors import PartVector
from tasks.similarity import Sought

Found = tuple[PartVector, float, Callable[[], dict[str, Any]]]  # a part, its score, and its verdict, which is asked only of hits


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a similarity job wants as hits of each query."""

    top_k: int = 10
    threshold: float = 0.0
    scale_invariant: bool = False
    include_self: bool = False
    distinct: bool = False  # one part of each content, none of the query's own
    matches: frozenset[Sought] = frozenset(Sought)
    parts: Collection[str] | None = None  # ids of those that may be hits; None: all

    @classmethod
    def of(cls, told: Mapping[str, Any], parts: Collection[str] | None) -> Wanted:
        """From the input of a job; what a job of an older release does not say has its default."""
        matches = told["filters"].get("matches") or list(Sought)
        flags = {name: bool(told.get(name)) for name in ("scale_invariant", "include_self", "distinct")}
        return cls(told["top_k"], told["threshold"], **flags, matches=frozenset(map(Sought, matches)), parts=parts)

    @property
    def near(self) -> bool:
        """Whether parts that are merely alike may be hits."""
        return Sought.NEAR in self.matches

    def takes(self, part: PartVector) -> bool:
        """Whether the filters let a part be a hit."""
        return self.parts is None or part.part_id in self.parts

    def hits(self, part_id: str, sha256: str, found: Iterable[Found]) -> list[dict[str, Any]]:
        """Hits of a query from what was found, which comes best first."""
        hits: list[dict[str, Any]] = []
        shown: set[str] = set()
        for part, score, tell in found:
            if score < self.threshold or len(hits) == self.top_k:
                break
            itself = part.part_id == part_id
            copy = self.distinct and not itself and (part.sha256 == sha256 or part.sha256 in shown)
            if copy or (itself and not self.include_self) or not self.takes(part):
                continue
            told = tell()
            if told["label"] in self.matches or (told["likely"] and Sought.LIKELY in self.matches):
                shown.add(part.sha256)
                hits.append({"part_id": part.part_id, "name": part.name, "score": round(score, 6), **told})
        return hits
