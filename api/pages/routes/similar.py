"""Similar parts side by side."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.house import TheHouse
from api.pages.cards import cards, newest_vector
from api.pages.rendering import address, go, render
from api.pages.session import TheReader, TheSender
from foundation.errors import Failure
from ledger import hits, job_views, parts
from tasks import submit
from tasks.submit import JobRequest
from tasks.vocabulary import Kind, Priority

router = APIRouter(prefix="/parts", include_in_schema=False)

_HITS = 24


@router.post("/{part_id}/similar")
def search(part_id: str, house: TheHouse, tenant: TheSender) -> Response:
    """Look for parts like this one. Somebody waits for the answer, so it goes before other work."""
    with house.ledger.read() as tx:
        newest = newest_vector(parts.get(tx, tenant.id, part_id))
    # in the version it was read in last: parts that came with it have that one, too
    version = {"feature_version": newest["feature_version"]} if newest else {}
    wanted = JobRequest(kind=Kind.SIMILARITY, input={"queries": [part_id], "top_k": _HITS} | version, priority=Priority.HIGH)
    job = submit.submit(house.ledger, house.doorbell, house.settings, tenant.id, wanted, None)
    return go(address(f"/parts/{part_id}/similar", job=job["id"]))


@router.get("/{part_id}/similar")
def show_similar(
    request: Request, part_id: str, house: TheHouse, tenant: TheReader, job: Annotated[str, Query(max_length=64)] = ""
) -> Response:
    """What a job has found for a part; asked for again until the job has ended."""
    if not job:
        return go(f"/parts/{part_id}")
    with house.ledger.read() as tx:
        part = parts.get(tx, tenant.id, part_id)
        searched = hits.searched(tx, tenant.id, job)
        items = job_views.page_items(tx, job, 1, -1, None, part_id)
        if not items:
            raise Failure("JOB_NOT_FOUND", {"id": job, "part_id": part_id})
        item = items[0]
        found: list[dict[str, Any]] = (item["result"] or {}).get("hits", [])[:_HITS]
        known = cards(tx, house, tenant.id, [part_id, *(hit["part_id"] for hit in found)])
    shown = [hit | {"card": known[hit["part_id"]]} for hit in found if hit["part_id"] in known]
    template = "_hits.html" if "hx-request" in request.headers else "similar.html"
    deleted = len(found) - len(shown)
    return render(request, house, template, part=known[part_id] | part, job=searched, item=item, hits=shown, deleted=deleted)
