"""Union-find, and groups by rank of evidence, beside the plain search for what is connected."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.forest import Forest
from tasks.grouping import Grouping, outermost

THINGS, RANKS = 12, 3
EDGES = st.lists(st.tuples(st.integers(0, RANKS - 1), st.integers(0, THINGS - 1), st.integers(0, THINGS - 1)), max_size=30)


def connected(edges: list[tuple[int, int, int]], rank: int) -> set[frozenset[str]]:
    """Groups of more than one member by edges of this rank and stricter ones, found by walking."""
    neighbours = defaultdict(set)
    for level, one, other in edges:
        if level <= rank and one != other:
            neighbours[one].add(other)
            neighbours[other].add(one)
    groups, seen = set(), set[int]()
    for start in neighbours:
        if start in seen:
            continue
        todo, group = [start], set[int]()
        while todo:
            here = todo.pop()
            if here not in group:
                group.add(here)
                todo += neighbours[here]
        seen |= group
        groups.add(frozenset(map(str, group)))
    return groups


@given(EDGES)
@settings(max_examples=300, deadline=None)
def test_groups_are_what_is_connected_told_under_the_weakest_evidence_they_need(edges: list[tuple[int, int, int]]) -> None:
    grouping = Grouping(RANKS)
    for place, (level, one, other) in enumerate(edges):
        if one != other:
            grouping.join(str(one), str(other), (level, place, 0))
    groups = list(grouping.groups())
    for rank in range(RANKS):
        stricter = connected(edges, rank - 1)
        wanted = {group for group in connected(edges, rank) if group not in stricter}
        assert {frozenset(group.members) for group in groups if group.rank == rank} == wanted
    for group in groups:
        # its own hits join it and the groups within: one fewer than there are of them
        loose = set(group.members) - {member for inner in group.inner for member in inner.members}
        assert len(group.edges) == len(loose) + len(group.inner) - 1
        assert all(edges[place][0] == group.rank for _, place, _ in group.edges)
        joined = Forest[int]()
        joined.grow(THINGS)
        for _, place, _ in group.every_edge():
            joined.join(edges[place][1], edges[place][2], place)
        assert len({joined.root(int(member)) for member in group.members}) == 1
    assert {frozenset(group.members) for group in outermost(groups)} == connected(edges, RANKS)


def test_a_forest_tells_whether_an_edge_was_needed_and_keeps_fewer_edges_than_things() -> None:
    forest = Forest[str]()
    forest.grow(4)
    assert [forest.join(0, 1, "a"), forest.join(1, 0, "b"), forest.join(2, 3, "c"), forest.join(0, 3, "d"), forest.join(1, 2, "e")] == [
        True, False, True, True, False
    ]  # fmt: skip
    assert forest.edges == ["a", "c", "d"]
    assert list(forest.trees()) == [[0, 1, 2, 3]]


def test_a_long_chain_is_one_group() -> None:
    grouping = Grouping(1)
    for number in range(50_000):
        grouping.join(str(number), str(number + 1), (0, number, 0))
    (group,) = grouping.groups()
    assert len(group.members) == 50_001
