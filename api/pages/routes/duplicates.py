"""Duplicates: what is there more than once, with pictures, and what a person says of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import Response

from api import paging
from api.house import House, TheHouse
from api.pages.cards import cards
from api.pages.rendering import address, go, local, render
from api.pages.session import TheReader, TheSender
from api.routes.duplicates import get_duplicates_page
from foundation.errors import Failure
from ledger import job_views, parts
from ledger import reviews as rows
from ledger.tenants import Tenant
from tasks import duplicates, reviews, submit
from tasks.duplicates import COMPARISON, SENTENCES, Report
from tasks.duplicates import Kind as Sort
from tasks.reviews import Mark, ReviewRequest, ReviewsRequest
from tasks.submit import JobRequest
from tasks.vocabulary import Kind, Priority

router = APIRouter(prefix="/duplicates", include_in_schema=False)

_GROUPS, _PICTURES = 20, 12

Reviewed = Annotated[Literal["", "include"], Query()]


@router.get("")
def show_duplicates(
    request: Request,
    house: TheHouse,
    tenant: TheReader,
    sort: Annotated[Sort | Literal[""], Query()] = "",
    reviewed: Reviewed = "",
    cursor: Annotated[str | None, Query(max_length=256)] = None,
    job: Annotated[str, Query(max_length=64)] = "",
) -> Response:
    """The newest comparison of all parts; `job` is one that was started here and is waited for."""
    if job:
        with house.ledger.read() as tx:
            running = job_views.get(tx, tenant.id, job)
        if running["state"] in ("queued", "running"):
            template = "_comparing.html" if "hx-request" in request.headers else "comparing.html"
            return render(request, house, template, job=running)
        target = "/duplicates" if running["state"] in ("succeeded", "partial") else f"/jobs/{job}"
        return Response(status_code=204, headers={"HX-Redirect": target}) if "hx-request" in request.headers else go(target)
    kinds = frozenset([sort] if sort else Sort)
    report, searched = _report(house, tenant, kinds, bool(reviewed))
    after = paging.decode_number(cursor, 0)
    groups = list(duplicates.told(house.ledger, tenant.id, report, report.groups[after : after + _GROUPS]))
    shown = {part["id"] for group in groups for part in group["parts"][:_PICTURES]}
    sides = {pair[side]["part_id"] for group in groups for pair in group["evidence"] for side in ("first", "second")}
    with house.ledger.read() as tx:
        known = cards(tx, house, tenant.id, shown | sides)
        count = parts.count(tx, tenant.id)
    more = len(report.groups) > after + _GROUPS
    return render(
        request, house, "duplicates.html",
        head=report.head(), groups=groups, cards=known, searched=searched, count=count, sort=sort, reviewed=reviewed,
        sorts={one.value: SENTENCES[one] for one in Sort}, pictures=_PICTURES, marks=[mark.value for mark in Mark],
        more=address("/duplicates", sort=sort, reviewed=reviewed, cursor=paging.encode(after + _GROUPS)) if more else None,
    )  # fmt: skip


def _report(house: House, tenant: Tenant, kinds: frozenset[Sort], reviewed: bool) -> tuple[Report, bool]:
    """The report, and whether parts were compared at all: copies are known without."""
    try:
        return duplicates.report(house.ledger, tenant.id, None, kinds, reviewed), True
    except Failure as failure:
        if failure.code != "DUPLICATES_UNSEARCHED":
            raise
        return duplicates.report(house.ledger, tenant.id, None, {Sort.CONTENT}, reviewed), False


@router.get("/report")
def show_report(house: TheHouse, tenant: TheReader, reviewed: Reviewed = "") -> Response:
    """The same as one page to print or to send, with its pictures in it."""
    report, _ = _report(house, tenant, frozenset(Sort), bool(reviewed))
    return get_duplicates_page(house, tenant, report)


@router.post("/run")
def compare(house: TheHouse, tenant: TheSender) -> Response:
    """Compare all parts with each other."""
    wanted = JobRequest(kind=Kind.SIMILARITY, input=dict[str, Any](COMPARISON), priority=Priority.HIGH)
    job = submit.submit(house.ledger, house.doorbell, house.settings, tenant.id, wanted, None)
    return go(address("/duplicates", job=job["id"]))


@router.post("/mark")
def mark_pair(
    house: TheHouse,
    tenant: TheSender,
    first: Annotated[str, Form(max_length=100)],
    second: Annotated[str, Form(max_length=100)],
    mark: Annotated[Mark | Literal["none"], Form()],
    note: Annotated[str, Form(max_length=1000)] = "",
    back: Annotated[str, Form(max_length=2000)] = "/duplicates",
) -> Response:
    """Say what a pair is; "none" forgets what was said."""
    with house.ledger.write() as tx:
        if mark == "none":
            rows.remove(tx, tenant.id, reviews.pair(tx, tenant.id, first, second))
        else:
            said = ReviewRequest(first=first, second=second, mark=mark, note=note)
            reviews.put(tx, tenant.id, tenant.name, ReviewsRequest(reviews=(said,)))
    return go(local(back, "/duplicates"))
