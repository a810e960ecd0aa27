"""The one way in: validate, write row and audit, commit, ring."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import repeat
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from foundation.errors import Failure
from foundation.settings import Settings
from foundation.telemetry import JobAccepted, emit
from ledger import changes, idempotency, job_views, jobs, pace, parts
from ledger.chunking import ChunkSize, Pace
from ledger.jobs import NewItem
from ledger.session import Ledger, Tx
from tasks import ring
from tasks.addresses import check_url
from tasks.catalogue import catalogue
from tasks.contract import Request, Task
from tasks.extraction import ExtractionRequest
from tasks.migration import MigrationRequest
from tasks.prewarm import PrewarmRequest
from tasks.probe import ProbeRequest
from tasks.ring import Doorbell
from tasks.similarity import SimilarityRequest, SimilaritySelector, resolved
from tasks.vocabulary import FeatureVersion, Kind, Priority

_LEAST = 0.1  # of the work that a chunk is to hold, in those at the end of a job
_MOST = 20.0  # full chunks in one: what was measured may have been of stored answers, and files may be new now
_SHORTEST = 1e-3  # seconds that a full chunk takes, whatever was measured
_LATEST = 253_402_300_800.0  # the year 10000, which no calendar of ours can tell
_FROM_NOW_BELOW = 1e9  # 31 years as a time from now, the year 2001 as a time: the two cannot be mixed up
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class JobRequest(BaseModel):
    """What `POST /jobs` takes: the kind, its input, and how to run it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: str = Field(description="extraction, similarity, migration or prewarm")
    input: dict[str, Any] = Field(description="what the kind asks for")
    priority: Priority = Priority.NORMAL
    callback_url: str | None = Field(None, max_length=2048, description="told by a signed webhook when the job has ended")
    run_after: float | None = Field(None, ge=0, lt=_LATEST, description="not before this time (seconds since the epoch)")
    deadline: Annotated[float, Field(gt=0, allow_inf_nan=False)] | AwareDatetime | None = Field(
        None,
        description="what is not done by then fails with JOB_DEADLINE_PASSED: seconds from now, or a time (ISO 8601 with its zone, "
        "or seconds since the epoch; below a thousand million a number means seconds from now)",
    )
    labels: dict[str, str] = Field(default_factory=dict, max_length=50, description="your own words, to find the job by")
    max_concurrency: int | None = Field(None, ge=1, le=1_000_000, description="how many chunks of the job may run at once")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request turned into rows: the items, and the input without the lists that have become items."""

    items: list[NewItem]
    input: dict[str, Any] = field(default_factory=dict)


def submit(ledger: Ledger, doorbell: Doorbell, settings: Settings, tenant_id: str, request: JobRequest, key: str | None) -> dict[str, Any]:
    """Accept a job and answer it as clients see it. Raises the failures of a request that cannot be accepted."""
    if key is None:
        return accept(ledger, doorbell, settings, tenant_id, request)
    if not _KEY.fullmatch(key):
        raise Failure("IDEMPOTENCY_KEY_INVALID")
    hashed = body_hash(request)
    with ledger.write() as tx:
        claimed = idempotency.claim(tx, tenant_id, key, hashed, settings.queue.claim_seconds)
    if claimed.job_id is not None:
        with ledger.read() as tx:
            return job_views.get(tx, tenant_id, claimed.job_id)
    try:
        return accept(ledger, doorbell, settings, tenant_id, request, lambda tx, job_id: idempotency.tie(tx, tenant_id, claimed, job_id))
    except Failure:
        with ledger.write() as tx:
            idempotency.release(tx, tenant_id, claimed)
        raise


def accept(
    ledger: Ledger,
    doorbell: Doorbell,
    settings: Settings,
    tenant_id: str,
    request: JobRequest,
    tie: Callable[[Tx, str], None] = lambda tx, job_id: None,
) -> dict[str, Any]:
    """Write a job. `tie` begins its transaction: what it writes stands and falls with the job, and what it raises forbids it."""
    task, asked_for = checked(settings, request)
    job_id = ledger.clock.new_id("job")
    with ledger.write() as tx:
        tie(tx, job_id)
        deadline = _deadline(request, tx.now)
        asked = _ASKS[task.asks](tx, tenant_id, asked_for, settings)
        if not 0 < len(asked.items) <= settings.upload.max_items:
            raise Failure("REQUEST_INVALID", {"items": len(asked.items), "allowed": [1, settings.upload.max_items]})
        row, told = jobs.add(
            tx,
            jobs.NewJob(
                id=job_id,
                tenant_id=tenant_id,
                kind=task.name,
                queue=task.queue,
                priority=request.priority.value,
                step=request.priority.step,
                input=asked.input,
                items=asked.items,
                size=_paced(tx, tenant_id, task, request.priority, asked, settings),
                labels=request.labels,
                callback_url=request.callback_url,
                max_concurrency=request.max_concurrency,
                run_after=request.run_after,
                deadline=deadline,
            ),
        )
        ready = jobs.ring(tx, task.queue, request.priority.step, settings.queue.ring_window)
    doorbell.ring([*ring.of_chunks(ready, task.queue, request.priority.step), *ring.of_deliveries(told)])
    emit(JobAccepted(job_id, task.name, len(asked.items)))
    return job_views.view(row)


def body_hash(request: JobRequest) -> str:
    """What a request's Idempotency-Key is tied to. A field that came later and is not used leaves the hash as it was before it came."""
    unsaid = {"deadline"} if request.deadline is None else set()
    return hashlib.sha256(request.model_dump_json(exclude=unsaid).encode()).hexdigest()


