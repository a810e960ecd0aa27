"""From shells to edges: all faces, loops and edges of all solids as flat tables."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.cad.analytic.instances import Instances, NotCovered
from workers.cad.analytic.solids import Solids
from workers.cad.analytic.splines import points
from workers.cad.analytic.surfaces import kinds_of
from workers.cad.shape import Flags, Floats, Integers, steps

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
    vertices: Floats  # (v, 3) in millimetres


def topology(table: Instances, solids: Solids) -> Topology:
    """Raises `NotCovered` where anything is not of the kind it should be, or is used by two solids."""
    shells = _of(table, table.rows(solids.rows, 0), b"CLOSED_SHELL")
    faces, solid = table.lists(shells)
    _of(table, faces, b"ADVANCED_FACE")
    surfaces = table.rows(faces, -1)
    # the most usual reason for the kernel, before any number of the file is read
    kinds_of(table, surfaces)
    count = len(table.kinds)
    keys = np.sort(solid * count + faces)
    if (keys[1:] == keys[:-1]).any():
        raise NotCovered("a face that is used twice")
    bounds, face = table.lists(faces, drop=1)
    if not table.are(bounds, b"FACE_OUTER_BOUND", b"FACE_BOUND").all():
        raise NotCovered("an odd border")
    loops = _of(table, table.rows(bounds, 0), b"EDGE_LOOP")
    uses, loop = table.lists(loops)
    _of(table, uses, b"ORIENTED_EDGE")
    kept, along, outward = np.split(table.flags(np.concatenate([bounds, uses, faces])), [len(bounds), len(bounds) + len(uses)])
    # a border that is turned around runs through its edges from the last to the first
    counts = table.counts(loops)
    _, place = steps(counts)
    first = np.cumsum(counts) - counts
    order = first[loop] + np.where(kept[loop], place, counts[loop] - 1 - place)
    uses, forward = uses[order], along[order] == kept[loop]
    # the same row in another occurrence of its solid is another edge
    use_face = face[loop]
    every, edge = _distinct(solid[use_face] * count + _of(table, table.rows(uses, -1), b"EDGE_CURVE"))
    curves, owners = every % count, every // count
    ends = np.stack([table.rows(curves, 0), table.rows(curves, 1)])
    corners, names = _distinct((owners * count + _of(table, ends, b"VERTEX_POINT")).ravel())
    tails, heads = names.reshape(ends.shape)
    places = solids.poses.moved(points(table, table.rows(corners % count, 0)), corners // count)
    if len(solids.rows) > 1:
        _apart(curves, owners, solids.rows)
        _apart(corners % count, corners // count, solids.rows)
    made = Topology(solid, surfaces, ~outward, use_face, loop, edge, forward, curves, tails, heads, owners, places)
    _check(made)
    return made


def _distinct(keys: Integers) -> tuple[Integers, Integers]:
    """As np.unique with the inverse; several times faster where keys are small."""
    largest = int(keys.max())
    if largest > _FEW + 16 * len(keys):
        found, places = np.unique(keys, return_inverse=True)
        return found, places
    present = np.zeros(largest + 1, dtype=np.int64)
    present[keys] = 1
    return np.flatnonzero(present), (np.cumsum(present) - 1).take(keys)


def _of(table: Instances, rows: Integers, word: bytes) -> Integers:
    if not table.are(rows, word).all():
        raise NotCovered(f"something that should be {word.decode()} is not")
    return rows


def _apart(things: Integers, owners: Integers, solids: Integers) -> None:
    """No two solids of the file share an edge or a corner; two occurrences of one solid do not count."""
    pairs = np.unique(np.stack([things, solids[owners]]), axis=1)
    if len(np.unique(things)) != pairs.shape[1]:
        raise NotCovered("solids that share their edges or corners")


def _check(made: Topology) -> None:
    """Every edge is used twice, once in each way, and loops run from vertex to vertex."""
    forth = np.bincount(made.edge[made.forward], minlength=len(made.curves))
    back = np.bincount(made.edge[~made.forward], minlength=len(made.curves))
    if (forth != 1).any() or (back != 1).any():
        raise NotCovered("a shell that is not closed")
    begin = np.where(made.forward, made.tails[made.edge], made.heads[made.edge])
    end = np.where(made.forward, made.heads[made.edge], made.tails[made.edge])
    following = np.arange(1, len(begin) + 1)
    changes = np.flatnonzero(made.loop[1:] != made.loop[:-1]) + 1
    following[np.concatenate([changes, [len(begin)]]) - 1] = np.concatenate([[0], changes])
    if (end != begin[following]).any():
        raise NotCovered("a border with a gap")
