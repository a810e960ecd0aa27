"""Outlines of all entities of one kind at once, by the same formulas as the reference draws one entity after the other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.cad.dxf.fast.forms import Forms
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.dxf.strokes import Strokes
from workers.cad.shape import Flags, Floats, Integers

# the border between the two ways to choose the x axis of an object's coordinate system, by the DXF reference
_NEAR_POLE = 1 / 64
_WORLD, _TURN = np.eye(3)[None], np.array([[0.0, 2 * np.pi]])
_NOTHING = np.zeros(0, dtype=np.int64)
_NO_LINES, _NO_ARCS, _NO_SPANS = np.zeros((0, 2, 3)), np.zeros((0, 3, 3)), np.zeros((0, 2))


@dataclass(slots=True, eq=False)
class Outlines:
    """Straight pieces, pieces of curves and arcs, each with the place of its entity; entities that have no sensible outline."""

    lines: list[tuple[Floats, Integers]] = field(default_factory=list)
    curves: list[tuple[Floats, Flags, Integers]] = field(default_factory=list)  # with the ends that are inner points
    arcs: list[tuple[Floats, Floats, Integers]] = field(default_factory=list)
    invalid: list[Integers] = field(default_factory=list)

    def place(self, of: Integers, frames: tuple[Floats, Flags], centres: Floats, radii: Floats, spans: Floats) -> None:
        """Circular arcs in the plane of their frames."""
        axes, turned = frames
        arcs = np.zeros((len(of), 3, 3))
        arcs[:, 0] = centres
        arcs[:, 1, 0] = arcs[:, 2, 1] = radii
        if np.count_nonzero(turned):
            arcs[turned, 0] = np.einsum("ni,nij->nj", centres[turned], axes[turned])
            arcs[turned, 1:] = axes[turned, :2] * radii[turned, None, None]
        self.arcs.append((arcs, spans, of))

    def parted(self, place: Integers) -> dict[int, Strokes]:
        """Strokes by the place of their entities; `place[e]` is that of entity e."""
        lines = _joined([*(piece for piece, _ in self.lines), *(piece for piece, _, _ in self.curves)], _NO_LINES)
        line_of = _joined([*(of for _, of in self.lines), *(of for _, _, of in self.curves)], _NOTHING)
        straight = sum(len(of) for _, of in self.lines)
        inner = np.zeros((len(lines), 2), dtype=bool)
        if self.curves:
            inner[straight:] = np.concatenate([inner for _, inner, _ in self.curves])
        arcs = _joined([arc for arc, _, _ in self.arcs], _NO_ARCS)
        spans = _joined([span for _, span, _ in self.arcs], _NO_SPANS)
        arc_of = _joined([of for _, _, of in self.arcs], _NOTHING)
        curved = np.zeros(len(lines), dtype=bool)
        curved[straight:] = True
        line_place, arc_place = place[line_of], place[arc_of]
        if not (np.count_nonzero(line_place) or np.count_nonzero(arc_place)):
            # all in one place: paths are told apart by their entity
            return {0: Strokes(lines, curved, inner, line_of, arcs, spans, arc_of, len(place))}
        parts = {}
        line_order, arc_order = line_place.argsort(kind="stable"), arc_place.argsort(kind="stable")
        line_place, arc_place = line_place[line_order], arc_place[arc_order]
        for number in np.union1d(line_place, arc_place).tolist():
            some = line_order[line_place.searchsorted(number) : line_place.searchsorted(number, side="right")]
            bent = arc_order[arc_place.searchsorted(number) : arc_place.searchsorted(number, side="right")]
            # without gaps in their numbers, for a block may be copied often
            paths, path = np.unique(np.concatenate([line_of[some], arc_of[bent]]), return_inverse=True)
            parts[number] = Strokes(
                lines[some], curved[some], inner[some], path[: len(some)], arcs[bent], spans[bent], path[len(some) :], len(paths)
            )
        return parts


def _joined(parts: list[NDArray[Any]], none: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate(parts) if len(parts) > 1 else parts[0] if parts else none


def frames(forms: Forms, of: Integers, subclass: int | None = None) -> tuple[Floats, Flags]:
    """Axes (n, 3, 3) of the object coordinate systems, and which of them are not the world's."""
    axes = _WORLD.repeat(len(of), axis=0)
    if forms.unknown(210):
        return axes, np.zeros(len(of), dtype=bool)
    up, found = forms.point(of, 210, subclass)
    up[~found] = (0.0, 0.0, 1.0)
    turned = ~((up[:, 0] == 0) & (up[:, 1] == 0) & (up[:, 2] > 0))
    if np.count_nonzero(turned):
        axes[turned] = _axes(up[turned])
    return axes, turned


