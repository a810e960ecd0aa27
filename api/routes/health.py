"""Is it alive, can it work, and what do the numbers say."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from redis import RedisError

from api.house import House, TheHouse
from foundation import metrics
from foundation.errors import Failure
from ledger import job_views
from ledger.inspection import verdicts
from ledger.inspection.rules import RULES

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
        states = job_views.states(tx)
        wrong, inspected = verdicts.latest(tx)
    lines = ["# HELP cadmill_chunks Chunks that have not ended, by the ledger", "# TYPE cadmill_chunks gauge"]
    lines += [f'cadmill_chunks{{queue="{queue}",state="{state}"}} {count}' for (queue, state), count in sorted(states.items())]
    lines += ["# HELP cadmill_ledger_inconsistencies What the last inspection of the store found, by kind"]
    lines += ["# TYPE cadmill_ledger_inconsistencies gauge"]
    lines += [f'cadmill_ledger_inconsistencies{{kind="{kind}"}} {count}' for kind, count in sorted(wrong.items()) if kind in RULES]
    if inspected is not None:
        lines += ["# HELP cadmill_ledger_inspected_timestamp_seconds When the store was last inspected"]
        lines += ["# TYPE cadmill_ledger_inspected_timestamp_seconds gauge", f"cadmill_ledger_inspected_timestamp_seconds {inspected:.3f}"]
    return Response(metrics.exposition() + ("\n".join(lines) + "\n").encode(), media_type="text/plain; version=0.0.4; charset=utf-8")
