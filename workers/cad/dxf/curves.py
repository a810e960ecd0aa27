"""One DXF entity after the other into strokes: which kinds have an outline, and what it is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from workers.cad.dxf.strokes import Strokes
from workers.cad.shape import FindingCode, Floats

Point = Sequence[float]

# words and dimensions describe a part, they do not shape it
ANNOTATIONS = frozenset(
    {
        "TEXT",
        "MTEXT",
        "ATTDEF",
        "ATTRIB",
        "DIMENSION",
        "ARC_DIMENSION",
        "LARGE_RADIAL_DIMENSION",
        "LEADER",
        "MULTILEADER",
        "MLEADER",
        "TOLERANCE",
        "ACAD_TABLE",
        "POINT",
        "VIEWPORT",
        "SHAPE",
        "SEQEND",
        "VERTEX",
    }
)
REFERENCES = frozenset({"IMAGE", "WIPEOUT", "PDFUNDERLAY", "DWFUNDERLAY", "DGNUNDERLAY", "OLE2FRAME", "OLEFRAME"})

# pieces for each span between spline knots, and at most for one spline
SPAN_PIECES, SPLINE_PIECES = 8, 20_000
_HATCH_PIECES = 16
_UP = (0.0, 0.0, 1.0)


class Collector:
    """Gathers the strokes of one block or layout, entity by entity."""

    def __init__(self) -> None:
        self.findings: Counter[FindingCode] = Counter()
        self._lines: list[Floats] = []
        self._flags: list[tuple[int, int, bool]] = []  # (path, pieces, curved) for each array of _lines
        self._segments: list[tuple[Point, Point]] = []  # LINE entities: one path each, converted at once at the end
        self._arcs: list[tuple[Point, Point, Point, float, float, int]] = []
        self._paths = 0

    def add(self, entity: Any) -> None:
        """Take in one entity that is no INSERT."""
        kind = entity.dxftype()
        draw = _DRAW.get(kind)
        if draw is None:
            if kind in REFERENCES:
                self.findings[FindingCode.REFERENCES_IGNORED] += 1
            elif kind not in ANNOTATIONS:
                self.findings[FindingCode.ENTITIES_SKIPPED] += 1
            return
        from ezdxf.lldxf.const import DXFError

        try:
            drawn = draw(self, entity)
        except (DXFError, ValueError, TypeError, IndexError, ZeroDivisionError):
            # what ezdxf raises for definitions that make no curve: wrong knots, no axis, missing points
            drawn = False
        self._paths += 1
        if not drawn:
            self.findings[FindingCode.ENTITIES_INVALID] += 1

    def strokes(self) -> Strokes:
        """Everything taken in so far."""
        first = len(self._segments)
        segments = np.array(self._segments, dtype=np.float64).reshape(-1, 2, 3)
        lines = np.concatenate([segments, *self._lines]) if self._lines else segments
        curved, inner = np.zeros(len(lines), bool), np.zeros((len(lines), 2), bool)
        path = np.arange(len(lines), dtype=np.int64)
        at, offset = first, first
        for number, pieces, bent in self._flags:
            stop = at + pieces
            path[at:stop] = offset + number
            if bent:
                curved[at:stop] = True
                inner[at + 1 : stop, 0] = True
                inner[at : stop - 1, 1] = True
            at = stop
        count = len(self._arcs)
        arcs = np.array([arc[:3] for arc in self._arcs], dtype=np.float64).reshape(count, 3, 3)
        spans = np.array([arc[3:5] for arc in self._arcs], dtype=np.float64).reshape(count, 2)
        arc_path = np.array([offset + arc[5] for arc in self._arcs], dtype=np.int64)
        # a path number per LINE before all others; unused numbers do no harm, paths are counted by what they hold
        return Strokes(lines, curved, inner, path, arcs, spans, arc_path, offset + self._paths)

    def segment(self, tail: Any, head: Any) -> None:
        self._segments.append(((tail.x, tail.y, tail.z), (head.x, head.y, head.z)))

    def chain(self, points: Iterable[Any], curved: bool = False) -> bool:
        """Straight pieces through points; False when there are fewer than two."""
        vertices = np.array([tuple(point) for point in points], dtype=np.float64).reshape(-1, 3)
        if len(vertices) < 2:
            return False
        self.pieces(np.stack([vertices[:-1], vertices[1:]], axis=1), curved)
        return True

    def pieces(self, lines: Floats, curved: bool = False) -> None:
        """Straight pieces (n, 2, 3) of the present entity; those of a curve are in order."""
        if len(lines):
            self._lines.append(lines)
            self._flags.append((self._paths, len(lines), curved))

    def arc(self, centre: Point, u: Point, v: Point, start: float, sweep: float) -> None:
        self._arcs.append((centre, u, v, start, sweep, self._paths))


def _frame(entity: Any) -> tuple[Point, Point, Point] | None:
    """Axes of the object coordinate system, None when it is the world's."""
    extrusion = entity.dxf.get("extrusion")
    if extrusion is None or (extrusion.x == 0 and extrusion.y == 0 and extrusion.z > 0):
        return None
    ocs = entity.ocs()
    return tuple(ocs.ux), tuple(ocs.uy), tuple(ocs.uz)


