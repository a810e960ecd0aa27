"""Outlines before flattening: straight pieces and elliptical arcs in space, which affine maps carry over exactly.

Arcs stay arcs until the end, so a block is translated once, placed as often as it is referred to, and a circle keeps its
true length and radius however often it is copied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from workers.cad.shape import LARGEST, TURN_PIECES, Arcs, Flags, Floats, Integers, Paths, pieces, steps

# mm; shorter pieces would lose their squares to underflow
_NO_LENGTH = 1e-90
_NO_ARCS = Arcs(np.zeros((0, 2)), np.zeros(0), np.zeros(0), np.zeros(0))


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
        # comparisons are false for NaN as well
        for some, most in ((self.lines, LARGEST), (self.arcs, LARGEST), (self.spans, 1e6)):
            if len(some) and not np.abs(some).max() <= most:
                break
        else:
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


def flattened(strokes: Strokes, scale: float, expanded: Mapping[str, int]) -> Paths:
    """Seen from above, in millimetres (`scale` per unit). What has no length is left out; arcs that look like circles stay arcs."""
    lines = strokes.lines[:, :, :2] * scale
    curved, inner, path, round_ = strokes.curved, strokes.inner, strokes.line_path, _NO_ARCS
    known = np.zeros(strokes.paths, dtype=bool)
    ends = [lines] if len(lines) else []
    if len(strokes.arcs):
        arcs, spans = strokes.arcs[:, :, :2] * scale, strokes.spans
        ends.append(_turns(arcs, spans))
        radius, circular = _radii(arcs[:, 1], arcs[:, 2])
        if np.count_nonzero(circular) < len(circular):
            bent = (~circular).nonzero()[0]
            chords, corners = _chords(arcs[bent], spans[bent])
            owner = np.repeat(bent, pieces(spans[bent, 1], TURN_PIECES))
            lines, inner = np.concatenate([lines, chords]), np.concatenate([inner, ~corners])
            curved, path = np.concatenate([curved, np.ones(len(owner), bool)]), np.concatenate([path, strokes.arc_path[owner]])
        some = (circular & (radius * spans[:, 1] > _NO_LENGTH)).nonzero()[0]
        known[strokes.arc_path[some]] = True
        round_ = _circular(arcs[some], radius[some], spans[some])
    along = lines[:, 1] - lines[:, 0]
    lengths = np.hypot(along[:, 0], along[:, 1])
    long = lengths > _NO_LENGTH
    # nothing to copy where all are long enough
    kept = slice(None) if np.count_nonzero(long) == len(long) else long
    known[path[kept]] = True
    return Paths(
        np.ascontiguousarray(lines[kept, 0]),
        np.ascontiguousarray(lines[kept, 1]),
        lengths[kept],
        curved[kept],
        inner[kept],
        round_,
        int(np.count_nonzero(known)),
        _box(ends),
        dict(expanded),
    )


def _chords(arcs: Floats, spans: Floats) -> tuple[Floats, Flags]:
    """Arcs (m, 3, 2) as straight pieces (s, 2, 2), and which of their ends are ends of the arc (s, 2)."""
    counts = pieces(spans[:, 1], TURN_PIECES)
    # every arc has one point more than it has pieces
    owner, index = steps(counts + 1)
    points = _at(arcs[owner], spans[owner, 0] + spans[owner, 1] * (index / counts[owner]))
    first, last = index == 0, index == counts[owner]
    return np.stack([points[~last], points[~first]], axis=1), np.stack([first[~last], last[~first]], axis=1)


def _at(arcs: Floats, t: Floats) -> Floats:
    return np.asarray(arcs[:, 0] + arcs[:, 1] * np.cos(t)[:, None] + arcs[:, 2] * np.sin(t)[:, None])


def _circular(arcs: Floats, radii: Floats, spans: Floats) -> Arcs:
    """Arcs that are circular, which run clockwise where they were mirrored."""
    u, v = arcs[:, 1], arcs[:, 2]
    turned = u[:, 0] * v[:, 1] < u[:, 1] * v[:, 0]
    begin = np.where(turned, -spans.sum(axis=1), spans[:, 0])
    return Arcs(arcs[:, 0], radii, np.arctan2(u[:, 1], u[:, 0]) + begin, spans[:, 1])


def _radii(u: Floats, v: Floats) -> tuple[Floats, Flags]:
    """Longer half axis, and whether the projected arc is circular."""
    uu, vv, uv = (u * u).sum(axis=1), (v * v).sum(axis=1), (u * v).sum(axis=1)
    size = np.maximum(uu, vv)
    return np.sqrt(size), (np.abs(uu - vv) <= 1e-9 * size) & (np.abs(uv) <= 1e-9 * size)


def _turns(arcs: Floats, spans: Floats) -> Floats:
    """Where arcs (m, 3, 2) are extreme (4, m, 2): at their ends, and for each axis where its derivative along it vanishes."""
    start, sweep = spans.T[:, :, None]
    t = np.empty((4, len(arcs), 2))
    t[0], t[1] = start, start + sweep
    t[2] = np.arctan2(arcs[:, 2], arcs[:, 1])
    t[3] = t[2] + np.pi
    # an angle outside the arc is moved to its start, which counts anyway
    np.copyto(t[2:], start, where=np.mod(t[2:] - start, 2 * np.pi) > sweep)
    return np.asarray(arcs[:, 0] + arcs[:, 1] * np.cos(t) + arcs[:, 2] * np.sin(t))


def _box(parts: list[Floats]) -> Floats:
    """Box (2, 2) of points (.., 2); that of the origin without any."""
    if not parts:
        return np.zeros((2, 2))
    # column by column, for numpy is slow along short axes
    columns = [[part[..., axis] for part in parts] for axis in (0, 1)]
    low = [min([np.minimum.reduce(part, axis=None) for part in column]) for column in columns]
    return np.array([low, [max([np.maximum.reduce(part, axis=None) for part in column]) for column in columns]])
