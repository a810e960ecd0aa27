"""Outlines before flattening: straight pieces and elliptical arcs in space, which affine maps carry over exactly.

Arcs stay arcs until the end, so a block is translated once, placed as often as it is referred to, and a circle keeps its
true length and radius however often it is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workers.cad.shape import LARGEST, Flags, Floats, Integers, Paths

# pieces a full turn is flattened into; a multiple of four, so that circles keep their box
TURN_PIECES = 64
# mm; shorter pieces would lose their squares to underflow
_NO_LENGTH = 1e-90
_STEP = 2 * np.pi / TURN_PIECES


@dataclass(frozen=True, slots=True, eq=False)
class Strokes:
    """n straight pieces and m arcs `centre + u cos t + v sin t`, t from `start` over `sweep` > 0 (radians)."""

    lines: Floats  # (n, 2, 3)
    curved: Flags  # (n,)
    inner: Flags  # (n, 2)
    line_path: Integers  # (n,)
    arcs: Floats  # (m, 3, 3): centre, u, v
    spans: Floats  # (m, 2): start, sweep
    arc_path: Integers  # (m,)
    paths: int

    @classmethod
    def none(cls) -> Strokes:
        return cls(
            np.zeros((0, 2, 3)),
            np.zeros(0, bool),
            np.zeros((0, 2), bool),
            np.zeros(0, np.int64),
            np.zeros((0, 3, 3)),
            np.zeros((0, 2)),
            np.zeros(0, np.int64),
            0,
        )

    @property
    def pieces(self) -> int:
        """How many straight pieces flattening will yield."""
        return len(self.lines) + int(arc_pieces(self.spans[:, 1]).sum())

    def sound(self) -> tuple[Strokes, int]:
        """Without pieces that have numbers which are not finite or too large; also how many those were."""
        # the comparison is false for NaN as well
        lines = (np.abs(self.lines) <= LARGEST).all(axis=(1, 2))
        arcs = (np.abs(self.arcs) <= LARGEST).all(axis=(1, 2)) & (np.abs(self.spans) <= 1e6).all(axis=1)
        dropped = int((~lines).sum() + (~arcs).sum())
        if not dropped:
            return self, 0
        return Strokes(
            self.lines[lines],
            self.curved[lines],
            self.inner[lines],
            self.line_path[lines],
            self.arcs[arcs],
            self.spans[arcs],
            self.arc_path[arcs],
            self.paths,
        ), dropped

    def placed(self, matrices: Floats, offsets: Floats) -> Strokes:
        """Copies at k places: each point p becomes `p @ matrix + offset`; matrices (k, 3, 3), offsets (k, 3)."""
        k, n, m = len(offsets), len(self.lines), len(self.arcs)
        with np.errstate(over="ignore", invalid="ignore"):
            lines = self.lines.reshape(1, -1, 3) @ matrices + offsets[:, None, :]
            arcs = (self.arcs.reshape(1, -1, 3) @ matrices).reshape(k, m, 3, 3)
            arcs[:, :, 0] += offsets[:, None, :]
        shift = np.arange(k, dtype=np.int64)[:, None] * self.paths
        return Strokes(
            lines.reshape(k * n, 2, 3),
            np.tile(self.curved, k),
            np.tile(self.inner, (k, 1)),
            (self.line_path + shift).reshape(-1),
            arcs.reshape(k * m, 3, 3),
            np.tile(self.spans, (k, 1)),
            (self.arc_path + shift).reshape(-1),
            self.paths * k,
        )


def joined(parts: Sequence[Strokes]) -> Strokes:
    """All parts as one."""
    if len(parts) < 2:
        return parts[0] if parts else Strokes.none()
    shifts = np.cumsum([0, *(part.paths for part in parts)])
    return Strokes(
        np.concatenate([part.lines for part in parts]),
        np.concatenate([part.curved for part in parts]),
        np.concatenate([part.inner for part in parts]),
        np.concatenate([part.line_path + shift for part, shift in zip(parts, shifts, strict=False)]),
        np.concatenate([part.arcs for part in parts]),
        np.concatenate([part.spans for part in parts]),
        np.concatenate([part.arc_path + shift for part, shift in zip(parts, shifts, strict=False)]),
        int(shifts[-1]),
    )


def arc_pieces(sweeps: Floats) -> Integers:
    """Number of straight pieces for each sweep: an angle, never a distance, so that size and pose change nothing."""
    # the small allowance keeps a full turn at 64 pieces whatever its last bit says
    return np.maximum(np.ceil(sweeps / _STEP - 1e-6), 1).astype(np.int64)


def flattened(strokes: Strokes, scale: float, expanded: Mapping[str, int]) -> Paths:
    """Seen from above, in millimetres (`scale` per unit), as straight pieces; pieces without length are left out."""
    centre, u, v = np.swapaxes(strokes.arcs[:, :, :2], 0, 1) * scale if len(strokes.arcs) else np.zeros((3, 0, 2))
    start, sweep = strokes.spans.T if len(strokes.spans) else np.zeros((2, 0))
    counts = arc_pieces(sweep)
    owner = np.repeat(np.arange(len(counts)), counts)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    # every arc has one point more than it has pieces
    points = _points(centre, u, v, start, sweep, counts)
    tail = np.arange(len(owner)) + owner
    arc_tails, arc_heads = points[tail], points[tail + 1]
    first, last = index == 0, index == counts[owner] - 1
    radius, round_ = _radii(u, v)
    arc_lengths = (radius * sweep / counts)[owner]
    bent = np.flatnonzero(~round_[owner]) if not round_.all() else owner[:0]
    arc_lengths[bent] = np.hypot(*(arc_heads[bent] - arc_tails[bent]).T)
    lines = strokes.lines[:, :, :2] * scale
    tails, heads = np.concatenate([lines[:, 0], arc_tails]), np.concatenate([lines[:, 1], arc_heads])
    lengths = np.concatenate([np.hypot(*(lines[:, 1] - lines[:, 0]).T), arc_lengths])
    curved = np.concatenate([strokes.curved, np.ones(len(owner), bool)])
    inner = np.concatenate([strokes.inner, np.column_stack([~first, ~last])])
    path = np.concatenate([strokes.line_path, strokes.arc_path[owner]])
    long = lengths > _NO_LENGTH
    # nothing to copy where all are long enough
    kept = slice(None) if long.all() else long
    true_round = round_ & (radius > 0)
    return Paths(
        tails[kept],
        heads[kept],
        lengths[kept],
        curved[kept],
        inner[kept],
        len(np.unique(path[kept])),
        radius[true_round],
        (radius * sweep)[true_round],
        _box(lines, centre, u, v, start, sweep),
        dict(expanded),
    )


def _points(centre: Floats, u: Floats, v: Floats, start: Floats, sweep: Floats, counts: Integers) -> Floats:
    """The ends of all pieces of all arcs."""
    owner = np.repeat(np.arange(len(counts)), counts + 1)
    index = np.arange(len(owner)) - np.repeat(np.cumsum(counts + 1) - counts - 1, counts + 1)
    t = start[owner] + sweep[owner] * (index / counts[owner])
    return np.asarray(centre[owner] + u[owner] * np.cos(t)[:, None] + v[owner] * np.sin(t)[:, None])


def _radii(u: Floats, v: Floats) -> tuple[Floats, Flags]:
    """Longer half axis, and whether the projected arc is circular."""
    uu, vv, uv = (u * u).sum(axis=1), (v * v).sum(axis=1), (u * v).sum(axis=1)
    size = np.maximum(uu, vv)
    return np.sqrt(size), (np.abs(uu - vv) <= 1e-9 * size) & (np.abs(uv) <= 1e-9 * size)


def _box(lines: Floats, centre: Floats, u: Floats, v: Floats, start: Floats, sweep: Floats) -> Floats:
    """Exact box (2, 2): an arc is extreme at its ends and where its derivative along an axis vanishes."""
    points = [lines.reshape(-1, 2)]
    turning = np.arctan2(v, u)
    for at in (start[:, None], (start + sweep)[:, None], turning, turning + np.pi):
        # an angle outside the arc is moved to its start, which counts anyway
        relative = np.mod(at - start[:, None], 2 * np.pi)
        t = start[:, None] + np.where((relative <= sweep[:, None]) | (at == (start + sweep)[:, None]), at - start[:, None], 0)
        points.append(centre + u * np.cos(t) + v * np.sin(t))
    every = np.concatenate(points)
    return np.stack([every.min(axis=0), every.max(axis=0)]) if len(every) else np.zeros((2, 2))
