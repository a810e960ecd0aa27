"""Jobs: submit, watch, read results, change one's mind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import JSONResponse, StreamingResponse

from api import paging
from api.auth import TheTenant
from api.hot import Submission
from api.house import House, TheHouse
from api.paging import Cursor, Limit
from api.shapes.answers import LOCATION, answers, streams
from api.shapes.jobs import ItemPage, ItemState, Job, JobPage, JobState, Result, SeenJob
from api.shapes.webhooks import Deliveries
from api.tables import line
from api.versions import link
from ledger import changes, delivery_views, job_views, waiting
from tasks import ring, submit
from tasks.rollback import rollback
from tasks.submit import JobRequest

router = APIRouter(prefix="/jobs", tags=["jobs"])

_PAGE = 500


def linked(job: dict[str, Any]) -> dict[str, Any]:
    here = link(f"/jobs/{job['id']}")
    steps = ["items", "result", "deliveries", "cancel", "retry", "pause", "resume"] + ["rollback"] * (job["kind"] == "migration")
    return job | {"links": {"self": here} | {name: f"{here}/{name}" for name in steps}}


_SUBMIT_CODES = (
    "IDEMPOTENCY_KEY_INVALID",
    "IDEMPOTENCY_KEY_REUSED",
    "IDEMPOTENCY_KEY_IN_FLIGHT",
    "KIND_UNKNOWN",
    "WEBHOOK_URL_FORBIDDEN",
    "QUOTA_EXCEEDED",
)


def submit_job(
    request: JobRequest,
    house: TheHouse,
    tenant: TheTenant,
    idempotency_key: Annotated[str | None, Header(description="the same key and body: the same job")] = None,
) -> JSONResponse:
    """Accept a job. A 202 is a promise: the job is written down and will reach an end, whatever dies meanwhile."""
    job = submit.submit(house.ledger, house.doorbell, house.settings, tenant.id, request, idempotency_key)
    return JSONResponse(linked(job), 202, {"Location": link(f"/jobs/{job['id']}")})


router.add_api_route(
    "", submit_job, methods=["POST"], status_code=202, route_class_override=Submission,
    responses=answers(Job, *_SUBMIT_CODES, status=202, says="It is written down, and will reach an end", headers=LOCATION),
)  # fmt: skip


@router.get("", responses=answers(JobPage, "CURSOR_INVALID"))
def list_jobs(
    house: TheHouse, tenant: TheTenant, limit: Limit = 100, cursor: Cursor = None, state: JobState | None = None, kind: str | None = None
) -> dict[str, Any]:
    """Your jobs, newest first."""
    with house.ledger.read() as tx:
        found = job_views.page(tx, tenant.id, limit + 1, paging.decode(cursor), state, kind)
    return paging.page("jobs", found, limit)


@router.get("/{job_id}", responses=answers(SeenJob, "JOB_NOT_FOUND"))
def get_job(job_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """A job with its counts; while chunks of it wait, `waiting` says why: its place in line, what blocks it, and an estimate."""
    with house.ledger.read() as tx:
        job = job_views.get(tx, tenant.id, job_id)
        return linked(job | {"waiting": waiting.why(tx, job_id)})


@router.get("/{job_id}/items", responses=answers(ItemPage, "JOB_NOT_FOUND", "CURSOR_INVALID"))
def list_items(
    job_id: str, house: TheHouse, tenant: TheTenant, limit: Limit = 100, cursor: Cursor = None, state: ItemState | None = None
) -> dict[str, Any]:
    """Items of a job in the order they were asked for, each with its own outcome."""
    after = paging.decode_number(cursor, -1)
    with house.ledger.read() as tx:
        job_views.get(tx, tenant.id, job_id)
        found = job_views.page_items(tx, job_id, limit + 1, after, state)
    return paging.page("items", found, limit, key="index")


@router.get("/{job_id}/result", responses=streams("application/json", "JOB_NOT_FOUND", says="The whole job", model=Result))
def get_result(job_id: str, house: TheHouse, tenant: TheTenant) -> StreamingResponse:
    """The job and all of its items as one JSON document. While the job runs: what there is so far."""
    job = get_job(job_id, house, tenant)

    def text() -> Iterator[str]:
        yield '{"job": ' + json.dumps(job) + ', "items": ['
        for at, item in enumerate(_every_item(house, job_id)):
            yield (", " if at else "") + json.dumps(item)
        yield "]}\n"

    return StreamingResponse(text(), media_type="application/json")


_LINES = streams("application/jsonl", "JOB_NOT_FOUND", says="A line for each item, as of /items")
_ROWS = streams("text/csv", "JOB_NOT_FOUND", says="A row for each item, or for each hit")


@router.get("/{job_id}/result.jsonl", response_class=StreamingResponse, responses=_LINES)
def get_result_lines(job_id: str, house: TheHouse, tenant: TheTenant) -> StreamingResponse:
    """Every item as one line of JSON."""
    get_job(job_id, house, tenant)
    return StreamingResponse((json.dumps(item) + "\n" for item in _every_item(house, job_id)), media_type="application/jsonl")


@router.get("/{job_id}/result.csv", response_class=StreamingResponse, responses=_ROWS)
def get_result_table(job_id: str, house: TheHouse, tenant: TheTenant) -> StreamingResponse:
    """Every item as one line of a table; hits of a similarity job one line each."""
    get_job(job_id, house, tenant)
    return StreamingResponse(_table(_every_item(house, job_id)), media_type="text/csv")


def _every_item(house: House, job_id: str) -> Iterator[dict[str, Any]]:
    after = -1
    while True:
        with house.ledger.read() as tx:
            bite = job_views.page_items(tx, job_id, _PAGE, after, None)
        yield from bite
        if len(bite) < _PAGE:
            return
        after = bite[-1]["index"]


_COLUMNS = ("index", "part_id", "name", "state", "attempts", "code", "message")


def _table(items: Iterator[dict[str, Any]]) -> Iterator[str]:
    """CSV text. The columns behind the fixed ones are those of the first result: one job has one kind of result."""
    columns: list[str] | None = None
    waiting: list[dict[str, Any]] = []
    for item in items:
        if columns is None and item["result"]:
            columns = list(_flat(item["result"])[0])
            yield line([*_COLUMNS, *columns]) + "".join(_lines(each, columns) for each in waiting)
        if columns is None:
            waiting.append(item)
        else:
            yield _lines(item, columns)
    if columns is None:
        yield line(_COLUMNS) + "".join(_lines(each, []) for each in waiting)


def _lines(item: dict[str, Any], columns: list[str]) -> str:
    error = item["error"] or {}
    head = [item[name] for name in _COLUMNS[:5]] + [error.get("code"), error.get("message")]
    return "".join(line([*head, *(row.get(name) for name in columns)]) for row in _flat(item["result"] or {}))


def _flat(result: dict[str, Any]) -> list[dict[str, Any]]:
    """A result as rows of plain values: its slots become columns, its hits become rows."""
    plain = {name: value for name, value in result.items() if isinstance(value, str | int | float | bool)}
    plain |= {f"slot_{name}": value for name, value in result.get("slots", {}).items()}
    hits = result.get("hits")
    if hits is None:
        return [plain]
    empty = dict.fromkeys(("hit_part_id", "hit_name", "score", "label"))
    rows = [{"hit_part_id": h["part_id"], "hit_name": h["name"], "score": h["score"], "label": h["label"]} for h in hits]
    return [row | plain for row in rows or [empty]]


@router.get("/{job_id}/deliveries", responses=answers(Deliveries, "JOB_NOT_FOUND"))
def list_deliveries(job_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Webhooks owed for a job, with every try."""
    with house.ledger.read() as tx:
        job_views.get(tx, tenant.id, job_id)
        return {"deliveries": delivery_views.of_job(tx, tenant.id, job_id)}


