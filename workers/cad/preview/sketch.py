"""A flat picture of lines and fillings in the unit square, and its two forms: pixels by Pillow, and SVG.

SVG is written from numbers and colours alone. No text of a file gets into it, so none has to be escaped.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageChops, ImageDraw

from workers.cad.shape import Floats, Integers

Colour = tuple[int, int, int]

INK: Colour = (28, 32, 38)
_MARGIN = 0.05
_AROUND = 0.5  # kept around the picture, so that nobody sees where lines were cut
_VIEW = 2048  # units of the SVG's view box
_SHOWN = 512  # pixels it is shown at unless the page says otherwise
# about 12 bytes each in the SVG, 4 us each in a PNG; more lines than this are a black square anyway
_MOST_SEGMENTS = 120_000
_CROWD = 30_000
_MASK_PIXELS = 40_000_000  # spent on fillings with holes in one picture


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Things of one colour. Coordinates are 0..1, y downwards; a filling is a list of rings, even-odd."""

    colour: Colour
    segments: Floats  # (n, 2, 2)
    fills: Sequence[Sequence[Floats]] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """Layers from the bottom up, all fillings below all lines."""

    layers: Sequence[Layer]

    @property
    def _weight(self) -> float:
        """Thinner lines where many of them would grow into one dark spot."""
        return 0.5 if sum(len(layer.segments) for layer in self.layers) > _CROWD else 1.0

    def image(self, size: int) -> Image.Image:
        """A square RGB picture on white."""
        # small pictures need relatively thicker lines; drawn large and reduced, they come out smooth
        finer = 4 if size <= 256 else 3
        side, width = size * finer, round(finer * (1.15 if size <= 256 else 1.5) * self._weight)
        image = Image.new("RGB", (side, side), "white")
        draw = ImageDraw.Draw(image)
        budget = _MASK_PIXELS
        for layer in self.layers:
            for rings in layer.fills:
                budget = _fill(image, draw, [ring * side for ring in rings], layer.colour, budget)
        for layer in self.layers:
            for chain in _chains(_thinned(layer.segments, side)):
                draw.line(chain.reshape(-1).tolist(), fill=layer.colour, width=width, joint="curve" if len(chain) > 2 else None)
        return image.reduce(finer)

    def svg(self) -> str:
        """The picture as a page of its own, white underneath, of some 2 MB at most."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{_SHOWN}" height="{_SHOWN}" viewBox="0 0 {_VIEW} {_VIEW}">'
            f'<rect width="{_VIEW}" height="{_VIEW}" fill="#fff"/>'
        ]
        for layer in self.layers:
            rings = [_written(np.rint(ring * _VIEW).astype(np.int64)) + "z" for fill in layer.fills for ring in fill]
            if rings:
                parts.append(f'<path fill="{_hex(layer.colour)}" fill-rule="evenodd" d="{"".join(rings)}"/>')
        parts.append(f'<g fill="none" stroke-width="{5 * self._weight:g}" stroke-linecap="round" stroke-linejoin="round">')
        for layer in self.layers:
            lines = "".join(map(_written, _chains(_thinned(layer.segments, _VIEW))))
            if lines:
                parts.append(f'<path stroke="{_hex(layer.colour)}" d="{lines}"/>')
        return "".join([*parts, "</g></svg>\n"])


def framed(low: Floats, high: Floats) -> tuple[float, Floats]:
    """Scale and offset that bring a box (y upwards) into the unit square: x, y become scale * (x, -y) + offset."""
    extent = float((high - low).max())
    scale = (1 - 2 * _MARGIN) / extent
    middle = (low + high) / 2
    return scale, np.array([0.5 - scale * middle[0], 0.5 + scale * middle[1]])


def cut(segments: Floats) -> Floats:
    """What of the segments lies in and around the picture: far ends are cut off along the line, so that it keeps its direction."""
    tails, steps = segments[:, 0], segments[:, 1] - segments[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        one, two = (-_AROUND - tails) / steps, (1 + _AROUND - tails) / steps
    # a line along an axis is either between both borders or never
    still, within = steps == 0, (tails >= -_AROUND) & (tails <= 1 + _AROUND)
    enter = np.where(still, np.where(within, 0.0, 2.0), np.minimum(one, two)).max(axis=1).clip(0, None)
    leave = np.where(still, np.where(within, 1.0, -1.0), np.maximum(one, two)).min(axis=1).clip(None, 1)
    seen = enter <= leave
    shares = np.stack([enter, leave], axis=1)[seen, :, None]
    return np.asarray(tails[seen, None] + steps[seen, None] * shares)


def _thinned(segments: Floats, grid: int) -> Integers:
    """Segments on an integer grid without those too short to see; a crowd is thinned on ever coarser grids."""
    kept: Integers = np.zeros((0, 2, 2), np.int64)
    for coarser in (1, 2, 4, 8, 16):
        step = grid // coarser
        kept = np.rint(np.clip(segments, -1, 2) * step).astype(np.int64)
        kept = kept[(kept[:, 0] != kept[:, 1]).any(axis=1)]
        if len(kept) > _MOST_SEGMENTS:
            kept = _once(kept, step)
        if len(kept) <= _MOST_SEGMENTS:
            return kept * coarser
    longest = np.argsort(-np.abs(kept[:, 1] - kept[:, 0]).sum(axis=1), kind="stable")[:_MOST_SEGMENTS]
    return kept[np.sort(longest)] * 16


def _once(segments: Integers, step: int) -> Integers:
    """Without repetitions, in their first order."""
    width = 3 * step + 1
    points = (segments[:, :, 0] + step) * width + segments[:, :, 1] + step
    _, first = np.unique(points.min(axis=1) * width * width + points.max(axis=1), return_index=True)
    return segments[np.sort(first)]


def _chains(segments: Integers) -> Iterator[Integers]:
    """Polylines: a segment that begins where the one before it ended goes on with it."""
    if not len(segments):
        return
    breaks = np.flatnonzero((segments[1:, 0] != segments[:-1, 1]).any(axis=1)) + 1
    bounds = [0, *breaks.tolist(), len(segments)]
    for start, stop in itertools.pairwise(bounds):
        yield np.concatenate([segments[start, :1], segments[start:stop, 1]])


def _written(points: Integers) -> str:
    """A path: one absolute place, then steps, which are shorter to write."""
    steps = np.diff(points, axis=0)
    return f"M{points[0, 0]} {points[0, 1]}l" + " ".join(f"{x} {y}" for x, y in steps.tolist())


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _fill(image: Image.Image, draw: ImageDraw.ImageDraw, rings: list[Floats], colour: Colour, budget: int) -> int:
    """Fill rings by the even-odd rule; answers what is left of the budget. Pillow fills one ring at a time, so holes need a mask."""
    corners = [[(float(x), float(y)) for x, y in ring] for ring in rings]
    if len(rings) == 1:
        draw.polygon(corners[0], fill=colour)
        return budget
    every = np.clip(np.concatenate(rings), 0, image.width)
    (left, top), (right, bottom) = np.floor(every.min(axis=0)).astype(int), np.ceil(every.max(axis=0)).astype(int) + 1
    cost = int((right - left) * (bottom - top)) * len(rings)
    if cost > budget:
        return budget
    mask = Image.new("1", (int(right - left), int(bottom - top)))
    for ring in corners:
        one = Image.new("1", mask.size)
        ImageDraw.Draw(one).polygon([(x - float(left), y - float(top)) for x, y in ring], fill=1)
        mask = ImageChops.logical_xor(mask, one)
    image.paste(colour, (int(left), int(top)), mask)
    return budget - cost
