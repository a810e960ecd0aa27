"""Jobs: the list, and a job with its items, live while it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import paging
from api.house import House, TheHouse
from api.pages.cards import cards
from api.pages.rendering import address, go, render
from api.pages.session import TheReader, TheSender
from api.routes import jobs as jobs_routes
from api.routes import live as live_routes
from api.shapes.jobs import ItemState, JobState
from foundation.errors import current
from ledger import changes, failures, job_views, waiting
from ledger.tenants import Tenant
from tasks import ring, submit
from tasks.vocabulary import Kind

router = APIRouter(prefix="/jobs", include_in_schema=False)

_PAGE, _ITEMS = 40, 50
_STATES = ("queued", "running", "succeeded", "partial", "failed", "cancelled")
_KINDS = tuple(kind.value for kind in Kind if kind is not Kind.PROBE)
_TABLES = {"csv": jobs_routes.get_result_table, "jsonl": jobs_routes.get_result_lines, "json": jobs_routes.get_result}

Text = Annotated[str, Query(max_length=64)]
Place = Annotated[str | None, Query(max_length=256)]


@router.get("")
def show_jobs(
    request: Request,
    house: TheHouse,
    tenant: TheReader,
    state: JobState | Literal[""] = "",
    kind: Text = "",
    code: Text = "",
    cursor: Place = None,
) -> Response:
    """Jobs, newest first; with a code those with an item that failed with it."""
    with house.ledger.read() as tx:
        after = paging.decode(cursor)
        if code:
            code = current(code)
            found = failures.jobs_with(tx, tenant.id, _PAGE + 1, after, code)
        else:
            found = job_views.page(tx, tenant.id, _PAGE + 1, after, state or None, kind or None)
    following = paging.encode(found[_PAGE - 1]["id"]) if len(found) > _PAGE else None
    more = address("/jobs", state=state, kind=kind, code=code, cursor=following) if following else None
    filters = {"state": state, "kind": kind, "code": code}
    return render(request, house, "jobs.html", jobs=found[:_PAGE], more=more, filters=filters, states=_STATES, kinds=_KINDS)


@router.get("/{job_id}")
def show_job(
    request: Request, job_id: str, house: TheHouse, tenant: TheReader, state: ItemState | Literal[""] = "", cursor: Place = None
) -> Response:
    """A job and its items; what changes is asked for until it has ended, as `page.js` says."""
    template = "_job.html" if "hx-request" in request.headers else "job.html"
    return render(request, house, template, **_told(house, tenant, job_id, state, cursor))


@router.get("/{job_id}/events")
async def tell(request: Request, job_id: str, tenant: TheReader) -> Response:
    """Server-sent events of a job, for its page: each says that there is something new to ask for."""
    hub, after = live_routes.hub_of(request), request.headers.get("last-event-id")
    return await live_routes.stream_events(request, tenant, hub, f"job:{job_id}", after)


def _told(house: House, tenant: Tenant, job_id: str, state: str, cursor: str | None) -> dict[str, Any]:
    after = paging.decode_number(cursor, -1)
    with house.ledger.read() as tx:
        job = job_views.get(tx, tenant.id, job_id)
        items = job_views.page_items(tx, job_id, _ITEMS + 1, after, state or None)
        why = waiting.why(tx, job_id)
        known = cards(tx, house, tenant.id, [item["part_id"] for item in items if item["part_id"]])
    following = paging.encode(items[_ITEMS - 1]["index"]) if len(items) > _ITEMS else None
    here = f"/jobs/{job_id}"
    return {
        "job": job,
        "items": [item | {"card": known.get(item["part_id"])} for item in items[:_ITEMS]],
        "waiting": why,
        "more": address(here, state=state, cursor=following) if following else None,
        "state": state,
        "again": address(here, state=state, cursor=cursor),
        "ended": job["state"] not in ("queued", "running"),
    }


@router.get("/{job_id}/result.{form}")
def download(job_id: str, form: Literal["csv", "jsonl", "json"], house: TheHouse, tenant: TheReader) -> Response:
    """All items as a file."""
    response = _TABLES[form](job_id, house, tenant)
    response.headers["Content-Disposition"] = f'attachment; filename="{job_id}.{form}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@router.post("/{job_id}/cancel")
def cancel(job_id: str, house: TheHouse, tenant: TheSender) -> Response:
    with house.ledger.write() as tx:
        settled = changes.cancel(tx, tenant.id, job_id)
    house.doorbell.ring(ring.of_deliveries(settled.deliveries))
    return go(f"/jobs/{job_id}")


@router.post("/{job_id}/pause")
def pause(job_id: str, house: TheHouse, tenant: TheSender) -> Response:
    with house.ledger.write() as tx:
        changes.pause(tx, tenant.id, job_id)
    return go(f"/jobs/{job_id}")


@router.post("/{job_id}/resume")
def resume(job_id: str, house: TheHouse, tenant: TheSender) -> Response:
    submit.resume(house.ledger, house.doorbell, house.settings, tenant.id, job_id)
    return go(f"/jobs/{job_id}")


@router.post("/{job_id}/retry")
def retry(job_id: str, house: TheHouse, tenant: TheSender) -> Response:
    submit.retry(house.ledger, house.doorbell, house.settings, tenant.id, job_id)
    return go(f"/jobs/{job_id}")
