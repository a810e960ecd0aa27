"""Which parts belong together, by rank of evidence: one pass over the hits of a job, and memory for ids only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger import hits, reviews
from ledger.reviews import Contents
from ledger.session import Ledger, Tx
from tasks.forest import Forest
from tasks.reviews import HIDING

Edge = tuple[int, int, int]  # rank, index of the item, place of the hit
Rank = Callable[[Mapping[str, Any]], int | None]  # how strict the evidence of a hit is, 0 the strictest; None: no evidence
Named = Callable[[Tx, Sequence[str]], dict[str, tuple[str, str]]]  # by id of the part: its key, and the SHA-256 of its content


@dataclass(frozen=True, slots=True)
class Group:
    """Members that belong together by evidence of this rank or a stricter one; `edges` are the hits of this very rank that join them."""

    rank: int
    members: list[str]
    edges: list[Edge]
    inner: list[Group]  # the largest groups of stricter ranks within

    def every_edge(self) -> Iterator[Edge]:
        """The hits that join all members, the strictest first."""
        for group in self.inner:
            yield from group.every_edge()
        yield from self.edges


@dataclass(slots=True)
class Grouping:
    """Members, which are named by a key, in one forest for each rank: it holds the evidence of that rank and of all stricter ones."""

    ranks: int
    keys: list[str] = field(default_factory=list)
    rejected: set[Contents] = field(default_factory=set)
    ignored: set[Contents] = field(default_factory=set)
    _numbers: dict[str, int] = field(default_factory=dict)
    _forests: list[Forest[Edge]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._forests = [Forest() for _ in range(self.ranks)]

    @property
    def left_out(self) -> dict[str, int]:
        """Pairs that were met and not used, because of what somebody said of them."""
        return {"rejected": len(self.rejected), "ignored": len(self.ignored)}

    def join(self, one: str, other: str, edge: Edge) -> None:
        first, second = self._number(one), self._number(other)
        for forest in self._forests[edge[0] :]:
            forest.grow(len(self.keys))
            forest.join(first, second, edge)

    def _number(self, key: str) -> int:
        number = self._numbers.setdefault(key, len(self.keys))
        if number == len(self.keys):
            self.keys.append(key)
        return number

    def groups(self) -> Iterator[Group]:
        """Groups by rank, the strictest first; a rank tells only of those that its own evidence has made."""
        largest: dict[int, Group] = {}
        for rank, forest in enumerate(self._forests):
            edges = self._needed(rank, largest)
            for tree in forest.trees():
                if mine := edges.get(forest.root(tree[0])):
                    inner = {id(largest[member]): largest[member] for member in tree if member in largest}
                    group = Group(rank, [self.keys[member] for member in tree], mine, list(inner.values()))
                    largest |= dict.fromkeys(tree, group)
                    yield group

    def _needed(self, rank: int, largest: Mapping[int, Group]) -> dict[int, list[Edge]]:
        """By tree those edges of a rank that join what stricter ranks have not: a hit may have come before surer ones that say as much."""
        forest, apart = self._forests[rank], Forest[Edge]()
        apart.grow(len(self.keys))
        stands_for: dict[int, int] = {}
        for member, group in largest.items():
            apart.join(member, stands_for.setdefault(id(group), member), (-1, -1, -1))
        found: dict[int, list[Edge]] = {}
        for edge, (one, other) in zip(forest.edges, forest.ends, strict=True):
            if edge[0] == rank and apart.join(one, other, edge):
                found.setdefault(forest.root(one), []).append(edge)
        return found


def outermost(groups: Iterable[Group]) -> list[Group]:
    """Those that lie within no other."""
    every = list(groups)
    within = {id(inner) for group in every for inner in group.inner}
    return [group for group in every if id(group) not in within]


def grouped(ledger: Ledger, tenant_id: str, job_id: str, ranks: int, rank: Rank, named: Named, reviewed: bool) -> Grouping:
    """The parts that the hits of a job bring together. `named` tells by which key a part is a member; pairs that somebody rejected or
    that are ignored join nothing unless `reviewed`.
    """
    grouping = Grouping(ranks)
    with ledger.read() as tx:
        hidden = {} if reviewed else reviews.marked(tx, tenant_id, HIDING)
    for bite in hits.every(ledger, job_id):
        found = [(level, hit) for hit in bite if (level := rank(hit.told)) is not None]
        with ledger.read() as tx:
            members = named(tx, sorted({part for _, hit in found for part in (hit.query, hit.part)}))
        for level, hit in found:
            one, other = members.get(hit.query), members.get(hit.part)
            if one is None or other is None or one[0] == other[0]:
                continue
            contents = reviews.ordered(one[1], other[1])
            if contents in hidden:
                (grouping.rejected if hidden[contents] == "rejected" else grouping.ignored).add(contents)
            else:
                grouping.join(one[0], other[0], (level, hit.index, hit.place))
    return grouping