def _axes(up: Floats) -> Floats:
    length = np.sqrt((up * up).sum(axis=1))
    if not ((length > 1e-9) & (length < 1e9)).all():
        raise NotCovered("an extrusion without a direction")
    z = up / length[:, None]
    if (np.abs(z - (0.0, 0.0, 1.0)).max(axis=1) < 1e-9).any():
        raise NotCovered("an extrusion that hardly leans")
    pole = (np.abs(z[:, 0]) < _NEAR_POLE) & (np.abs(z[:, 1]) < _NEAR_POLE)
    x = np.where(pole[:, None], np.cross((0.0, 1.0, 0.0), z), np.cross((0.0, 0.0, 1.0), z))
    x /= np.sqrt((x * x).sum(axis=1))[:, None]
    y = np.cross(z, x)
    y /= np.sqrt((y * y).sum(axis=1))[:, None]
    return np.stack([x, y, z], axis=1)


def raised(forms: Forms, of: Integers, points: Floats) -> Floats:
    """With the elevation of R11, which counts where an entity has no height of its own."""
    if forms.unknown(38):
        return points
    elevation = forms.number(of, 38)
    lifted = forms.old(of) & (elevation != 0) & (points[:, 2] == 0)
    points[lifted, 2] = elevation[lifted]
    return points


def lines(forms: Forms, of: Integers, to: Outlines) -> None:
    ends = np.empty((len(of), 2, 3))
    ends[:, 0], ends[:, 1] = forms.point(of, 10)[0], forms.point(of, 11)[0]
    to.lines.append((ends, of))


def circles(forms: Forms, of: Integers, to: Outlines) -> None:
    _round(forms, of, to, whole=True)


def arcs(forms: Forms, of: Integers, to: Outlines) -> None:
    _round(forms, of, to, whole=False)


def _round(forms: Forms, of: Integers, to: Outlines, whole: bool) -> None:
    radius = forms.number(of, 40, 1.0)
    good = radius > 0
    if np.count_nonzero(good) < len(good):
        to.invalid.append(of[~good])
        of, radius = of[good], radius[good]
    spans = _TURN.repeat(len(of), axis=0)
    if not whole:
        start, end = forms.number(of, 50), forms.number(of, 51, 360.0)
        sweep = np.radians(np.mod(end - start, 360.0))
        spans[:, 0] = np.radians(start)
        np.copyto(spans[:, 1], sweep, where=sweep != 0)
    to.place(of, frames(forms, of), raised(forms, of, forms.point(of, 10)[0]), radius, spans)


def ellipses(forms: Forms, of: Integers, to: Outlines) -> None:
    major, found = forms.point(of, 11)
    major[~found] = (1.0, 0.0, 0.0)
    size = np.sqrt((major * major).sum(axis=1))
    good = size > 0
    to.invalid.append(of[~good])
    of, major, size = of[good], major[good], size[good]
    up, found = forms.point(of, 210)
    up[~found] = (0.0, 0.0, 1.0)
    minor = np.cross(up, major)
    length = np.sqrt((minor * minor).sum(axis=1))
    if not (length > 1e-9 * size).all() or not (size > 1e-100).all():
        raise NotCovered("an ellipse without a plane")
    minor *= (size * forms.number(of, 40, 1.0) / length)[:, None]
    start = forms.number(of, 41)
    sweep = np.mod(forms.number(of, 42, 2 * np.pi) - start, 2 * np.pi)
    spans = np.column_stack([start, np.where(sweep > 1e-12, sweep, 2 * np.pi)])
    to.arcs.append((np.stack([forms.point(of, 10)[0], major, minor], axis=1), spans, of))


def solids(forms: Forms, of: Integers, to: Outlines) -> None:
    _faces(forms, of, to, solid=True)


def spatial_faces(forms: Forms, of: Integers, to: Outlines) -> None:
    _faces(forms, of, to, solid=False)


def _faces(forms: Forms, of: Integers, to: Outlines, solid: bool) -> None:
    """SOLID and TRACE, whose last two corners are crossed and lie in their plane; 3DFACE, whose corners do not."""
    corners, found = zip(*(forms.point(of, code) for code in (10, 11, 12, 13)), strict=True)
    a, b, c, d = corners
    if solid:
        # an elevation lifts only the corners that are given
        a, b, c, d = (np.where(here[:, None], raised(forms, of, points), points) for points, here in zip(corners, found, strict=True))
        axes, turned = frames(forms, of)
        a, b, c, d = (np.where(turned[:, None], np.einsum("ni,nij->nj", points, axes), points) for points in (a, b, c, d))
    close = np.abs(c - d).max(axis=1, initial=0.0)
    square = (c != d).any(axis=1)
    # the reference takes corners for one that differ in their last digits only
    if (square & (close <= 1e-8 * np.maximum(1.0, np.abs(c).max(axis=1, initial=0.0)))).any():
        raise NotCovered("corners that nearly meet")
    if not solid:
        square &= found[3]
    third, fourth = (d, c) if solid else (c, d)
    rim = np.stack([a, b, third, fourth], axis=1)[square]
    to.lines.append((np.stack([rim, np.roll(rim, -1, axis=1)], axis=2).reshape(-1, 2, 3), np.repeat(of[square], 4)))
    rim = np.stack([a, b, c], axis=1)[~square]
    to.lines.append((np.stack([rim, np.roll(rim, -1, axis=1)], axis=2).reshape(-1, 2, 3), np.repeat(of[~square], 3)))