def _deadline(request: JobRequest, now: float) -> float | None:
    """The deadline in seconds since the epoch. Raises REQUEST_INVALID for one that cannot be kept."""
    asked = request.deadline
    if asked is None:
        return None
    at = asked.timestamp() if isinstance(asked, datetime) else now + asked if asked < _FROM_NOW_BELOW else asked
    if not max(now, request.run_after or 0.0) < at < _LATEST:
        wrong = "must be in the future, and later than run_after"
        raise Failure("REQUEST_INVALID", {"fields": {"deadline": wrong}})
    return at


def checked(settings: Settings, request: JobRequest) -> tuple[Task, Request]:
    """What can be said of a request without the ledger. Raises KIND_UNKNOWN, WEBHOOK_URL_FORBIDDEN, REQUEST_INVALID."""
    task = catalogue().get(request.kind)
    if task is None:
        raise Failure("KIND_UNKNOWN", {"kind": request.kind[:64], "kinds": list(catalogue())})
    if request.callback_url is not None:
        check_url(request.callback_url, settings.webhook.allow_private)
    return task, _checked(task, request.input)


def _checked(task: Task, given: dict[str, Any]) -> Request:
    try:
        return task.asks.model_validate(given)
    except ValidationError as error:
        raise Failure("REQUEST_INVALID", {"kind": task.name, "fields": told(error.errors())}) from error


def told(faults: Sequence[Any]) -> dict[str, str]:
    """Validation faults as field -> sentence, at most 20 of them."""
    return {".".join(str(step) for step in fault["loc"]): str(fault["msg"]) for fault in faults[:20]}


def resume(ledger: Ledger, doorbell: Doorbell, settings: Settings, tenant_id: str, job_id: str) -> dict[str, Any]:
    """Let a paused job go on. Raises JOB_NOT_FOUND, JOB_FINISHED, JOB_NOT_PAUSED."""
    with ledger.write() as tx:
        changes.resume(tx, tenant_id, job_id)
        answer = job_views.get(tx, tenant_id, job_id)
        task, step = catalogue()[answer["kind"]], Priority(answer["priority"]).step
        ready = jobs.ring(tx, task.queue, step, settings.queue.ring_window)
    doorbell.ring(ring.of_chunks(ready, task.queue, step))
    return answer


def retry(ledger: Ledger, doorbell: Doorbell, settings: Settings, tenant_id: str, job_id: str, code: str | None = None) -> dict[str, Any]:
    """Queue the failed items of an ended job again, all or those of a code. Raises JOB_NOT_FOUND, JOB_NOT_RETRYABLE."""
    with ledger.write() as tx:
        job = job_views.get(tx, tenant_id, job_id)
        task, step = catalogue()[job["kind"]], Priority(job["priority"]).step
        told = changes.retry(tx, tenant_id, job_id, chunk_size(task, settings), code)
        ready = jobs.ring(tx, task.queue, step, settings.queue.ring_window)
        answer = job_views.get(tx, tenant_id, job_id)
    doorbell.ring([*ring.of_chunks(ready, task.queue, step), *ring.of_deliveries(told)])
    return answer


