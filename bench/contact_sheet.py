"""One PNG with the previews of many files: `python -m bench.contact_sheet [FILES...]`, by default docs/contact-sheet.png.

Without files: those of tests/data and, where CADMILL_DATA names a folder with real files, twenty more of each format.
"""

from __future__ import annotations

import argparse
import io
import math
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from foundation.engine_settings import CadSettings
from foundation.errors import Failure
from ledger.previews import PNG_SIZES, png
from workers.cad.preview.previews import previews
from workers.cad.readers import READERS, read

ROOT = Path(__file__).parents[1]
_MORE = 20
_CAPTION = 16
_INK, _FAINT = "#1c2026", "#d5d8dc"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("files", nargs="*", type=Path)
    arguments.add_argument("--out", type=Path, default=ROOT / "docs" / "contact-sheet.png")
    arguments.add_argument("--cell", type=int, default=128, help="pixels of one picture")
    arguments.add_argument("--columns", type=int, default=12)
    given = arguments.parse_args()
    groups = [(given.files, len(given.files))] if given.files else _chosen()
    drawn = [named for files, most in groups for named in islice(_pictures(files, given.cell), most)]
    if not drawn:
        sys.exit("none of these files has a preview")
    given.out.parent.mkdir(parents=True, exist_ok=True)
    _sheet(drawn, given.cell, given.columns).quantize(64, dither=Image.Dither.NONE).save(given.out, optimize=True)
    print(f"{given.out}: {len(drawn)} pictures, {given.out.stat().st_size:,} bytes")


def _chosen() -> Iterator[tuple[list[Path], int]]:
    """For each format the samples, then files spread evenly over what else there is, and how many of them to draw."""
    real = Path(os.environ["CADMILL_DATA"]) / "real" if "CADMILL_DATA" in os.environ else None
    for kind in READERS:
        samples = sorted((ROOT / "tests" / "data").glob(f"{kind.value}/*"))
        yield samples, len(samples)
        files = [path for path in sorted((real / kind.value).rglob("*")) if path.is_file()] if real else []
        step = max(len(files) // _MORE, 1)
        # those between take the places of files that cannot be drawn
        yield [path for first in range(step) for path in files[first::step]], _MORE


def _pictures(files: Iterable[Path], cell: int) -> Iterator[tuple[str, Image.Image]]:
    for path in files:
        picture = _picture(path, cell)
        if picture is not None:
            yield path.name, picture


def _picture(path: Path, cell: int) -> Image.Image | None:
    begun = time.perf_counter()
    try:
        shape = read(path, path.name, CadSettings())
        was_read = time.perf_counter()
        found = previews(shape, path)
    except Failure as failure:
        print(f"{path.name}: {failure.code}")
        return None
    sizes = {kind: len(data) for kind, data in found.files.items()} if found else "no preview"
    print(f"{path.name}: read {was_read - begun:.2f} s, drawn {time.perf_counter() - was_read:.2f} s, {sizes}")
    # lines of a large picture fade when it is made small
    size = next((size for size in PNG_SIZES if size >= cell), max(PNG_SIZES))
    return Image.open(io.BytesIO(found.files[png(size)])).convert("RGB") if found else None


def _sheet(drawn: Sequence[tuple[str, Image.Image]], cell: int, columns: int) -> Image.Image:
    rows = math.ceil(len(drawn) / columns)
    sheet = Image.new("RGB", (columns * cell, rows * (cell + _CAPTION)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(10)
    for at, (name, picture) in enumerate(drawn):
        x, y = at % columns * cell, at // columns * (cell + _CAPTION)
        sheet.paste(picture if picture.width == cell else picture.resize((cell, cell), Image.Resampling.LANCZOS), (x, y))
        draw.rectangle((x, y, x + cell - 1, y + cell + _CAPTION - 1), outline=_FAINT)
        draw.text((x + 4, y + cell), _short(name, font, cell - 8), fill=_INK, font=font)
    return sheet


def _short(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    while font.getlength(name) > width:
        name = name[:-2] + "…"
    return name


if __name__ == "__main__":
    main()
