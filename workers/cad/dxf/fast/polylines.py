"""LWPOLYLINE and POLYLINE entities: straight pieces and arcs in their planes."""

from __future__ import annotations

import numpy as np

from workers.cad.dxf.fast.entities import Entities
from workers.cad.dxf.fast.forms import VERTEX_CODES, Forms
from workers.cad.dxf.fast.outlines import Outlines, frames
from workers.cad.dxf.fast.tags import NotCovered
from workers.cad.shape import Flags, Floats, Integers


def light_polylines(forms: Forms, of: Integers, to: Outlines) -> None:
    """LWPOLYLINE."""
    tags = forms.plan.tags
    for form in forms.each(of):
        if form.subclasses[1:] != [b"AcDbEntity", b"AcDbPolyline"] or form.embedded:
            raise NotCovered("an odd light polyline")
    owner, at = forms.many(of, VERTEX_CODES)
    codes = tags.codes.take(at)
    first = codes == 10
    which, begin = owner[first], at[first]
    points = np.zeros((len(which), 3))
    points[:, 0], points[:, 1] = tags.numbers.take(begin), tags.numbers.take(begin + 1)
    if not forms.unknown(38):
        points[:, 2] = forms.number(of, 38, subclass=2)[which]
    bulges = np.zeros(len(points))
    bent = codes == 42
    if np.count_nonzero(bent):
        # what stands before the first vertex of its polyline belongs to none; the last of several counts
        point = first.cumsum() - 1
        bent &= point >= 0
        bent[bent] = which[point[bent]] == owner[bent]
        bulges[point[bent]] = tags.numbers[at[bent]]
    closed = (forms.number(of, 70, subclass=2).astype(np.int64) & 1) > 0
    bulged(of, which, points, bulges, closed, frames(forms, of, 2), to)


def bulged(
    of: Integers, which: Integers, points: Floats, bulges: Floats, closed: Flags, framed: tuple[Floats, Flags], to: Outlines
) -> None:
    """Polylines in their planes: point i belongs to polyline `of[which[i]]`; an arc of angle 4 atan(bulge) where that is not 0."""
    counts = np.bincount(which, minlength=len(of))
    stops = counts.cumsum()
    short = counts < 2
    if np.count_nonzero(short):
        to.invalid.append(of[short])
    # from each point to the next one, from the last one to the first one of its polyline
    pairs = np.empty((len(points), 2), dtype=np.int64)
    pairs[:, 0] = np.arange(len(points))
    pairs[:, 1] = pairs[:, 0] + 1
    some = (counts > 0).nonzero()[0]
    last = stops.take(some) - 1
    pairs[last, 1] = (stops - counts).take(some)
    kept = np.ones(len(points), dtype=bool)
    kept[last] = (closed & ~short).take(some)
    pieces, which, bulge = points.take(pairs[kept], axis=0), which[kept], bulges[kept]
    bent = bulge != 0
    if np.count_nonzero(bent):
        if np.count_nonzero(bent & (np.abs(bulge) < 1e-9)):
            raise NotCovered("an arc that is hardly bent")
        bent &= (pieces[:, 0] != pieces[:, 1]).any(axis=1)
    axes, turned = framed
    some_bent = np.count_nonzero(bent) > 0
    straight, owner = (pieces[~bent], which[~bent]) if some_bent else (pieces, which)
    lean = turned[owner]
    if np.count_nonzero(lean):
        straight[lean] = straight[lean] @ axes[owner][lean]
    to.lines.append((straight, of[owner]))
    if not some_bent:
        return
    which, tails, heads, bulge = which[bent], pieces[bent, 0], pieces[bent, 1], bulge[bent]
    # centre: from the middle of the chord, across it, by (1 - b^2) / 4b chords
    across = (1 - bulge * bulge) / (4 * bulge)
    dx, dy = heads[:, 0] - tails[:, 0], heads[:, 1] - tails[:, 1]
    centres = np.column_stack([(tails[:, 0] + heads[:, 0]) / 2 - across * dy, (tails[:, 1] + heads[:, 1]) / 2 + across * dx, tails[:, 2]])
    radii = np.hypot(dx, dy) * (1 + bulge * bulge) / (4 * np.abs(bulge))
    begin = np.where((bulge > 0)[:, None], tails, heads)
    start = np.arctan2(begin[:, 1] - centres[:, 1], begin[:, 0] - centres[:, 0])
    spans = np.column_stack([start, 4 * np.arctan(np.abs(bulge))])
    to.place(of[which], (axes[which], turned[which]), centres, radii, spans)


def polylines(entities: Entities, to: Outlines) -> None:
    """POLYLINE with its vertices."""
    forms = entities.forms
    if b"POLYLINE" not in entities.present:
        return
    mains = entities.polylines.nonzero()[0]
    starts, sizes = entities.starts[mains], entities.sizes[mains]
    of = entities.form(starts - 1)
    flags = forms.number(of, 70).astype(np.int64)
    if (flags & (16 | 64)).any():
        raise NotCovered("a mesh of polylines")
    which = np.repeat(np.arange(len(of)), sizes)
    vertices = entities.form(np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(which)))
    # frame points of spline-fitted polylines steer the curve, they are not on it
    on = (forms.number(vertices, 70).astype(np.int64) & 16) == 0
    which, vertices = which[on], vertices[on]
    visible = entities.place[starts - 1] >= 0
    deep = (flags & 8) > 0
    bulges = np.where(deep[which], 0.0, forms.number(vertices, 42))
    axes, turned = frames(forms, of)
    number = np.cumsum(visible) - 1
    seen = visible[which]
    points, given = forms.point(vertices, 10)
    if not given.all():
        raise NotCovered("a vertex without a place")
    framed = axes[visible], (turned & ~deep)[visible]
    bulged(of[visible], number[which[seen]], points[seen], bulges[seen], ((flags & 1) > 0)[visible], framed, to)
