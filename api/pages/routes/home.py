"""Home: submit by drag and drop, and what went on lately."""

from __future__ import annotations

import json
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from api.house import House, TheHouse
from api.pages.cards import measured
from api.pages.rendering import go, render
from api.pages.session import TheReader, TheScript
from api.routes import parts as parts_routes
from ledger import job_views, parts, queues
from ledger.tenants import Tenant
from tasks import submit
from tasks.catalogue import compute_queues
from tasks.submit import JobRequest
from tasks.vocabulary import FeatureVersion, Kind, Priority

router = APIRouter(include_in_schema=False)
UPLOADS = ("/upload", "/upload/parts")

_JOBS, _PARTS = 6, 10


class Extraction(BaseModel):
    """What the page asks for when all files are there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parts: list[str] = Field(min_length=1)
    feature_version: FeatureVersion | None = None
    priority: Priority = Priority.NORMAL
    labels: dict[str, str] = Field(default_factory=dict, max_length=50)


@router.get("/")
def show_home(request: Request, house: TheHouse, tenant: TheReader) -> Response:
    with house.ledger.read() as tx:
        jobs = job_views.page(tx, tenant.id, _JOBS, None, None, None)
        newest = measured(tx, house, tenant.id, parts.page(tx, tenant.id, _PARTS, None, None, None))
        slots = queues.slots(tx)
    return render(
        request, house, "home.html",
        jobs=jobs, parts=newest, versions=list(FeatureVersion), version=house.settings.features.version, priorities=list(Priority),
        limits=house.settings.upload, idle=[name for name in compute_queues() if not slots.get(name)],
    )  # fmt: skip


@router.post("/upload/parts")
async def upload_parts(request: Request, house: TheHouse, tenant: TheScript) -> JSONResponse:
    """Some files of a drop, as `POST /api/v1/parts` takes and answers them."""
    return await parts_routes.upload_parts(request, house, tenant, "")


@router.post("/upload/job")
def submit_parts(request: Extraction, house: TheHouse, tenant: TheScript) -> dict[str, str]:
    """The job for all files of a drop: where to follow it."""
    return {"job": f"/jobs/{_submitted(house, tenant, request)}"}


@router.post("/upload")
async def upload(request: Request, house: TheHouse, tenant: TheScript, _after: Annotated[str, Query()] = "") -> Response:
    """Files of a plain form and their job at once, for browsers without scripts."""
    answer = await parts_routes.upload_parts(request, house, tenant, "")
    told: list[dict[str, Any]] = json.loads(bytes(answer.body))["parts"]
    ids = [one["id"] for one in told if "id" in one]
    job_id = await run_sync(_submitted, house, tenant, Extraction(parts=ids)) if ids else None
    refused = [one for one in told if "error" in one]
    if job_id is not None and not refused:
        return go(f"/jobs/{job_id}")
    return render(request, house, "uploaded.html", 201 if ids else 422, job_id=job_id, taken=len(ids), refused=refused)


def _submitted(house: House, tenant: Tenant, asked: Extraction) -> str:
    """The id of the extraction job, which draws the previews that the gallery shows."""
    version = {"feature_version": asked.feature_version} if asked.feature_version else {}
    wanted = JobRequest(
        kind=Kind.EXTRACTION, input={"parts": asked.parts, "previews": True} | version, priority=asked.priority, labels=asked.labels
    )
    return str(submit.submit(house.ledger, house.doorbell, house.settings, tenant.id, wanted, None)["id"])
