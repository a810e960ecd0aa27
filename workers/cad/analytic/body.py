"""The body of a checked STEP text without a geometry kernel, or the reason why a kernel must read it."""

from __future__ import annotations

import math

import numpy as np

from foundation.engine_settings import CadSettings
from workers.cad.analytic.curves import CURVE_NAMES, DEVIATION, Edges, edges_of
from workers.cad.analytic.instances import Instances, NotCovered, instances
from workers.cad.analytic.meshing import Borders, Facets, facets
from workers.cad.analytic.solids import KEYWORDS as SOLID_WORDS
from workers.cad.analytic.solids import solids_of
from workers.cad.analytic.surfaces import CONE, PLANE, SPHERE, SURFACE_NAMES, TORUS, Masses, Pieces, Surfaces, masses, surfaces_of
from workers.cad.analytic.topology import Topology, topology
from workers.cad.analytic.vectors import cross, dot
from workers.cad.brep.measured import NEAR, Body
from workers.cad.brep.step_text import StepText
from workers.cad.shape import LARGEST, FindingCode, Floats, Integers, Mesh, area_vectors, steps
from workers.cad.stl import rewelded

_WORDS = (*SOLID_WORDS, b"CLOSED_SHELL", b"ADVANCED_FACE", b"FACE_BOUND", b"FACE_OUTER_BOUND", b"EDGE_LOOP", b"ORIENTED_EDGE",
          b"EDGE_CURVE", b"VERTEX_POINT", b"CARTESIAN_POINT", b"DIRECTION", b"VECTOR", b"AXIS2_PLACEMENT_3D", b"LINE", b"CIRCLE",
          b"ELLIPSE", b"HYPERBOLA", b"B_SPLINE_CURVE_WITH_KNOTS", b"SURFACE_CURVE", b"SEAM_CURVE", b"INTERSECTION_CURVE", b"PLANE",
          b"CYLINDRICAL_SURFACE", b"CONICAL_SURFACE", b"SPHERICAL_SURFACE", b"TOROIDAL_SURFACE", b"PCURVE",
          b"DEFINITIONAL_REPRESENTATION")  # fmt: skip
# the least references each must have
_LEAST = {b"CLOSED_SHELL": 1, b"ADVANCED_FACE": 2, b"FACE_BOUND": 1, b"FACE_OUTER_BOUND": 1, b"EDGE_LOOP": 1, b"ORIENTED_EDGE": 1,
          b"EDGE_CURVE": 3, b"VERTEX_POINT": 1, b"VECTOR": 1, b"AXIS2_PLACEMENT_3D": 1, b"LINE": 2, b"CIRCLE": 1, b"ELLIPSE": 1,
          b"HYPERBOLA": 1, b"B_SPLINE_CURVE_WITH_KNOTS": 2, b"SURFACE_CURVE": 2, b"SEAM_CURVE": 2, b"INTERSECTION_CURVE": 2, b"PLANE": 1,
          b"CYLINDRICAL_SURFACE": 1, b"CONICAL_SURFACE": 1, b"SPHERICAL_SURFACE": 1, b"TOROIDAL_SURFACE": 1, b"PCURVE": 2,
          b"DEFINITIONAL_REPRESENTATION": 2}  # fmt: skip
# by kind; any number will do for others
_LEAST_OF = np.array([*(_LEAST.get(word, 0) for word in _WORDS), 0])
_ROUND = np.array([1, 2, 0])
# millimetres: the shortest edge and the smallest shape; below a tenth of the first the kernel tells nothing apart
_SHORTEST, _SMALLEST = 1e-6, 1e-3
# in parts of the diagonal: what is called one place; how far a curve may lead past its vertices, and a border off its surface, as
# approximated intersections do. The kernel widens the tolerance of vertices and edges by as much, and by far more
_GAP, _APART, _OFF = 1e-6, 5e-3, 3e-5
# all gaps times the lengths of their edges, in parts of the area
_WRONG = 3e-3
# an area that is none, in parts of the diagonal's square
_NOTHING = 1e-9
# how far mesh and formula may differ: in parts of a face or a solid, and of a face in parts of the whole
_SHORT, _FACE = 0.02, 1e-6


def analytic_body(source: StepText, limits: CadSettings) -> Body:
    """Raises `NotCovered`."""
    # what overflows or is none fails a comparison later on
    with np.errstate(all="ignore"):
        return _body(source, limits)


