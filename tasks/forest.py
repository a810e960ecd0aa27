"""Which of many things belong together: union-find over numbered things, and the edges by which they came together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Edge = TypeVar("Edge")


class Forest(Generic[Edge]):
    """Trees over things 0, 1, 2, ... (union by size, paths halved: Tarjan 1975). Keeps the edges that joined two trees, fewer than
    there are things.
    """

    def __init__(self) -> None:
        self._parents: list[int] = []
        self._sizes: list[int] = []
        self.edges: list[Edge] = []
        self.ends: list[tuple[int, int]] = []  # of each edge the things it was given for

    def __len__(self) -> int:
        return len(self._parents)

    def grow(self, things: int) -> None:
        """Have at least so many things."""
        new = range(len(self._parents), things)
        self._parents.extend(new)
        self._sizes.extend(1 for _ in new)

    def root(self, thing: int) -> int:
        """The thing that stands for the tree of this one."""
        parents = self._parents
        while parents[thing] != thing:
            parents[thing] = parents[parents[thing]]
            thing = parents[thing]
        return thing

    def join(self, one: int, other: int, edge: Edge) -> bool:
        """Put both into one tree. False: they were, and the edge is not needed."""
        here, there = self.root(one), self.root(other)
        if here == there:
            return False
        small, large = (here, there) if self._sizes[here] < self._sizes[there] else (there, here)
        self._parents[small] = large
        self._sizes[large] += self._sizes[small]
        self.edges.append(edge)
        self.ends.append((one, other))
        return True

    def trees(self) -> Iterator[list[int]]:
        """Trees of more than one thing, each in the order of its things; the one with the lowest thing first."""
        found: dict[int, list[int]] = {}
        for thing in range(len(self)):
            root = self.root(thing)
            if self._sizes[root] > 1:
                found.setdefault(root, []).append(thing)
        yield from found.values()
