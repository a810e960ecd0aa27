"""Schedules: jobs that submit themselves by the clock."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api import paging
from api.auth import TheTenant
from api.house import TheHouse
from api.paging import Cursor, Limit
from api.routes.jobs import linked
from api.shapes.answers import LOCATION, answers, nothing
from api.shapes.jobs import Job
from api.shapes.operating import Schedule, SchedulePage
from api.versions import link
from ledger import schedules as rows
from tasks import schedules
from tasks.schedules import ScheduleChange, ScheduleRequest

router = APIRouter(prefix="/schedules", tags=["schedules"])


_CODES = ("SCHEDULE_INVALID", "KIND_UNKNOWN", "WEBHOOK_URL_FORBIDDEN", "SCHEDULE_NAME_TAKEN")


@router.post("", status_code=201, responses=answers(Schedule, *_CODES, "SCHEDULE_LIMIT", status=201, says="It is kept", headers=LOCATION))
def add_schedule(request: ScheduleRequest, house: TheHouse, tenant: TheTenant) -> JSONResponse:
    """Have a job submitted by the clock. Each slot is one job, whatever dies and however many clocks tick."""
    schedule_id = schedules.add(house.ledger, house.settings, tenant.id, request)
    told = schedules.detail(house.ledger, tenant.id, schedule_id)
    return JSONResponse(told, 201, {"Location": link(f"/schedules/{schedule_id}")})


@router.get("", responses=answers(SchedulePage, "CURSOR_INVALID"))
def list_schedules(house: TheHouse, tenant: TheTenant, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Your schedules, newest first."""
    with house.ledger.read() as tx:
        found = rows.page(tx, tenant.id, limit + 1, paging.decode(cursor))
    return paging.page("schedules", found, limit)


@router.get("/{schedule_id}", responses=answers(Schedule, "SCHEDULE_NOT_FOUND"))
def get_schedule(schedule_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """A schedule with its next 5 slots, and what became of the last 10: submitted (with the job), refused (with the code) or missed."""
    return schedules.detail(house.ledger, tenant.id, schedule_id)


@router.patch("/{schedule_id}", responses=answers(Schedule, "SCHEDULE_NOT_FOUND", *_CODES))
def change_schedule(schedule_id: str, request: ScheduleChange, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Change what is named and nothing else; `{"enabled": false}` pauses. A new time, or resuming, starts from now."""
    schedules.change(house.ledger, house.settings, tenant.id, schedule_id, request)
    return schedules.detail(house.ledger, tenant.id, schedule_id)


@router.delete("/{schedule_id}", status_code=204, responses=nothing("SCHEDULE_NOT_FOUND", says="It is forgotten"))
def delete_schedule(schedule_id: str, house: TheHouse, tenant: TheTenant) -> None:
    """Forget a schedule. The jobs it submitted stay as they are."""
    with house.ledger.write() as tx:
        rows.remove(tx, tenant.id, schedule_id)


_RUN = answers(
    Job, "SCHEDULE_NOT_FOUND", "KIND_UNKNOWN", "WEBHOOK_URL_FORBIDDEN", "QUOTA_EXCEEDED", status=202, says="The job", headers=LOCATION
)


@router.post("/{schedule_id}/run", status_code=202, responses=_RUN)
def run_schedule(schedule_id: str, house: TheHouse, tenant: TheTenant) -> JSONResponse:
    """Submit its job now, outside of its slots, paused or not."""
    job = schedules.run_now(house.ledger, house.doorbell, house.settings, tenant.id, schedule_id)
    return JSONResponse(linked(job), 202, {"Location": link(f"/jobs/{job['id']}")})