def _world(frame: tuple[Point, Point, Point] | None, points: Floats) -> Floats:
    return points if frame is None else points @ np.array(frame, dtype=np.float64)


def _line(to: Collector, entity: Any) -> bool:
    to.segment(entity.dxf.start, entity.dxf.end)
    return True


def _circular(to: Collector, entity: Any) -> bool:
    """CIRCLE and ARC."""
    radius = entity.dxf.radius
    if not radius > 0:
        return False
    start, sweep = 0.0, 2 * math.pi
    if entity.dxftype() == "ARC":
        start = math.radians(entity.dxf.start_angle)
        sweep = math.radians((entity.dxf.end_angle - entity.dxf.start_angle) % 360.0) or 2 * math.pi
    _place(to, _frame(entity), tuple(entity.dxf.center), radius, start, sweep)
    return True


def _place(to: Collector, frame: tuple[Point, Point, Point] | None, centre: Point, radius: float, start: float, sweep: float) -> None:
    if frame is None:
        to.arc(centre, (radius, 0.0, 0.0), (0.0, radius, 0.0), start, sweep)
        return
    axes = np.array(frame, dtype=np.float64)
    to.arc(tuple(np.array(centre) @ axes), tuple(axes[0] * radius), tuple(axes[1] * radius), start, sweep)


def _ellipse(to: Collector, entity: Any) -> bool:
    major, minor = entity.dxf.major_axis, entity.minor_axis
    if not major.magnitude > 0:
        return False
    start = entity.dxf.start_param
    sweep = (entity.dxf.end_param - start) % (2 * math.pi)
    to.arc(tuple(entity.dxf.center), tuple(major), tuple(minor), start, sweep if sweep > 1e-12 else 2 * math.pi)
    return True


def _bulged(to: Collector, points: Floats, bulges: Floats, closed: bool, frame: tuple[Point, Point, Point] | None) -> bool:
    """A polyline in its plane, points (n, 3): straight where the bulge is 0, else an arc of angle 4 atan(bulge)."""
    if closed and len(points) > 1:
        points = np.concatenate([points, points[:1]])
    else:
        bulges = bulges[:-1]
    if len(points) < 2:
        return False
    tails, heads = points[:-1], points[1:]
    bent = (bulges != 0) & (tails != heads).any(axis=1)
    world = _world(frame, points)
    to.pieces(np.stack([world[:-1], world[1:]], axis=1)[~bent])
    for at in np.flatnonzero(bent):
        (x0, y0, z), (x1, y1, _), bulge = tails[at], heads[at], float(bulges[at])
        # centre: from the middle of the chord, across it, by (1 - b^2) / 4b chords
        across = (1 - bulge * bulge) / (4 * bulge)
        centre = ((x0 + x1) / 2 - across * (y1 - y0), (y0 + y1) / 2 + across * (x1 - x0), z)
        radius = math.hypot(x1 - x0, y1 - y0) * (1 + bulge * bulge) / (4 * abs(bulge))
        begin = (x0, y0) if bulge > 0 else (x1, y1)
        _place(to, frame, centre, radius, math.atan2(begin[1] - centre[1], begin[0] - centre[0]), 4 * math.atan(abs(bulge)))
    return True