def _body(source: StepText, limits: CadSettings) -> Body:
    table = instances(source, _WORDS)
    if any(finding.code is FindingCode.FILE_REPAIRED for finding in source.findings):
        raise NotCovered("a text that breaks off")
    _complete(table)
    solids = solids_of(table, source)
    topo = topology(table, solids)
    surfaces = surfaces_of(table, topo.surfaces, solids.poses, topo.solid, solids.angles[topo.solid])
    bulging = bool(np.count_nonzero(surfaces.kinds >= SPHERE))
    edges = edges_of(table, topo.curves, topo.vertices, topo.tails, topo.heads, solids.poses, topo.edge_solid, bulging)
    extent = math.dist(edges.lows.tolist(), edges.highs.tolist())
    if not _SMALLEST < extent <= LARGEST or not float(np.abs(edges.nodes).max()) <= LARGEST:
        raise NotCovered("a shape without a sensible extent")
    if not float(edges.lengths.min()) > _SHORTEST:
        raise NotCovered("an edge without length")
    apart = float(edges.gaps.max())
    if not apart <= _APART * extent:
        raise NotCovered("edges that do not end at their vertices")
    borders, piece, vertices = _borders(topo, edges, surfaces, _GAP * extent, _OFF * extent + apart)
    made = facets(borders, surfaces, topo.inward, vertices.shape[1], DEVIATION * extent)
    measures = _measured(topo, edges, surfaces, borders, piece, made, _OFF * extent + apart)
    bows = np.asarray(np.bincount(borders.face, edges.bows.take(piece), len(surfaces.kinds)), dtype=np.float64)
    vertices = np.concatenate([vertices, made.places], axis=1)
    _closed(made.triangles, vertices.shape[1])
    if len(made.triangles) > limits.max_triangles:
        raise NotCovered("a mesh of too many triangles")
    if not float(edges.gaps @ edges.lengths) <= _WRONG * float(measures.areas.sum()):
        raise NotCovered("edges that end too far from their vertices")
    corners = vertices.take(made.triangles.T, axis=1)
    area, volume = _checked(topo, measures, made, corners, bows)
    types = _counted(SURFACE_NAMES, surfaces.kinds)
    curves = _counted(CURVE_NAMES, edges.kinds)
    if made.seams:
        # the kernel adds what it needs to cut such faces open, as curves of its own
        curves["bspline"] = curves.get("bspline", 0) + made.seams
    box = _box(surfaces, edges, made, vertices)
    if not area > _NOTHING * extent * extent:
        raise NotCovered("a mesh without area")
    # as the mesh of the kernel is: single floats about the middle, nodes of neighbouring solids become one
    middle = (vertices.min(axis=1) + vertices.max(axis=1)) / 2
    mesh = rewelded((vertices - middle[:, None]).astype(np.float32), made.triangles, NEAR * extent)
    mesh = Mesh(mesh.vertices + middle, mesh.triangles)
    facts = {
        "solids": len(solids.rows),
        "shells": len(solids.rows),
        "closed": True,
        "edges": curves,
        "vertices": topo.vertices.shape[1],
        "faces": types,
        "area": area,
        "volume": volume,
        "triangles": len(mesh.triangles),
    }
    return Body(mesh, box, types, facts, ())


def _complete(table: Instances) -> None:
    """Nothing is missing from any geometry of the file, used or not, and nothing is made of itself: that is for the kernel to judge."""
    owner = np.arange(len(table.kinds)).repeat(table.lengths)
    if np.count_nonzero(owner == table.references):
        raise NotCovered("an entity that refers to itself")
    if np.count_nonzero(table.references < 0) or np.count_nonzero(table.lengths < _LEAST_OF.take(table.kinds)):
        raise NotCovered("geometry that refers to nothing")


def _borders(topo: Topology, edges: Edges, surfaces: Surfaces, gap: float, most: float) -> tuple[Borders, Integers, Floats]:
    """The nodes of all borders; the span of an edge that begins at each; all vertices (3, n)."""
    spans = edges.counts - 1
    # vertices first, then the nodes within edges
    first = edges.counts.cumsum() - edges.counts
    last = first + spans
    count, corners = edges.nodes.shape[1], topo.vertices.shape[1]
    within = np.ones(count, dtype=bool)
    within[first] = within[last] = False
    inner = within.nonzero()[0]
    names = np.empty(count, dtype=np.int64)
    names[inner] = np.arange(corners, corners + len(inner))
    names[first], names[last] = topo.tails, topo.heads
    vertices = np.concatenate([topo.vertices, edges.nodes.take(inner, axis=1)], axis=1)
    use, place = steps(spans.take(topo.edge))
    # nodes and spans of an edge stand one after the other; a border that runs against the edge takes them from the last to the first
    begin = np.where(topo.forward, first.take(topo.edge), last.take(topo.edge))
    piece = begin - topo.edge - ~topo.forward
    forward = topo.forward.take(use)
    move = np.where(forward, place, -place)
    node, piece = begin.take(use) + move, piece.take(use) + move
    face = topo.face.take(use)
    local = surfaces.local(face, edges.nodes.take(node, axis=1))
    if not float(surfaces.distances(face, local).max()) <= most:
        raise NotCovered("edges that leave their surfaces")
    u, v = surfaces.parameters(face, local)
    kinds = surfaces.kinds.take(face)
    axis = (kinds == CONE) | (kinds == SPHERE)
    if np.count_nonzero(axis):
        axis &= np.hypot(local[0], local[1]) < gap
    return Borders(face, topo.loop.take(use), names.take(node), u, v, axis, forward), piece, vertices


