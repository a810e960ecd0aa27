"""Pictures of a shape: PNG in fixed sizes and one SVG, both the same picture. Same file, same bytes."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ledger.previews import PNG_SIZES, SVG, png
from tasks.vocabulary import Format
from workers.cad.dxf.reference import document_of
from workers.cad.preview.drawing import drawing
from workers.cad.preview.mesh import MeshView
from workers.cad.preview.sketch import Sketch
from workers.cad.shape import Mesh, Paths, Shape

# a preview of few colours is a third of its size, and nobody sees the difference
_COLOURS = 96


@dataclass(frozen=True, slots=True)
class Previews:
    """The bytes of each kind of `ledger.previews.KINDS`."""

    files: dict[str, bytes]


def previews(shape: Shape, path: Path) -> Previews | None:
    """Pictures of the shape that was read from `path`; None when it has no sensible picture, such as one that would cost too much to draw.

    Time and bytes are bounded by counts, never by a clock: a slow machine must not draw another picture than a fast one.
    """
    picture = _mesh(shape.geometry) if isinstance(shape.geometry, Mesh) else _flat(shape, shape.geometry, path)
    if picture is None:
        return None
    images, sketch = picture
    files = {png(size): _encoded(image) for size, image in images.items()}
    return Previews(files | {SVG: sketch.svg().encode()})


_Picture = tuple[dict[int, Image.Image], Sketch]


def _mesh(mesh: Mesh) -> _Picture | None:
    view = MeshView.of(mesh)
    return ({size: view.image(size) for size in PNG_SIZES}, view.sketch()) if view else None


def _flat(shape: Shape, paths: Paths, path: Path) -> _Picture | None:
    # colours and words are no geometry: the drawing is opened again for them
    sketch = drawing(paths, document_of(path) if shape.format is Format.DXF else None, shape.units.millimetres_per_unit)
    return ({size: sketch.image(size) for size in PNG_SIZES}, sketch) if sketch else None


def _encoded(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
    return stream.getvalue()