def _lwpolyline(to: Collector, entity: Any) -> bool:
    rows = np.array(entity.lwpoints.values, dtype=np.float64).reshape(-1, 5)
    points = np.column_stack([rows[:, :2], np.full(len(rows), float(entity.dxf.elevation))])
    return _bulged(to, points, rows[:, 4], bool(entity.closed), _frame(entity))


def _polyline(to: Collector, entity: Any) -> bool:
    if entity.is_polygon_mesh or entity.is_poly_face_mesh:
        drawn = [_face(to, face) for face in entity.virtual_entities() if face.dxftype() == "3DFACE"]
        return any(drawn)
    # frame points of spline-fitted polylines steer the curve, they are not on it
    vertices = [vertex for vertex in entity.vertices if not vertex.dxf.flags & 16]
    points = np.array([tuple(vertex.dxf.location) for vertex in vertices], dtype=np.float64).reshape(-1, 3)
    if entity.is_3d_polyline:
        return _bulged(to, points, np.zeros(len(points)), bool(entity.is_closed), None)
    bulges = np.array([vertex.dxf.get("bulge", 0.0) for vertex in vertices], dtype=np.float64)
    return _bulged(to, points, bulges, bool(entity.is_closed), _frame(entity))


def _spline(to: Collector, entity: Any) -> bool:
    curve = entity.construction_tool()
    knots = curve.knots()
    pieces = min(max(len(set(knots)) - 1, 1) * SPAN_PIECES, SPLINE_PIECES)
    first, last = knots[curve.order - 1], knots[-curve.order]
    if not (math.isfinite(first) and math.isfinite(last)):
        return False
    # even steps of the parameter, not of the distance: the same points in every pose and size
    return to.chain(curve.points(np.linspace(first, last, pieces + 1).tolist()), curved=True)


def _face(to: Collector, entity: Any) -> bool:
    """3DFACE, SOLID and TRACE: the rim."""
    corners = np.array([tuple(corner) for corner in entity.wcs_vertices()], dtype=np.float64).reshape(-1, 3)
    return _bulged(to, corners, np.zeros(len(corners)), True, None)


def _mesh(to: Collector, entity: Any) -> bool:
    vertices = np.array([tuple(vertex) for vertex in entity.vertices], dtype=np.float64).reshape(-1, 3)
    drawn = [to.chain(vertices[[*face, face[0]]]) for face in entity.faces if len(face) > 1]
    return any(drawn)


def _hatch(to: Collector, entity: Any) -> bool:
    from ezdxf.path import from_hatch

    drawn = [to.chain(path.approximate(_HATCH_PIECES), curved=path.has_curves) for path in from_hatch(entity)]
    return any(drawn)


def _mline(to: Collector, entity: Any) -> bool:
    drawn = [_DRAW[part.dxftype()](to, part) for part in entity.virtual_entities() if part.dxftype() in ("LINE", "ARC")]
    return any(drawn)


_DRAW: dict[str, Callable[[Collector, Any], bool]] = {
    "LINE": _line,
    "CIRCLE": _circular,
    "ARC": _circular,
    "ELLIPSE": _ellipse,
    "LWPOLYLINE": _lwpolyline,
    "POLYLINE": _polyline,
    "SPLINE": _spline,
    "HELIX": _spline,
    "3DFACE": _face,
    "SOLID": _face,
    "TRACE": _face,
    "MESH": _mesh,
    "HATCH": _hatch,
    "MPOLYGON": _hatch,
    "MLINE": _mline,
}