def _measured(topo: Topology, edges: Edges, surfaces: Surfaces, borders: Borders, piece: Integers, made: Facets, most: float) -> Masses:
    swirls = edges.swirls.take(topo.edge, axis=1) * np.where(topo.forward, 1.0, -1.0)
    corners = topo.vertices.take(np.where(topo.forward, topo.tails.take(topo.edge), topo.heads.take(topo.edge)), axis=1)
    curved = (surfaces.kinds.take(borders.face) != PLANE).nonzero()[0].repeat(edges.each)
    face = borders.face.take(curved)
    some = piece.take(curved) * edges.each + np.arange(len(curved)) % edges.each
    local = surfaces.local(face, edges.places.take(some, axis=1))
    if len(face) and not float(surfaces.distances(face, local).max()) <= most:
        raise NotCovered("edges that leave their surfaces")
    tangents = edges.tangents.take(some, axis=1) * np.where(borders.forward.take(curved), 1.0, -1.0)
    v = np.zeros(len(face))
    ring = (surfaces.kinds.take(face) == TORUS).nonzero()[0]
    if len(ring):
        _, raw = surfaces.parameters(face[ring], local[:, ring])
        start = made.v[curved[ring]]
        v[ring] = start + (raw - start + np.pi) % (2 * np.pi) - np.pi
    pieces = Pieces(face, local, surfaces.turned(face, tangents), v)
    return masses(surfaces, topo.inward, topo.face, corners, swirls, pieces, made.jumps)


def _closed(triangles: Integers, count: int) -> None:
    """Every edge of the mesh has two triangles, which agree on what is outside."""
    tail, head = triangles.T.ravel(), triangles.take(_ROUND, axis=1).T.ravel()
    # an even number for one way along each edge, and the next one for the way back
    ways = 2 * (np.minimum(tail, head) * count + np.maximum(tail, head)) + (tail > head)
    ways.sort()
    forth, back = ways[::2], ways[1::2]
    if len(forth) != len(back) or np.count_nonzero(forth & 1) or np.count_nonzero(back - forth != 1):
        raise NotCovered("a mesh that is not closed")


def _checked(topo: Topology, measures: Masses, made: Facets, corners: Floats, bows: Floats) -> tuple[float, float]:
    """Exact area and volume, if each face and each solid agrees with its mesh of triangles with `corners` (3 axes, 3 corners, m)."""
    normals = area_vectors(corners)
    meshed = np.bincount(made.faces, np.sqrt(dot(normals, normals)) / 2, len(measures.areas))
    total = float(measures.areas.sum())
    allowed = _SHORT * measures.areas + bows + _FACE * total
    # comparisons are false for NaN as well
    if np.count_nonzero((measures.areas > 0) & (np.abs(meshed - measures.areas) <= allowed)) < len(meshed):
        raise NotCovered("a face whose mesh and formula differ")
    count = int(topo.solid.max()) + 1
    volumes = np.bincount(topo.solid, measures.volumes, count)
    pieces = np.bincount(topo.solid.take(made.faces), dot(corners[:, 0], normals) / 6, count)
    if np.count_nonzero((volumes > 0) & (np.abs(volumes - pieces) <= _SHORT * volumes)) < count:
        raise NotCovered("a solid whose mesh and formula differ")
    return total, float(volumes.sum())


def _counted(names: tuple[str, ...], kinds: Integers) -> dict[str, int]:
    found = np.bincount(kinds, minlength=len(names))
    return {name: int(count) for name, count in zip(names, found, strict=True) if count}


def _box(surfaces: Surfaces, edges: Edges, made: Facets, vertices: Floats) -> Floats:
    """Lowest and highest corner: of the edges, and of what bulges beyond them."""
    low, high = np.minimum(edges.lows, vertices.min(axis=1)), np.maximum(edges.highs, vertices.max(axis=1))
    balls = (surfaces.kinds == SPHERE).nonzero()[0]
    if len(balls):
        order = np.argsort(made.faces, kind="stable")
        ends = made.faces[order].searchsorted(np.stack([balls, balls + 1]))
        for face, begin, end in zip(balls.tolist(), *ends.tolist(), strict=True):
            corners = vertices.T[made.triangles[order[begin:end]]]
            centre, radius = surfaces.frames.origins[:, face], float(surfaces.sizes[0, face])
            for axis in range(3):
                for sign in (-1.0, 1.0):
                    tip = np.zeros(3)
                    tip[axis] = sign
                    if _pierced(corners - centre, tip):
                        place = centre + radius * tip
                        low[axis], high[axis] = min(low[axis], place[axis]), max(high[axis], place[axis])
    return np.array([low, high])


def _pierced(corners: Floats, way: Floats) -> bool:
    """Whether a ray from the origin meets one of the triangles (m, 3, 3)."""
    a, b, c = corners.transpose(1, 2, 0)
    sides = np.stack([way @ cross(a, b), way @ cross(b, c), way @ cross(c, a)])
    allowed = 1e-9 * np.abs(sides).max(initial=0.0)
    ahead = way @ (a + b + c) > 0
    return bool((((sides >= -allowed).all(axis=0) | (sides <= allowed).all(axis=0)) & ahead).any())
