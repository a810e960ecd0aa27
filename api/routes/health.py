"""Is it alive, can it work, and what do the numbers say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from redis import RedisError

from api.house import House, TheHouse
from api.shapes.answers import answers, streams
from api.shapes.operating import Liveness, Readiness
from foundation import metrics
from foundation.errors import Failure
from ledger import fleet, job_views, quarantine, queues
from ledger.inspection import verdicts
from ledger.inspection.rules import RULES
from tasks import engine_health
from tasks.catalogue import compute_queues
from tasks.vocabulary import Priority

router = APIRouter(tags=["health"])


@router.get("/health/live", responses=answers(Liveness))
def get_liveness() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@router.get("/health/ready", responses=answers(Readiness) | {503: {"model": Readiness, "description": "Nothing can be accepted"}})
def get_readiness(house: TheHouse) -> JSONResponse:
    """Whether jobs can be accepted. That takes the database alone; without Redis they are kept and start later."""
    told: dict[str, Any] = {"database": _database(house), "redis": _redis(house)}
    accepting = told["database"] == "up"
    status = "ready" if accepting and told["redis"] == "up" else "degraded" if accepting else "unavailable"
    return JSONResponse({"status": status} | told, 200 if accepting else 503)


def _database(house: House) -> str:
    try:
        with house.ledger.read() as tx:
            job_views.alive(tx)
    except Failure as failure:
        return failure.code
    return "up"


def _redis(house: House) -> str:
    try:
        house.redis.ping()
    except RedisError:
        return "BROKER_UNAVAILABLE"
    return "up"


@router.get("/metrics", response_class=Response, responses=streams("text/plain", says="Prometheus text"))
def get_metrics(house: TheHouse) -> Response:
    """Prometheus text: the counters of every process of this machine, and the ledger's truth about queues."""
    with house.ledger.read() as tx:
        found = queues.view(tx, compute_queues(), {priority.step: priority.value for priority in Priority})
        held = quarantine.count(tx)
        wrong, inspected = verdicts.latest(tx)
        indexes, degraded_seconds = engine_health.gauges(fleet.alive(tx), tx.now)
    text = _gauge(
        "cadmill_chunks",
        "Chunks that have not ended, by the ledger",
        {f'{{queue="{q["name"]}",state="{state}"}}': count for q in found for state, count in q["depth"].items()},
    )
    for name, meaning, value in _OF_QUEUES:
        text += _gauge(name, meaning, {f'{{queue="{q["name"]}"}}': value(q) for q in found})
    by_state = {f'{{state="{state}"}}': count for state, count in indexes.items()}
    text += _gauge("cadmill_index_workers", "Worker processes by the state of their fast index, by the ledger", by_state)
    text += _gauge(
        "cadmill_index_degraded_seconds",
        "How long exact search has stood in, in the worker where it has longest",
        {"": round(degraded_seconds, 3)},
    )
    text += _gauge("cadmill_quarantined_files", "Files in quarantine, by the ledger", {"": held})
    known = {f'{{kind="{kind}"}}': count for kind, count in sorted(wrong.items()) if kind in RULES}
    text += _gauge("cadmill_ledger_inconsistencies", "What the last inspection of the store found, by kind", known)
    if inspected is not None:
        text += _gauge("cadmill_ledger_inspected_timestamp_seconds", "When the store was last inspected", {"": round(inspected, 3)})
    return Response(metrics.exposition() + text.encode(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _gauge(name: str, meaning: str, values: Mapping[str, float]) -> str:
    """Prometheus text of one gauge; `values` by labels as they are written."""
    lines = [f"# HELP {name} {meaning}", f"# TYPE {name} gauge", *(f"{name}{labels} {value}" for labels, value in values.items())]
    return "\n".join(lines) + "\n"


_OF_QUEUES: tuple[tuple[str, str, Callable[[dict[str, Any]], float]], ...] = (
    ("cadmill_queue_paused", "1: the queue is paused", lambda queue: int(queue["paused"] is not None)),
    ("cadmill_queue_oldest_wait_seconds", "How long the oldest queued chunk has waited", lambda queue: queue["oldest_wait_seconds"]),
    ("cadmill_queue_workers", "Chunks that workers alive can work on at once", lambda queue: queue["workers"]),
)
