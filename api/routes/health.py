"""Is it alive, can it work, and what do the numbers say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from redis import RedisError

from api.house import House, TheHouse
from foundation import metrics
from foundation.errors import Failure
from ledger import job_views, quarantine, queues
from tasks.catalogue import compute_queues
from tasks.vocabulary import Priority

router = APIRouter(tags=["health"])


@router.get("/health/live")
def live() -> dict[str, str]:
    """The process answers."""
    return {"status": "live"}


@router.get("/health/ready")
def ready(house: TheHouse) -> JSONResponse:
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


@router.get("/metrics")
def get_metrics(house: TheHouse) -> Response:
    """Prometheus text: the counters of every process of this machine, and the ledger's truth about queues."""
    with house.ledger.read() as tx:
        found = queues.view(tx, compute_queues(), {priority.step: priority.value for priority in Priority})
        held = quarantine.count(tx)
    lines = ["# HELP cadmill_chunks Chunks that have not ended, by the ledger", "# TYPE cadmill_chunks gauge"]
    lines += [f'cadmill_chunks{{queue="{q["name"]}",state="{state}"}} {count}' for q in found for state, count in q["depth"].items()]
    for name, meaning, value in _OF_QUEUES:
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        lines += [f'{name}{{queue="{q["name"]}"}} {value(q)}' for q in found]
    lines += ["# HELP cadmill_quarantined_files Files in quarantine, by the ledger", "# TYPE cadmill_quarantined_files gauge"]
    lines.append(f"cadmill_quarantined_files {held}")
    return Response(metrics.exposition() + ("\n".join(lines) + "\n").encode(), media_type="text/plain; version=0.0.4; charset=utf-8")


_OF_QUEUES: tuple[tuple[str, str, Callable[[dict[str, Any]], float]], ...] = (
    ("cadmill_queue_paused", "1: the queue is paused", lambda queue: int(queue["paused"] is not None)),
    ("cadmill_queue_oldest_wait_seconds", "How long the oldest queued chunk has waited", lambda queue: queue["oldest_wait_seconds"]),
    ("cadmill_queue_workers", "Chunks that workers alive can work on at once", lambda queue: queue["workers"]),
)
