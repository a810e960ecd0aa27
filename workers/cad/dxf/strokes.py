"""Outlines before flattening: straight pieces and elliptical arcs in space, which affine maps carry over exactly.

Arcs stay arcs until the end, so a block is translated once, placed as often as it is referred to, and a circle keeps its
true length and radius however often it is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from workers.cad.shape import LARGEST, NO_ARCS, TURN_PIECES, Arcs, Flags, Floats, Integers, Paths, pieces, steps

# mm; shorter pieces would lose their squares to underflow
_NO_LENGTH = 1e-90


class Strokes(msgspec.Struct, frozen=True, eq=False):
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
        return len(self.lines) + (int(pieces(self.spans[:, 1], TURN_PIECES).sum()) if len(self.spans) else 0)

    def sound(self) -> tuple[Strokes, int]:
        """Without pieces that have numbers which are not finite or too large; also how many those were."""
        limits = ((self.lines, LARGEST), (self.arcs, LARGEST), (self.spans, 1e6))
        if all(_within(some, most) for some, most in limits if len(some)):
            return self, 0
        lines = (np.abs(self.lines) <= LARGEST).all(axis=(1, 2))
        arcs = (np.abs(self.arcs) <= LARGEST).all(axis=(1, 2)) & (np.abs(self.spans) <= 1e6).all(axis=1)
        dropped = int((~lines).sum() + (~arcs).sum())
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


def _within(numbers: Floats, most: float) -> bool:
    """Whether no number is larger, either way; NaN is."""
    return bool(np.count_nonzero(np.abs(numbers) <= most) == numbers.size)


def flattened(strokes: Strokes, scale: float, expanded: Mapping[str, int]) -> Paths:
    """Seen from above, in millimetres (`scale` per unit). What has no length is left out; arcs that look like circles stay arcs."""
    ends = np.multiply(strokes.lines.swapaxes(0, 1)[:, :, :2], scale, order="C")
    curved, inner, path, circles = strokes.curved, strokes.inner, strokes.line_path, NO_ARCS
    known = np.zeros(strokes.paths, dtype=bool)
    if not len(strokes.arcs):
        box = _box(ends.reshape(-1, 2))
    else:
        arcs = strokes.arcs[:, :, :2] * scale
        box = _box(np.concatenate([ends.reshape(-1, 2), _extremes(arcs, strokes.spans)]))
        radius, circular = _radii(arcs[:, 1], arcs[:, 2])
        round_ = circular.nonzero()[0]
        if len(round_) < len(arcs):
            bent = (~circular).nonzero()[0]
            chords, borders = _chords(arcs[bent], strokes.spans[bent])
            owner = np.repeat(bent, pieces(strokes.spans[bent, 1], TURN_PIECES))
            ends, inner = np.concatenate([ends, chords], axis=1), np.concatenate([inner, ~borders])
            curved, path = np.concatenate([curved, np.ones(len(owner), bool)]), np.concatenate([path, strokes.arc_path[owner]])
        round_ = round_[radius[round_] * strokes.spans[round_, 1] > _NO_LENGTH]
        if len(round_):
            circles = _circular(arcs[round_], radius[round_], strokes.spans[round_])
        known[strokes.arc_path[round_]] = True
    along = ends[1] - ends[0]
    lengths = np.hypot(along[:, 0], along[:, 1])
    long = lengths > _NO_LENGTH
    if np.count_nonzero(long) < len(long):
        ends, lengths, curved, inner, path = ends.compress(long, axis=1), lengths[long], curved[long], inner[long], path[long]
    known[path] = True
    return Paths(ends, lengths, curved, inner, circles, int(np.count_nonzero(known)), box, expanded)


def _chords(arcs: Floats, spans: Floats) -> tuple[Floats, Flags]:
    """Arcs (m, 3, 2) as straight pieces (2, s, 2), and which of their ends are ends of the arc (s, 2)."""
    counts = pieces(spans[:, 1], TURN_PIECES)
    # every arc has one point more than it has pieces
    owner, index = steps(counts + 1)
    points = _at(arcs[owner], spans[owner, 0] + spans[owner, 1] * (index / counts[owner]))
    first, last = index == 0, index == counts[owner]
    return np.stack([points[~last], points[~first]]), np.stack([first[~last], last[~first]], axis=1)


def _at(arcs: Floats, t: Floats) -> Floats:
    return np.asarray(arcs[:, 0] + arcs[:, 1] * np.cos(t)[:, None] + arcs[:, 2] * np.sin(t)[:, None])


def _circular(arcs: Floats, radii: Floats, spans: Floats) -> Arcs:
    """Arcs that are circular, which run clockwise where they were mirrored."""
    (ux, vx), (uy, vy), (starts, sweeps) = arcs[:, 1:, 0].T, arcs[:, 1:, 1].T, spans.T
    begin = np.where(ux * vy < uy * vx, -(starts + sweeps), starts)
    return Arcs(arcs[:, 0], radii, np.arctan2(uy, ux) + begin, sweeps)


def _radii(u: Floats, v: Floats) -> tuple[Floats, Flags]:
    """Longer half axis, and whether the projected arc is circular."""
    (ux, uy), (vx, vy) = u.T, v.T
    uu, vv, uv = ux * ux + uy * uy, vx * vx + vy * vy, ux * vx + uy * vy
    size = np.maximum(uu, vv)
    return np.sqrt(size), (np.abs(uu - vv) <= 1e-9 * size) & (np.abs(uv) <= 1e-9 * size)


def _extremes(arcs: Floats, spans: Floats) -> Floats:
    """The points (p, 2) where arcs (m, 3, 2) are extreme: their ends, and where their derivative along an axis vanishes."""
    start, sweep = spans.T[:, :, None]
    # the ends, and for each axis where the arc turns back
    t = np.empty((4, len(arcs), 2))
    t[0], t[1] = start, start + sweep
    t[2] = np.arctan2(arcs[:, 2], arcs[:, 1])
    t[3] = t[2] + np.pi
    # an angle outside the arc is moved to its start, which counts anyway
    np.copyto(t[2:], start, where=np.mod(t[2:] - start, 2 * np.pi) > sweep)
    return np.asarray(arcs[:, 0] + arcs[:, 1] * np.cos(t) + arcs[:, 2] * np.sin(t)).reshape(-1, 2)


def _box(points: Floats) -> Floats:
    """Lowest and highest corner (2, 2) of points (n, 2); of none, the origin twice."""
    if not len(points):
        return np.zeros((2, 2))
    # column by column, for numpy is slow along short axes
    x, y = points[:, 0], points[:, 1]
    return np.array([[x.min(), y.min()], [x.max(), y.max()]])
