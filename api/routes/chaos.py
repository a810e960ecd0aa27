"""Hurt the stack on purpose. Imported only with CADMILL_CHAOS=1: without it the address does not exist."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.auth import TheAdmin
from api.house import TheHouse
from api.shapes.answers import answers
from ledger import audit
from tasks import chaos
from tasks.celery import app as celery_app
from tasks.chaos import ChaosRequest

router = APIRouter(prefix="/chaos", tags=["chaos"])


class Inflicted(BaseModel):
    """What was done, and to whom: the names that follow depend on the fault."""

    model_config = ConfigDict(extra="allow")

    fault: str
    seconds: float


@router.post("", status_code=202, responses=answers(Inflicted, status=202, says="It hurts; the answer tells whom"))
def post_chaos(house: TheHouse, admin: TheAdmin, request: ChaosRequest) -> dict[str, Any]:
    """Inflict one fault; the answer says who was hit.

    Needs the admin token beside the key. Every fault ends by itself, and is in the audit trail before it happens."""
    with house.ledger.write() as tx:
        audit.record(tx, admin.id, "admin", "chaos.inflicted", request.fault.value, seconds=request.seconds)
    return {"fault": request.fault.value, "seconds": request.seconds} | chaos.inflict(celery_app, house.redis, request)
