"""From shells to edges: all faces, loops and edges of all solids as flat tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.analytic.solids import Solids
from workers.cad.analytic.splines import points
from workers.cad.analytic.surfaces import kinds_of
from workers.cad.shape import Flags, Floats, Integers

# so large a table costs less than a sort
_FEW = 100_000


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    solid: Integers  # (f,) of each face, by its place among the solids
    surfaces: Integers  # (f,) rows of their surfaces
    inward: Flags  # (f,) the face looks against the normal of its surface
    face: Integers  # (u,) of each use of an edge, loop after loop, as the border runs around the face
    loop: Integers  # (u,)
    edge: Integers  # (u,)
    forward: Flags  # (u,) the border follows the edge
    curves: Integers  # (e,) rows of EDGE_CURVEs
    tails: Integers  # (e,) vertices
    heads: Integers
    edge_solid: Integers  # (e,)
    vertices: Floats  # (3, v) in millimetres


def topology(table: Instances, solids: Solids) -> Topology:
    """Raises `NotCovered` where anything is not of the kind it should be, or is used by two solids."""
    shells = _of(table, table.rows(solids.rows, 0), b"CLOSED_SHELL")
    faces, solid = table.lists(shells)
    _of(table, faces, b"ADVANCED_FACE")
    surfaces = table.rows(faces, -1)
    # the most usual reason for the kernel, before any number of the file is read
    kinds_of(table, surfaces)
    count = len(table.kinds)
    keys = solid * count + faces
    keys.sort()
    if np.count_nonzero(keys[1:] == keys[:-1]):
        raise NotCovered("a face that is used twice")
    bounds, face = table.lists(faces, drop=1)
    if not table.all_are(bounds, b"FACE_OUTER_BOUND", b"FACE_BOUND"):
        raise NotCovered("an odd border")
    loops = _of(table, table.rows(bounds, 0), b"EDGE_LOOP")
    uses, loop = table.lists(loops)
    _of(table, uses, b"ORIENTED_EDGE")
    flags = table.flags(np.concatenate([bounds, uses, faces]))
    kept, along, outward = flags[: len(bounds)].take(loop), flags[len(bounds) : -len(faces)], flags[-len(faces) :]
    # a border that is turned around runs through its edges from the last to the first
    counts = table.lengths.take(loops)
    last = counts.cumsum() - 1
    order = np.arange(len(uses))
    if np.count_nonzero(kept) < len(kept):
        order = np.where(kept, order, (2 * last - counts + 1).take(loop) - order)
    uses, forward = uses.take(order), along.take(order) == kept
    # the same row in another occurrence of its solid is another edge
    use_face = face.take(loop)
    every, edge = _distinct(solid.take(use_face) * count + _of(table, table.rows(uses, -1), b"EDGE_CURVE"))
    owners, curves = np.divmod(every, count)
    ends = np.concatenate([table.rows(curves, 0), table.rows(curves, 1)])
    corners, names = _distinct(np.concatenate([owners, owners]) * count + _of(table, ends, b"VERTEX_POINT"))
    tails, heads = names[: len(curves)], names[len(curves) :]
    holders, corners = np.divmod(corners, count)
    places = solids.poses.moved(points(table, table.rows(corners, 0)), holders)
    if len(solids.rows) > 1:
        _apart(curves, owners, solids.rows)
        _apart(corners, holders, solids.rows)
    made = Topology(solid, surfaces, ~outward, use_face, loop, edge, forward, curves, tails, heads, owners, places)
    _check(made, last)
    return made


def _distinct(keys: Integers) -> tuple[Integers, Integers]:
    """As np.unique with the inverse; several times faster where keys are small."""
    largest = int(keys.max())
    if largest > _FEW + 16 * len(keys):
        found, places = np.unique(keys, return_inverse=True)
        return found, places
    present = np.zeros(largest + 1, dtype=np.int64)
    present[keys] = 1
    return present.nonzero()[0], (present.cumsum() - 1).take(keys)


def _of(table: Instances, rows: Integers, word: bytes) -> Integers:
    if not table.all_are(rows, word):
        raise NotCovered(f"something that should be {word.decode()} is not")
    return rows


def _apart(things: Integers, owners: Integers, solids: Integers) -> None:
    """No two solids of the file share an edge or a corner; two occurrences of one solid do not count."""
    pairs = np.unique(np.stack([things, solids[owners]]), axis=1)
    if len(np.unique(things)) != pairs.shape[1]:
        raise NotCovered("solids that share their edges or corners")


def _check(made: Topology, last: Integers) -> None:
    """Every edge is used twice, once in each way, and loops run from vertex to vertex; `last` (l,) use of each loop."""
    uses = np.bincount(2 * made.edge + made.forward, minlength=2 * len(made.curves))
    if np.count_nonzero(uses != 1):
        raise NotCovered("a shell that is not closed")
    tails, heads = made.tails.take(made.edge), made.heads.take(made.edge)
    begin, end = np.where(made.forward, tails, heads), np.where(made.forward, heads, tails)
    following = np.arange(1, len(begin) + 1)
    following[last[1:]], following[last[0]] = last[:-1] + 1, 0
    if np.count_nonzero(end != begin.take(following)):
        raise NotCovered("a border with a gap")
