"""A drawing as a sketch: through ezdxf's drawing add-on, with colours, dimensions, fillings and bars for words; the bare outlines
that the features are made of where the add-on fails or would take too long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from workers.cad.preview.sketch import INK, Colour, Layer, Sketch, cut, framed
from workers.cad.preview.words import words_frontend
from workers.cad.shape import LARGEST, Floats, Paths

# the add-on draws some 10 000 simple things a second; above this the outlines alone must do
_MOST_ENTITIES = 20_000
_MOST_PIECES = 100_000
_MOST_POINTS = 400_000
# deviation of a curve in parts of its own extent: at most some 30 000 points each
_FINEST = 1e-9
# light colours are for dark screens; on white paper nothing may be brighter than this
_BRIGHTEST_LINE, _BRIGHTEST_FILL = 0.42, 0.72
# words and dimensions may reach this far beyond the outlines, in parts of their extent; what lies farther off is cut
_REACH = 0.6
# mistakes of files that the add-on was seen to stumble over, besides ezdxf's own errors
_DAMAGE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError, StopIteration)


def drawing(paths: Paths, source: Any, scale: float) -> Sketch | None:
    """The sketch of a drawing; `scale` is millimetres per unit of the open drawing `source`. None without any extent."""
    outlines = paths.chords()
    if source is not None and len(outlines) <= _MOST_PIECES and sum(paths.expanded.values()) <= _MOST_ENTITIES:
        from ezdxf.lldxf.const import DXFError

        try:
            sketch = _everything(source, paths.box / scale)
            if sketch is not None:
                return sketch
        except (DXFError, *_DAMAGE) as error:
            logging.getLogger(__name__).debug("only outlines are drawn: %s", type(error).__name__)
    low, high = paths.box
    return Sketch([Layer(INK, _Place(low, high)(outlines))]) if (high - low).max() > 0 else None


class _Place:
    """From the plane of a drawing into the unit square."""

    def __init__(self, low: Floats, high: Floats) -> None:
        self.scale, self._offset = framed(low, high)

    def __call__(self, points: Floats) -> Floats:
        return np.asarray(points * (self.scale, -self.scale) + self._offset)


def _everything(document: Any, box: Floats) -> Sketch | None:
    """All the add-on draws. Raises what it raises, and OverflowError when it is too much."""
    low, high = box
    records = _recorded(document)
    every = np.concatenate([low[None], high[None], *[points for _, points in _corners(records)]])
    every = every[(np.abs(every) <= LARGEST).all(axis=1)]
    reach = _REACH * float((high - low).max())
    low, high = np.maximum(every.min(axis=0), low - reach), np.minimum(every.max(axis=0), high + reach)
    if not (high - low).max() > 0:
        return None
    place = _Place(low, high)
    # a third of a pixel of the larger PNG
    distance = 1 / (1500 * place.scale)
    lines: dict[Colour, list[Floats]] = {}
    fills: dict[Colour, list[list[Floats]]] = {}
    points = 0
    for record, properties in records:
        for chain, filled in _shapes(record, distance):
            colour = darkened(properties.color, _BRIGHTEST_FILL if filled else _BRIGHTEST_LINE)
            points += sum(map(len, chain)) if filled else len(chain[0])
            if points > _MOST_POINTS:
                raise OverflowError("more points than a preview may have")
            placed = [place(each) for each in chain if len(each) and (np.abs(each) <= LARGEST).all()]
            if filled and placed:
                fills.setdefault(colour, []).append(placed)
            for each in () if filled else placed:
                lines.setdefault(colour, []).append(np.stack([each[:-1], each[1:]], axis=1))
    layers = []
    for colour in dict.fromkeys([*fills, *lines]):
        segments = np.concatenate(lines[colour]) if colour in lines else np.zeros((0, 2, 2))
        layers.append(Layer(colour, cut(segments), [rings for rings in fills.get(colour, []) if _touches(rings)]))
    return Sketch(layers)


def _touches(rings: Sequence[Floats]) -> bool:
    """Whether any of the rings may be seen in the picture, by their boxes."""
    return any((ring.min(axis=0) <= 1).all() and (ring.max(axis=0) >= 0).all() for ring in rings)


def _recorded(document: Any) -> list[tuple[Any, Any]]:
    from ezdxf.addons.acadctb import ColorDependentPlotStyles
    from ezdxf.addons.drawing import config
    from ezdxf.addons.drawing.frontend import Frontend
    from ezdxf.addons.drawing.properties import RenderContext
    from ezdxf.addons.drawing.recorder import Recorder

    # a plot style of our own: the add-on would open the one that the drawing names, wherever that file is
    context = RenderContext(document, ctb=ColorDependentPlotStyles())
    recorder = Recorder()
    settings = config.Configuration(
        pdmode=0,
        proxy_graphic_policy=config.ProxyGraphicPolicy.IGNORE,
        line_policy=config.LinePolicy.SOLID,
        background_policy=config.BackgroundPolicy.WHITE,
        image_policy=config.ImagePolicy.IGNORE,
        circle_approximation_count=32,
    )
    words_frontend(Frontend, _MOST_ENTITIES)(context, recorder, settings).draw_layout(document.modelspace())
    return list(recorder.player().recordings())


def _corners(records: Iterable[tuple[Any, Any]]) -> Iterable[tuple[Any, Floats]]:
    for record, _ in records:
        box = record.bbox()
        if box.has_data:
            yield record, np.array([tuple(box.extmin), tuple(box.extmax)], dtype=np.float64)


def _shapes(record: Any, distance: float) -> Iterable[tuple[list[Floats], bool]]:
    """Chains of points of a record, and whether they are rings to fill."""
    from ezdxf.addons.drawing.recorder import FilledPathsRecord, PathRecord, PointsRecord, SolidLinesRecord

    if isinstance(record, PointsRecord):
        points = np.asarray(record.points.np_vertices(), dtype=np.float64).reshape(-1, 2)
        if len(points) == 1:
            points = np.array([points[0], points[0] + (3 * distance, 0.0)])  # a dot
        yield [points], len(points) > 2
    elif isinstance(record, SolidLinesRecord):
        for line in np.asarray(record.lines.np_vertices(), dtype=np.float64).reshape(-1, 2, 2):
            yield [line], False
    elif isinstance(record, PathRecord):
        for part in record.path.sub_paths():
            yield [_flat(part, distance)], False
    elif isinstance(record, FilledPathsRecord):
        yield [_flat(part, distance) for path in record.paths for part in path.sub_paths()], True


def _flat(path: Any, distance: float) -> Floats:
    corners = np.asarray(path.np_vertices(), dtype=np.float64).reshape(-1, 2)
    if not path.has_curves:
        return corners
    if not (np.abs(corners) <= LARGEST).all():
        return np.zeros((0, 2))
    # or a curve that leaves the picture far behind would have points without number
    distance = max(distance, _FINEST * float(np.ptp(corners, axis=0).max()))
    return np.array([(point.x, point.y) for point in path.flattening(distance)], dtype=np.float64).reshape(-1, 2)


def darkened(colour: str, brightest: float) -> Colour:
    """`#rrggbb` or `#rrggbbaa` on white paper: faded by its alpha, then dark enough to be seen."""
    red, green, blue, alpha = (int(f"{colour[1:]:f<8}"[at : at + 2], 16) for at in (0, 2, 4, 6))
    # a thing that is nearly transparent still shows where it is
    opacity = max(alpha, 80) / 255
    seen = [channel * opacity + 255 * (1 - opacity) for channel in (red, green, blue)]
    brightness = (0.299 * seen[0] + 0.587 * seen[1] + 0.114 * seen[2]) / 255
    fade = min(1.0, brightest / brightness) if brightness else 1.0
    dark = [round(channel * fade) for channel in seen]
    return INK if max(dark) < max(INK) else (dark[0], dark[1], dark[2])
