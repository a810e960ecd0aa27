"""What a tenant uses of its quotas."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.auth import TheTenant
from api.house import TheHouse
from api.shapes.answers import answers
from api.shapes.tenants import Usage
from ledger import quotas

router = APIRouter(prefix="/usage", tags=["tenants"])


@router.get("", responses=answers(Usage))
def get_usage(house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Bytes and parts you keep and jobs in flight, each with its limit (null: none). What would exceed one gets QUOTA_EXCEEDED."""
    with house.ledger.read() as tx:
        return {"tenant": {"id": tenant.id, "name": tenant.name}, "usage": quotas.usage(tx, tenant.id)}
