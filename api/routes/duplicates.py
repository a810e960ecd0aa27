"""The duplicates report: as JSON, as a table, and as a page to look at and to print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import StreamingResponse

from api import paging
from api.auth import TheTenant
from api.house import House, TheHouse
from api.pages.duplicates import PICTURES_SHOWN, page
from api.paging import Cursor, Limit
from api.routes.pairs import Reviewed
from api.shapes.answers import answers, streams
from api.shapes.duplicates import DuplicatePage
from api.tables import line
from api.versions import link
from ledger import previews
from tasks import duplicates
from tasks.duplicates import Kind, Report

router = APIRouter(prefix="/duplicates", tags=["duplicates"])

_CODES = ("DUPLICATES_UNSEARCHED", "JOB_NOT_FOUND", "JOB_WITHOUT_HITS", "RESULTS_PRUNED")
_ROWS = streams("text/csv", *_CODES, says="A row for each part of each group")
_HTML = streams("text/html", *_CODES, "CURSOR_INVALID", says="The page")
# an HTML page may run nothing and load nothing, whatever got into it
_HEADERS = {
    "Cache-Control": "private, no-cache",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
}
# with more pictures than this the page is made of the small ones, so that a browser still opens it
_MANY = 200


def report_of(
    house: TheHouse,
    tenant: TheTenant,
    job: Annotated[str | None, Query(description="a similarity job of yours; empty: the newest that compared all parts")] = None,
    kind: Annotated[list[Kind] | None, Query(description="only these kinds of groups; may be given many times")] = None,
    reviewed: Reviewed = "exclude",
) -> Report:
    return duplicates.report(house.ledger, tenant.id, job, frozenset(kind or Kind), reviewed == "include")


TheReport = Annotated[Report, Depends(report_of)]


@router.get("", responses=answers(DuplicatePage, *_CODES, "CURSOR_INVALID"))
def list_duplicates(house: TheHouse, tenant: TheTenant, report: TheReport, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Groups of parts that you have more than once, each with its evidence.

    The kinds, the surest first: content (equal bytes, always as of now), geometry (equal vectors), part (another file, format or pose),
    likely (look at them), units (25.4 times as large), size (another size). A group is listed under the weakest evidence that it
    needs, and `subgroup` names the group of a surer kind that a part is in. All but content comes from a similarity job:
    DUPLICATES_UNSEARCHED tells which one to submit, `stale` what has changed since."""
    after = paging.decode_number(cursor, 0)
    shown = report.groups[after : after + limit]
    groups = [_linked(house, group) for group in duplicates.told(house.ledger, tenant.id, report, shown)]
    more = len(report.groups) > after + limit
    return paging.cut(report.head() | {"groups": groups}, after + limit if more else None)


@router.get(".csv", response_class=StreamingResponse, responses=_ROWS)
def get_duplicates_table(house: TheHouse, tenant: TheTenant, report: TheReport) -> StreamingResponse:
    """Every part of every group as one line of a table."""

    def lines() -> Iterator[str]:
        yield line(_COLUMNS)
        for group in duplicates.told(house.ledger, tenant.id, report, report.groups):
            for part in group["parts"]:
                yield line(_row(group, part))

    return StreamingResponse(lines(), media_type="text/csv")


@router.get(".html", response_class=Response, responses=_HTML)
def get_duplicates_page(
    house: TheHouse, tenant: TheTenant, report: TheReport, limit: Limit = 500, cursor: Cursor = None
) -> StreamingResponse:
    """The report as one page with its pictures in it: to look at, to print, to send by mail. Pictures are there once an extraction
    job has drawn them ("previews": true)."""
    after = paging.decode_number(cursor, 0)
    shown = report.groups[after : after + limit]
    few = sum(min(len(group.contents), PICTURES_SHOWN) for group in shown) <= _MANY
    told = duplicates.told(house.ledger, tenant.id, report, shown)
    left = max(0, len(report.groups) - after - limit)
    size = max(previews.PNG_SIZES) if few else min(previews.PNG_SIZES)
    text = page(report.head(), told, left, lambda part: _picture(house, part, previews.png(size)))
    return StreamingResponse(text, media_type="text/html", headers=_HEADERS)


def _picture(house: House, part: Mapping[str, Any], kind: str) -> bytes | None:
    """Only builds by which this tenant extracted the file: whether somebody else did is nobody's business."""
    return previews.load(house.files, part["sha256"], part["engine_builds"], kind)


def _linked(house: House, group: dict[str, Any]) -> dict[str, Any]:
    """A group as JSON tells it: with links to the pictures of its parts."""
    parts = []
    for part in group["parts"]:
        here = link(f"/parts/{part['id']}")
        drawn = any(previews.there(house.files, part["sha256"], build) for build in part["engine_builds"])
        links = {"self": here} | ({"preview_png": f"{here}/preview.png", "preview_svg": f"{here}/preview.svg"} if drawn else {})
        parts.append({name: value for name, value in part.items() if name != "engine_builds"} | {"links": links})
    return group | {"parts": parts}


_COLUMNS = (
    "group", "kind", "parts_in_group", "part_id", "name", "format", "sha256", "bytes", "size_mm", "units", "units_origin", "subgroup",
    "like", "label", "score", "distance", "size_ratio", "units_suspected", "slots", "review", "note",
)  # fmt: skip


def _row(group: Mapping[str, Any], part: Mapping[str, Any]) -> list[Any]:
    """A part with the first pair that shows why it is in its group."""
    pairs = [pair for pair in group["evidence"] if part["id"] in (pair["first"]["part_id"], pair["second"]["part_id"])]
    pair = pairs[0] if pairs else {}
    other = next((pair[side]["name"] for side in ("first", "second") if pair and pair[side]["part_id"] != part["id"]), None)
    slots = "; ".join(f"{slot['slot']} {slot['share']:.0%}" for slot in pair.get("slots", ()))
    review, units = pair.get("review") or {}, part["units"] or {}
    size = " x ".join(f"{side:g}" for side in part["size_mm"] or ())
    return [
        group["id"], group["kind"], group["parts_total"], part["id"], part["name"], part["format"], part["sha256"], part["bytes"], size,
        units.get("name"), units.get("origin"), part["subgroup"], other,
        *(pair.get(name) for name in ("label", "score", "distance", "size_ratio", "units_suspected")), slots,
        review.get("mark"), review.get("note"),
    ]  # fmt: skip
