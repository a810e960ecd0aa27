"""Change one's mind about many jobs at once."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api.auth import TheTenant
from api.house import TheHouse
from api.shapes.answers import answers
from api.shapes.jobs import CancelledJobs, RetriedJobs
from tasks import bulk
from tasks.bulk import CancelSelection, RetrySelection

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("/retry", responses=answers(RetriedJobs))
def retry_jobs(selection: RetrySelection, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Do the failed items of many ended jobs again. With a code, only items that failed with it."""
    return bulk.retry(house.ledger, house.doorbell, house.settings, tenant.id, selection)


@router.post("/cancel", responses=answers(CancelledJobs))
def cancel_jobs(selection: CancelSelection, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """End many jobs now. What is done is kept."""
    return bulk.cancel(house.ledger, house.doorbell, tenant.id, selection)
