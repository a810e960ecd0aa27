"""Hurt the stack on purpose. Imported only with CADMILL_CHAOS=1: without it the address does not exist."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.auth import TheAdmin
from api.house import TheHouse
from ledger import audit
from tasks import chaos
from tasks.celery import app as celery_app
from tasks.chaos import ChaosRequest

router = APIRouter(prefix="/chaos", tags=["chaos"])


@router.post("", status_code=202)
def post_chaos(house: TheHouse, admin: TheAdmin, request: ChaosRequest) -> dict[str, Any]:
    """Inflict one fault; the answer says who was hit.

    Needs the admin token beside the key. Every fault ends by itself, and is in the audit trail before it happens."""
    with house.ledger.write() as tx:
        audit.record(tx, admin.id, "admin", "chaos.inflicted", request.fault.value, seconds=request.seconds)
    return {"fault": request.fault.value, "seconds": request.seconds} | chaos.inflict(celery_app, house.redis, request)
