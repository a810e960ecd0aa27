"""Which edges of a mesh make its line drawing: borders, creases and the outline, where nothing stands in front of them."""

from __future__ import annotations

import numpy as np

from workers.cad.shape import Flags, Floats, Integers

_CREASE = np.cos(0.5)
_SHORTEST = 0.7  # pixels
_MOST_EDGES = 40_000
_STEP = 3.0  # pixels between two looks at an edge
_SLACK = 0.004  # of the depth of the view


def drawn_edges(points: Floats, triangles: Integers, normals: Floats, depth: Floats) -> Floats:
    """Visible pieces (k, 2, 2) of edges, in pixels. `points` as the eye sees them, `depth` of the surface in each pixel."""
    ends = _telling(points, triangles, normals)
    lines = points[ends]
    lengths = np.hypot(*(lines[:, 1, :2] - lines[:, 0, :2]).T)
    long = np.flatnonzero(lengths >= _SHORTEST)
    if len(long) > _MOST_EDGES:
        long = np.sort(long[np.argsort(-lengths[long], kind="stable")[:_MOST_EDGES]])
    return _visible(lines[long], lengths[long], depth)


def _telling(points: Floats, triangles: Integers, normals: Floats) -> Integers:
    """Ends (e, 2) of edges with one triangle, with more than two, where the surface turns sharply, or turns away from the eye."""
    tail = triangles.reshape(-1)
    head = np.roll(triangles, -1, axis=1).reshape(-1)
    key = np.minimum(tail, head) * len(points) + np.maximum(tail, head)
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.append(True, np.diff(key[order]) != 0))
    size = np.diff(np.append(first, len(order)))
    one = order[first]
    two = order[np.minimum(first + 1, len(order) - 1)]
    n, m = normals[one // 3], normals[two // 3]
    # triangles that run along the edge in the same direction face opposite ways
    m = np.where((tail[one] == tail[two])[:, None], -m, m)
    flat = (n * n).sum(axis=1) * (m * m).sum(axis=1) == 0
    crease = (np.einsum("ij,ij->i", n, m) < _CREASE) & ~flat
    outline = (n[:, 2] * m[:, 2] < 0) & (np.abs(n[:, 2] - m[:, 2]) > 1e-9)
    telling = one[(size != 2) | crease | outline]
    return np.column_stack([tail[telling], head[telling]])


def _visible(lines: Floats, lengths: Floats, depth: Floats) -> Floats:
    """Pieces of lines (e, 2, 3) that are not behind the surface, by looking at points along them."""
    if not len(lines):
        return np.zeros((0, 2, 2))
    side = len(depth)
    counts = np.ceil(lengths / _STEP).astype(np.int64) + 1
    owner = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    share = (np.arange(len(owner)) - first[owner]) / np.maximum(counts - 1, 1)[owner]
    places = lines[owner, 0] + (lines[owner, 1] - lines[owner, 0]) * share[:, None]
    column, row = (np.clip(places[:, at].astype(np.int64), 0, side - 1) for at in (0, 1))
    # the farthest of the pixels around: beside an edge the surface falls away from it
    free = places[:, 2] >= _farthest(depth)[row, column] - _SLACK
    shown = free[:-1] & free[1:] & (owner[:-1] == owner[1:])
    return np.asarray(places[_runs(shown, owner)][:, :, :2])


def _runs(shown: Flags, owner: Integers) -> Integers:
    """First and last point of each run of pieces shown one after the other on one edge."""
    before = np.append(False, shown[:-1] & (owner[:-2] == owner[1:-1]))
    after = np.append(shown[1:] & (owner[1:-1] == owner[2:]), False)
    return np.column_stack([np.flatnonzero(shown & ~before), np.flatnonzero(shown & ~after) + 1])


def _farthest(depth: Floats) -> Floats:
    """Least depth among each pixel and its eight neighbours."""
    wide = np.pad(depth, 1, mode="edge")
    across = np.minimum(np.minimum(wide[:, :-2], wide[:, 1:-1]), wide[:, 2:])
    return np.asarray(np.minimum(np.minimum(across[:-2], across[1:-1]), across[2:]))
