"""A page of thumbnails, one HTML file with everything in it: it opens by a double click and can be sent by mail."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from api.cli import show
from api.cli.client import Client
from api.cli.connection import Json
from foundation.errors import Failure

SUFFIXES = (".html", ".htm")
# with more parts than this the page is made of the small pictures, so that a browser still opens it
_MANY = 200

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>cadmill contact sheet</title>
<style>
body { font: 13px/1.4 system-ui, sans-serif; margin: 24px; background: #f2f3f5; color: #1c2026 }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 14px }
figure { margin: 0; padding: 10px; background: #fff; border: 1px solid #d5d8dc; border-radius: 6px }
img, .none { width: 100%; aspect-ratio: 1; display: block }
.none { display: grid; place-items: center; text-align: center; color: #a33 }
figcaption { overflow-wrap: anywhere; margin-top: 6px } small { color: #6a7078 }
</style></head><body>
"""


def write(file: Path, client: Client, parts: Sequence[Json], items: Iterable[Json]) -> int:
    """Write the page, part by part, and say where it is; answers how many pictures it has.

    Raises CONFIG_INVALID when the file cannot be written.
    """
    ended = {item["part_id"]: item for item in items}
    size, pictures = 512 if len(parts) <= _MANY else 128, 0
    try:
        with file.open("w", encoding="utf-8") as page:
            page.write(f"{_HEAD}<h1>{len(parts)} parts</h1><main>\n")
            for part in parts:
                picture = client.preview(part["id"], size)
                pictures += picture is not None
                page.write(_figure(part, ended.get(part["id"], {}), picture))
            page.write("</main></body></html>\n")
    except OSError as error:
        raise Failure("CONFIG_INVALID", {"file": str(file), "reason": error.strerror}, "The contact sheet cannot be written.") from error
    show.line(f"contact sheet of {pictures} pictures: {show.clean(file.absolute())}")
    return pictures


def _figure(part: Json, item: Json, picture: bytes | None) -> str:
    name = escape(show.clean(part.get("name")))
    if picture is None:
        seen = f'<div class="none">{escape(show.clean((item.get("error") or {}).get("code") or "no preview"))}</div>'
    else:
        seen = f'<img alt="{name}" loading="lazy" src="data:image/png;base64,{base64.b64encode(picture).decode("ascii")}">'
    facts = escape(show.clean(" · ".join(_facts(part, item.get("result") or {}))))
    return f"<figure>{seen}<figcaption>{name}<br><small>{facts}</small></figcaption></figure>\n"


def _facts(part: Json, result: dict[str, Any]) -> Iterable[str]:
    """Format, size in mm, number of surfaces, as far as they are known."""
    yield str(part.get("format") or "")
    if box := result.get("bounding_box"):
        sides = [high - low for low, high in zip(box["min"], box["max"], strict=True)]
        yield " × ".join(f"{side:.4g}" for side in sides) + " mm"
    if "surface_count" in result:
        yield f"{result['surface_count']} {'entities' if result.get('family') == '2d' else 'surfaces'}"