def chunk_size(task: Task, settings: Settings) -> ChunkSize:
    queue = settings.queue
    if task.kind is Kind.SIMILARITY:  # queries are searched together, and no file is read: only their number weighs
        return ChunkSize(min(task.chunk_items, queue.chunk_max_items), sys.maxsize, 1)
    return ChunkSize(min(task.chunk_items, queue.chunk_max_items), queue.chunk_target_bytes, queue.chunk_per_job_min)


def _paced(tx: Tx, tenant_id: str, task: Task, priority: Priority, asked: Asked, settings: Settings) -> ChunkSize:
    """The size of chunks that take about as long as they shall; that of `chunk_size` while nobody knows how long items take."""
    size, queue = chunk_size(task, settings), settings.queue
    if len(asked.items) <= size.per_job_min or task.kind is Kind.SIMILARITY:
        return size
    measured = pace.seconds(tx, tenant_id, task.name, asked.input)
    if measured is None:
        return size
    wanted = queue.chunk_seconds * (0.5 if priority is Priority.URGENT else 1.0)
    full = min(wanted / max(measured, _SHORTEST), _MOST)
    return replace(size, pace=Pace(full, full * _LEAST, queue.chunk_max_items))


def _of_parts(sizes: dict[str, int], part_ids: tuple[str, ...]) -> list[NewItem]:
    """One item a part, in the order asked. An id that is nobody's fails by itself later and disturbs no other item."""
    return list(map(NewItem, part_ids, repeat(None), map(sizes.get, part_ids, repeat(0))))


def _extraction(tx: Tx, tenant_id: str, request: ExtractionRequest, settings: Settings) -> Asked:
    version = request.feature_version or settings.features.version
    return Asked(
        _of_parts(parts.sizes(tx, tenant_id, request.parts), request.parts),
        {
            "feature_version": version,
            "force": request.force,
            "previews": request.previews,
            "units_asked": {"units": request.units, "default_units": request.default_units},
        },
    )


def _similarity(tx: Tx, tenant_id: str, request: SimilarityRequest, settings: Settings) -> Asked:
    if isinstance(request.queries, tuple):
        queries = list(request.queries)
    else:
        chosen = request.queries.model_dump(mode="json") if isinstance(request.queries, SimilaritySelector) else {}
        # what is asked once for each content is counted afterwards
        queries = list(parts.select_ids(tx, tenant_id, chosen, None if request.distinct else settings.upload.max_items + 1))
    if request.distinct:
        queries = parts.one_each(tx, tenant_id, queries)
    return Asked([NewItem(part_id=part_id) for part_id in queries], resolved(request, FeatureVersion(settings.features.version)))


def _migration(tx: Tx, tenant_id: str, request: MigrationRequest, settings: Settings) -> Asked:
    sizes = parts.select_ids(tx, tenant_id, request.selector.model_dump(mode="json"), settings.upload.max_items + 1)
    chosen = request.selector.parts or tuple(sizes)
    items = _of_parts(sizes, chosen)
    for place in range(min(request.sample, len(items))):  # spread evenly
        at = place * len(items) // min(request.sample, len(items))
        items[at] = items[at]._replace(payload={"sample": True})
    told = {"from": request.from_version, "to": request.to_version, "dry_run": request.dry_run}
    return Asked(items, told | {"allow_projection": request.allow_projection})


def _prewarm(_tx: Tx, _tenant_id: str, request: PrewarmRequest, settings: Settings) -> Asked:
    most = min(request.max or settings.features.prewarm_max, settings.features.prewarm_max)
    version = request.selector.feature_version or settings.features.version
    payload = {
        "feature_versions": list(FeatureVersion) if version == "all" else [version],
        "max": most,
        "budget_bytes": request.budget_bytes,
        "budget_seconds": request.budget_seconds,
    }
    return Asked([NewItem(payload=payload)], {"target": request.target})


def _probe(_tx: Tx, _tenant_id: str, request: ProbeRequest, _settings: Settings) -> Asked:
    sound = NewItem(payload={"fault": None}, bytes=request.bytes)
    faulty = {index: NewItem(payload={"fault": fault}, bytes=request.bytes) for index, fault in request.faults.items()}
    return Asked([faulty.get(index, sound) for index in range(request.items)], {"ms": request.ms, "act": request.act})


_ASKS: dict[type[Request], Callable[[Tx, str, Any, Settings], Asked]] = {
    ExtractionRequest: _extraction,
    SimilarityRequest: _similarity,
    MigrationRequest: _migration,
    PrewarmRequest: _prewarm,
    ProbeRequest: _probe,
}
