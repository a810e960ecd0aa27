"""What stands around the calls that leave this process, and how it stands."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.auth import TheAdmin
from api.house import TheHouse
from api.shapes.answers import answers
from api.shapes.resilience import Resilience
from foundation.resilience import protection

router = APIRouter(prefix="/health", tags=["health"])

_MOST = 200


@router.get("/resilience", responses=answers(Resilience))
def get_resilience(house: TheHouse, _admin: TheAdmin) -> dict[str, Any]:
    """The table of outgoing calls (limiter, bulkhead, breaker, retry) with what is switched off, and the state and counts of the breakers
    and bulkheads of the process that answers. Needs X-Admin-Token."""
    return {
        "process": house.settings.process.name,
        "policies": protection.rows(house.settings),
        "protections": protection.HERE.statistics()[:_MOST],
    }
