"""A mesh as seen from the front, right and above, Z up: shaded pixels through a depth buffer in numpy, and its visible edges as lines.

A depth buffer instead of painting triangles from back to front: long triangles that pass each other come out right, and several
hundred thousand of them take a second or two, without any graphics library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workers.cad.preview.edges import drawn_edges
from workers.cad.preview.sketch import INK, Layer, Sketch, framed
from workers.cad.shape import Flags, Floats, Integers, Mesh

# towards the eye: a little more front than side, a third from above
_EYE = np.array([0.62, -1.0, 0.72])
_LIGHT = np.array([-0.45, 0.62, 0.75])
_BASE = np.array([150, 172, 200.0])
_DARK, _EDGE = 0.46, 0.42
# the buffer: twice the largest picture
_SIDE = 1024
_MOST_PIXELS = 60_000_000  # drawn on top of each other; beyond that the buffer gets smaller
_MANY = 1_000_000  # triangles; mostly smaller than a pixel, where a finer buffer would only cost time
_BITE = 2_000_000  # pixels or rows in hand at once
_CREASE = np.cos(0.5)  # normals farther apart than this make an edge
_DEPTHS = 2**32 - 1


@dataclass(frozen=True, slots=True, eq=False)
class MeshView:
    """A mesh before the eye. x and y are pixels of the buffer (y downwards), z is 0 (far) to 1 (near)."""

    points: Floats  # (n, 3)
    triangles: Integers  # (m, 3)
    normals: Floats  # (m, 3) of unit length or zero, x right, y up, z towards the eye
    side: int
    nearest: Integers  # (side, side) triangle seen in each pixel, -1 where there is none
    depth: Floats  # (side, side) and its z; -1 where there is none

    @classmethod
    def of(cls, mesh: Mesh) -> MeshView | None:
        """None when even the smallest buffer is too much work."""
        seen = mesh.vertices - (mesh.vertices.min(axis=0) + mesh.vertices.max(axis=0)) / 2
        seen = (seen / np.abs(seen).max()) @ _axes().T
        low, high = seen.min(axis=0), seen.max(axis=0)
        corners = seen[mesh.triangles]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        length = np.sqrt(np.einsum("ij,ij->i", cross, cross))
        normals = cross / np.where(length > 0, length, 1.0)[:, None]
        scale, offset = framed(low[:2], high[:2])
        area = float(np.abs(cross[:, 2]).sum()) / 2 * scale**2
        heights = float(np.ptp(corners[:, :, 1], axis=1).sum()) * scale
        side = _SIDE if len(mesh.triangles) <= _MANY else _SIDE // 2
        while area * side**2 + heights * side > _MOST_PIXELS:
            side //= 2
            if side < 64:
                return None
        x, y = (seen[:, 0] * scale + offset[0]) * side, (offset[1] - seen[:, 1] * scale) * side
        thickness = float(high[2] - low[2])
        z = (seen[:, 2] - low[2]) / thickness if thickness > 0 else np.zeros(len(seen))
        points = np.column_stack([x, y, z])
        nearest, depth = _rasterised(points, mesh.triangles, side)
        return cls(points, mesh.triangles, normals, side, nearest, depth)

    def image(self, size: int) -> Image.Image:
        """A square RGB picture on white."""
        # every second, fourth ... pixel of the buffer is the buffer of a smaller picture
        step = max(self.side // (2 * size), 1)
        start = step // 2
        nearest, depth = self.nearest[start::step, start::step], self.depth[start::step, start::step]
        facing = self.normals * np.where(self.normals[:, 2:] < 0, -1.0, 1.0)
        light = np.clip(facing @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
        shade = np.append(_DARK + (1 - _DARK) * light, 0.0)
        pixels = np.minimum(_BASE * (shade[nearest] * 1.18)[:, :, None], 255.0)
        edge = self._outlined(nearest, depth, facing, step)
        pixels[edge] *= _EDGE
        pixels[(nearest < 0) & ~edge] = 255.0
        image = Image.fromarray(pixels.astype(np.uint8), "RGB")
        return image.reduce(image.width // size) if image.width > size else image.resize((size, size), Image.Resampling.BILINEAR)

    def sketch(self) -> Sketch:
        """The edges that can be seen, as lines."""
        segments = drawn_edges(self.points, self.triangles, self.normals, self.depth)
        return Sketch([Layer(INK, segments / self.side)])

    def _outlined(self, nearest: Integers, depth: Floats, facing: Floats, step: int) -> Flags:
        """Pixels where the depth jumps or the surface turns sharply, seen against the pixel to the right and the one below."""
        edge = np.zeros(nearest.shape, bool)
        slope = np.append(self._slopes(), 0.0) * step
        for one, two in (((slice(None), slice(None, -1)), (slice(None), slice(1, None))), (slice(None, -1), slice(1, None))):
            a, b = nearest[one], nearest[two]
            other = np.flatnonzero(a != b)
            name, neighbour = a.ravel()[other], b.ravel()[other]
            gap = depth[one].ravel()[other] - depth[two].ravel()[other]
            bare = (name < 0) | (neighbour < 0)
            turned = np.einsum("ij,ij->i", facing[name], facing[neighbour]) < _CREASE
            jump = np.abs(gap) > 2.5 * np.maximum(slope[name], slope[neighbour]) + 0.004
            marked = other[bare | turned | jump]
            # the nearer of the two carries the line, so that it stays within the thing it outlines
            nearer = np.zeros(a.shape, bool).ravel()
            nearer[marked] = (gap >= 0)[bare | turned | jump]
            farther = np.zeros(a.shape, bool).ravel()
            farther[marked] = ~nearer[marked]
            edge[one] |= nearer.reshape(a.shape)
            edge[two] |= farther.reshape(a.shape)
        return edge

    def _slopes(self) -> Floats:
        """How much z changes from one pixel to the next on each triangle, at most."""
        a, b, c = np.moveaxis(self.points[self.triangles], 1, 0)
        (gx, gy), _ = _planes(a, b, c)
        return np.asarray(np.minimum(np.hypot(gx, gy), 0.05))


def _axes() -> Floats:
    """Rows: right, up, towards the eye."""
    eye = _EYE / np.linalg.norm(_EYE)
    right = np.cross([0.0, 0.0, 1.0], eye)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(eye, right), eye])


def _planes(a: Floats, b: Floats, c: Floats) -> tuple[tuple[Floats, Floats], Flags]:
    """Slopes of z along x and y; false for triangles seen edge-on, whose slopes are given as 0."""
    u, v = b - a, c - a
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    broad = np.abs(area) > 1e-12
    safe = np.where(broad, area, 1.0)
    gx = (u[:, 2] * v[:, 1] - v[:, 2] * u[:, 1]) / safe
    gy = (v[:, 2] * u[:, 0] - u[:, 2] * v[:, 0]) / safe
    return (np.where(broad, gx, 0.0), np.where(broad, gy, 0.0)), broad


def _rasterised(points: Floats, triangles: Integers, side: int) -> tuple[Integers, Floats]:
    """For each pixel the nearest triangle over its middle, and the depth there."""
    # depth above, name below: the larger number is the nearer triangle, and of equals the one with the larger name
    buffer: NDArray[np.uint64] = np.zeros(side * side, np.uint64)
    rows = points[:, 1]
    top = np.ceil(rows[triangles].min(axis=1) - 0.5).astype(np.int64)
    bottom = np.ceil(rows[triangles].max(axis=1) - 0.5).astype(np.int64)
    crossing = np.flatnonzero(bottom > top)
    for bite in _bites(crossing, (bottom - top)[crossing]):
        _paint(buffer, points, triangles, bite, np.stack([top[bite], bottom[bite]]), side)
    nearest = (buffer & np.uint64(_DEPTHS)).astype(np.int64) - 1
    depth = (buffer >> np.uint64(32)).astype(np.float64) / _DEPTHS
    depth[nearest < 0] = -1.0
    return nearest.reshape(side, side), depth.reshape(side, side)


def _bites(names: Integers, costs: Integers) -> Iterator[Integers]:
    """Cut into runs of bounded cost."""
    number = np.cumsum(costs) // _BITE
    return (part for part in np.split(names, np.flatnonzero(np.diff(number)) + 1) if len(part))


def _paint(buffer: NDArray[np.uint64], points: Floats, triangles: Integers, names: Integers, rows: Integers, side: int) -> None:
    corners = points[triangles[names]]
    (gx, gy), broad = _planes(*np.moveaxis(corners, 1, 0))
    low, high = corners[:, :, 2].min(axis=1), corners[:, :, 2].max(axis=1)
    a, b, c = np.moveaxis(np.take_along_axis(corners, np.argsort(corners[:, :, 1], axis=1, kind="stable")[:, :, None], axis=1), 1, 0)
    owner, step = _counted(rows[1] - rows[0])
    row = rows[0][owner] + step
    y = row + 0.5
    a, b, c = a[owner], b[owner], c[owner]
    long = a[:, 0] + (y - a[:, 1]) / (c[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    # the row meets either the upper or the lower of the two short sides
    upper = y < b[:, 1]
    begin, end = np.where(upper[:, None], a, b), np.where(upper[:, None], b, c)
    tall = end[:, 1] - begin[:, 1]
    short = begin[:, 0] + (y - begin[:, 1]) / np.where(tall > 0, tall, 1.0) * (end[:, 0] - begin[:, 0])
    left = np.clip(np.ceil(np.minimum(long, short) - 0.5), 0, side).astype(np.int64)
    right = np.clip(np.ceil(np.maximum(long, short) - 0.5), 0, side).astype(np.int64)
    spans = np.flatnonzero((right > left) & (row >= 0) & (row < side) & broad[owner])
    for bite in _bites(spans, (right - left)[spans]):
        span, across = _counted((right - left)[bite])
        here = bite[span]
        triangle = owner[here]
        x = left[here] + across
        z = (
            corners[triangle, 0, 2]
            + gx[triangle] * (x + 0.5 - corners[triangle, 0, 0])
            + gy[triangle] * (y[here] - corners[triangle, 0, 1])
        )
        # slivers have wild slopes
        z = np.clip(z, low[triangle], high[triangle])
        key = (np.clip(z * _DEPTHS, 0, _DEPTHS).astype(np.uint64) << np.uint64(32)) | (names[triangle] + 1).astype(np.uint64)
        np.maximum.at(buffer, row[here] * side + x, key)


def _counted(counts: Integers) -> tuple[Integers, Integers]:
    """For counts (2, 3): owners 0 0 1 1 1 and numbers 0 1 0 1 2."""
    owner = np.repeat(np.arange(len(counts)), counts)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
