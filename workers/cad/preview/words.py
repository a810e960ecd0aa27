"""ezdxf's drawing frontend for previews: words become bars, so no font is ever opened; nothing outside the file is looked at; and it
stops when a drawing turns out to be more work than a preview is worth.
"""

from __future__ import annotations

from typing import Any

# of a sans serif, in heights of a capital letter
_LETTER_WIDTH, _X_HEIGHT, _DESCENDER = 0.85, 0.7, 0.3
_BAR = 0.75
_MOST_LINES = 200
# construction lines without end, and what shows other files or covers up
_LEFT_OUT = frozenset(
    {"XLINE", "RAY", "IMAGE", "WIPEOUT", "PDFUNDERLAY", "DWFUNDERLAY", "DGNUNDERLAY", "OLE2FRAME", "OLEFRAME", "VIEWPORT"}
)
_SHADE = "#b4b8be"


def words_frontend(frontend: Any, budget: int) -> Any:
    """The class to draw with. Its `draw_layout` raises OverflowError past `budget` entities.

    Built when it is needed, because ezdxf is imported only when the first drawing is read.
    """
    from ezdxf.addons.drawing.text import simplified_text_chunks
    from ezdxf.fonts.font_face import FontFace
    from ezdxf.math import Vec3

    metrics, face = _metrics(), FontFace()

    class Frontend(frontend):  # type: ignore[misc]
        left = budget

        def _spend(self, entities: int) -> None:
            self.left -= entities
            if self.left < 0:
                raise OverflowError("more entities than a preview may have")

        def draw_entity(self, entity: Any, properties: Any) -> None:
            self._spend(1)
            if entity.dxftype() not in _LEFT_OUT:
                super().draw_entity(entity, properties)

        def draw_composite_entity(self, entity: Any, properties: Any) -> None:
            if entity.dxftype() == "INSERT":
                self._spend(entity.mcount)
            super().draw_composite_entity(entity, properties)

        def draw_hatch_pattern(self, polygon: Any, paths: list[Any], properties: Any) -> None:
            # at the size of a thumbnail patterns are noise, and a dense one can take for ever
            for path in paths:
                self.pipeline.draw_path(path, properties)

        def draw_text_entity_2d(self, entity: Any, properties: Any) -> None:
            properties.color = _SHADE
            chunks = simplified_text_chunks(entity, metrics, font_face=face)
            for _, (line, transform, height) in zip(range(_MOST_LINES), chunks, strict=False):
                width = metrics.get_text_line_width(line.strip(), face, height)
                if width > 0:
                    corners = [Vec3(0, 0), Vec3(width, 0), Vec3(width, height * _BAR), Vec3(0, height * _BAR)]
                    self.pipeline.draw_filled_polygon(list(transform.transform_vertices(corners)), properties)

        def draw_mtext_entity(self, entity: Any, properties: Any) -> None:
            # words that stand upright in space are a line when seen from above
            if entity.dxf.extrusion.z:
                self.draw_text_entity_2d(entity, properties)

    return Frontend


def _metrics() -> Any:
    from ezdxf.addons.drawing.text_renderer import TextRenderer
    from ezdxf.fonts.font_measurements import FontMeasurements

    class Metrics(TextRenderer):
        """Sizes of words in no font at all: the same on every machine."""

        def get_font_measurements(self, font_face: Any, cap_height: float = 1.0) -> Any:
            return FontMeasurements(0.0, cap_height, cap_height * _X_HEIGHT, cap_height * _DESCENDER)

        def get_text_line_width(self, text: str, font_face: Any, cap_height: float = 1.0) -> float:
            return len(text) * _LETTER_WIDTH * cap_height

        def get_text_path(self, text: str, font_face: Any, cap_height: float = 1.0) -> Any:
            raise NotImplementedError("words are drawn as bars")

        get_text_glyph_paths = get_text_path

        def is_stroke_font(self, font_face: Any) -> bool:
            return False

    return Metrics()