@router.post("/{job_id}/cancel", responses=answers(Job, "JOB_NOT_FOUND", "JOB_FINISHED"))
def cancel_job(job_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """End a job now. What is done is kept; the rest never becomes done."""
    with house.ledger.write() as tx:
        settled = changes.cancel(tx, tenant.id, job_id)
        job = job_views.get(tx, tenant.id, job_id)
    house.doorbell.ring(ring.of_deliveries(settled.deliveries))
    return linked(job)


@router.post("/{job_id}/pause", responses=answers(Job, "JOB_NOT_FOUND", "JOB_FINISHED", "JOB_PAUSED"))
def pause_job(job_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Start nothing more of a job, of any kind. What runs finishes and is kept; the rest waits until the job is resumed, whatever is
    started anew meanwhile. Its deadline goes on, and it can be cancelled.
    """
    with house.ledger.write() as tx:
        changes.pause(tx, tenant.id, job_id)
        return linked(job_views.get(tx, tenant.id, job_id))


@router.post("/{job_id}/resume", responses=answers(Job, "JOB_NOT_FOUND", "JOB_FINISHED", "JOB_NOT_PAUSED"))
def resume_job(job_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Let a paused job go on where it was."""
    return linked(submit.resume(house.ledger, house.doorbell, house.settings, tenant.id, job_id))


_ROLLBACK_CODES = ("JOB_NOT_FOUND", "JOB_NOT_MIGRATION", "JOB_NOT_ENDED", "ROLLBACK_CONFLICT", "ROLLBACK_EXPIRED")


@router.post("/{job_id}/rollback", responses=answers(Job, *_ROLLBACK_CODES))
def roll_back_job(
    job_id: str,
    house: TheHouse,
    tenant: TheTenant,
    keep_changed: Annotated[bool, Query(description="leave what other jobs have written since as it is, instead of refusing")] = False,
) -> dict[str, Any]:
    """Undo a migration that has ended: its vectors are what they were before it, byte for byte. Refused where a later job has written
    any of them. Repeating it is harmless.
    """
    return linked(rollback(house.ledger, house.settings, tenant.id, job_id, keep_changed))


@router.post("/{job_id}/retry", status_code=202, responses=answers(Job, "JOB_NOT_FOUND", "JOB_NOT_RETRYABLE", "QUOTA_EXCEEDED", status=202))
def retry_job(job_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Do the failed items of an ended job again."""
    return linked(submit.retry(house.ledger, house.doorbell, house.settings, tenant.id, job_id))
