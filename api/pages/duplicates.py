"""The duplicates report as one HTML page: pictures inline, no script, nothing loaded; on paper no group is cut where it fits a sheet.

Names of parts, notes and labels come from strangers: every text goes through `_text`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from typing import Any

Picture = Callable[[Mapping[str, Any]], bytes | None]
"""The PNG of a part, if there is one."""

PICTURES_SHOWN = 12  # of a group
_NAMES_SHOWN = 4  # below a picture, beside its own

_TITLES = {
    "content": "Same file",
    "geometry": "Same geometry",
    "part": "Same part in another file, format or pose",
    "likely": "Probably the same part",
    "units": "Same shape, unit of length in doubt",
    "size": "Same shape at another size",
}

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>cadmill: duplicates</title>
<style>
body { font: 13px/1.45 system-ui, sans-serif; margin: 24px auto; max-width: 1200px; padding: 0 16px; background: #f2f3f5; color: #1c2026 }
h1 { margin: 0 0 4px } h2 { margin: 28px 0 2px } h3 { margin: 0; font-size: 14px }
small, .quiet { color: #6a7078 } .warn { color: #8a4b00 }
article { background: #fff; border: 1px solid #d5d8dc; border-radius: 6px; padding: 12px; margin: 12px 0 }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 10px; margin: 8px 0 }
figure { margin: 0; overflow-wrap: anywhere }
figure img, .none { width: 100%; aspect-ratio: 1; display: block; border: 1px solid #e4e6e9; border-radius: 4px; object-fit: contain }
.none { display: grid; place-items: center; color: #8b9199; background: #fafafa }
figcaption { margin-top: 4px }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: 3px 8px 3px 0; border-top: 1px solid #eceef0 }
th { color: #6a7078; font-weight: 500 } td { overflow-wrap: anywhere } td.short { font-variant-numeric: tabular-nums; white-space: nowrap }
.mark { border: 1px solid currentColor; border-radius: 3px; padding: 0 4px; white-space: nowrap }
@page { size: A4; margin: 14mm }
@media print {
  body { background: #fff; margin: 0; padding: 0; max-width: none; font-size: 9.5pt }
  article { border-color: #999; break-inside: avoid }
  article.long { break-inside: auto }
  figure, tr { break-inside: avoid } h2, h3, h2 + p { break-after: avoid } thead { display: table-header-group }
  .pictures { grid-template-columns: repeat(4, 1fr) } .wide { overflow: visible }
}
</style></head><body>
"""


def page(head: Mapping[str, Any], groups: Iterable[Mapping[str, Any]], left: int, picture: Picture) -> Iterator[str]:
    """The page, piece by piece; `left` is how many more groups there are than it shows."""
    yield _HEAD + "<h1>Duplicates</h1>\n" + "".join(f"<p class={how}>{sentence}</p>\n" for how, sentence in _about(head))
    kind = ""
    for group in groups:
        if group["kind"] != kind:
            kind = group["kind"]
            counts = head["kinds"][kind]
            yield f"<h2>{_text(_TITLES[kind])}</h2><p class=quiet>{_text(counts['sentence'])} "
            yield f"{counts['groups']} group(s), {counts['parts']} parts.</p>\n"
        yield _group(group, picture)
    if left:
        yield f"<p class=warn>{left} more group(s) are not on this page: ask for the next one, or for the table (.csv).</p>\n"
    yield "</body></html>\n"


def _about(head: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    counts = ((_TITLES[kind], one["groups"]) for kind, one in head["kinds"].items())
    yield "quiet", " · ".join(f"{_text(title)}: {count}" for title, count in counts if count) or "No duplicates were found."
    if job := head["job"]:
        yield (
            "quiet",
            f"Compared by {_text(job['id'])}, submitted {_text(job['created_at'])}, ended {_text(job['finished_at'] or 'not yet')}.",
        )
    stale = head["stale"]
    if stale["stale"]:
        told = f"{stale['parts_added']} part(s) were added and {stale['vectors_changed']} extracted anew since"
        yield "warn", f"This report is out of date: {told}. Run `cadmill duplicates` again."
    if head["not_compared"]:
        yield "warn", "Not compared: " + ", ".join(f"{count} {_text(code)}" for code, count in head["not_compared"].items()) + "."
    if any(head["left_out"].values()):
        yield "quiet", f"Left out by review: {head['left_out']['rejected']} rejected and {head['left_out']['ignored']} ignored pair(s)."


def _group(group: Mapping[str, Any], picture: Picture) -> str:
    shown = _alike(group["parts"])
    long = len(shown) > 8 or len(group["evidence"]) > 10
    more = f" <small>The first {len(group['parts'])} are told.</small>" if group["parts_total"] > len(group["parts"]) else ""
    hidden = f"<p class=quiet>{len(shown) - PICTURES_SHOWN} more without a picture here.</p>" if len(shown) > PICTURES_SHOWN else ""
    rejected = f"<p class=warn>{group['rejected_within']} pair(s) within were rejected.</p>" if group["rejected_within"] else ""
    names = len(group["parts"]) if group["kind"] == "content" else _NAMES_SHOWN
    figures = "".join(_figure(parts, picture, names) for parts in shown[:PICTURES_SHOWN])
    return (
        f'<article{" class=long" if long else ""} id="{_text(group["id"])}"><h3>{group["parts_total"]} parts '
        f"<small>{_text(group['id'])}</small></h3>{more}"
        f'<div class="pictures">{figures}</div>{hidden}{rejected}{_evidence(group)}</article>\n'
    )


def _alike(parts: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Parts that share a picture: those of one group of a surer kind, which the page shows in full before."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for part in parts:
        found.setdefault(part["subgroup"] or part["sha256"], []).append(part)
    return list(found.values())


def _figure(alike: list[Mapping[str, Any]], picture: Picture, names: int) -> str:
    part, others = alike[0], alike[1:]
    data = picture(part)
    name = _text(part["name"])
    if data is None:
        seen = '<div class="none">no preview</div>'
    else:
        seen = f'<img alt="{name}" src="data:image/png;base64,{base64.b64encode(data).decode("ascii")}">'
    more = "".join(f"<br>{_text(other['name'])}" for other in others[:names])
    more += f"<br>and {len(others) - names} more" if len(others) > names else ""
    facts, surer = _text(" · ".join(_facts(part))), part["subgroup"]
    link = f' · {len(alike)} parts: <a href="#{_text(surer)}">{_text(surer)}</a>' if surer else ""
    return (
        f'<figure title="{_text(part["id"])}">{seen}<figcaption><b>{name}</b>{more}<br><small>{facts}{link}</small></figcaption></figure>'
    )


def _facts(part: Mapping[str, Any]) -> Iterator[str]:
    yield str(part["format"])
    if part["size_mm"]:
        yield " × ".join(f"{side:.4g}" for side in part["size_mm"]) + " mm"
    if units := part["units"]:
        yield f"{units['name']} ({units['origin']})" + (f", rather {units['suspected']}" if units["suspected"] else "")


def _evidence(group: Mapping[str, Any]) -> str:
    if group["kind"] == "content":
        mark = next((_mark(pair) for pair in group["evidence"] if pair["review"]), "")
        return f"<p class=quiet>SHA-256 {_text(group['parts'][0]['sha256'])}{mark}</p>" if group["parts"] else ""
    if all(pair["equal"] and not pair["review"] for pair in group["evidence"]):
        return "<p class=quiet>Every slot of these is equal.</p>"
    rows = "".join(_row(pair) for pair in group["evidence"])
    left = group["evidence_total"] - len(group["evidence"])
    more = f"<p class=quiet>and {left} more such pair(s)</p>" if left > 0 else ""
    head = "<tr><th>part<th>is to<th>as<th><th>score<th>distance<th>size of the second<th>what differs most</tr>"
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>{more}'


def _row(pair: Mapping[str, Any]) -> str:
    slots = "; ".join(f"{slot['slot']} {slot['share']:.0%}: {slot['first']:.5g} / {slot['second']:.5g}" for slot in pair["slots"])
    label = "likely" if pair["likely"] else "equal" if pair["equal"] else pair["label"]
    size = ("equal" if abs(pair["size_ratio"] - 1) < 5e-4 else f"{pair['size_ratio']:g} times") + (
        ", units suspected" if pair["units_suspected"] else ""
    )
    numbers = f"<td class=short>{pair['score']:.4f}<td class=short>{pair['distance'] or 0:.5f}<td class=short>{_text(size)}"
    names = f"<td>{_text(pair['first']['name'])}<td>{_text(pair['second']['name'])}<td class=short>{_text(label)}<td>{_mark(pair)}"
    return f"<tr>{names}{numbers}<td>{_text(slots)}</tr>"


def _mark(pair: Mapping[str, Any]) -> str:
    review = pair["review"]
    if not review:
        return ""
    note = f": {review['note']}" if review["note"] else ""
    return f' <span class="mark">{_text(review["mark"])}</span> <small>{_text(review["by"])}, {_text(review["at"])}{_text(note)}</small>'


def _text(value: object) -> str:
    """Safe within an element and within a quoted attribute; what cannot be printed, or turns the direction of writing, becomes "?"."""
    return escape("".join(letter if letter.isprintable() else "?" for letter in str(value)), quote=True)
