"""Quarantine: files that killed the process that reads them, kept from the engine for a while."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path

from api import paging
from api.auth import TheTenant
from api.house import TheHouse
from api.paging import Cursor, Limit
from api.shapes.answers import answers, nothing
from api.shapes.parts import QuarantinePage
from ledger import quarantine

router = APIRouter(prefix="/quarantine", tags=["quarantine"])


@router.get("", responses=answers(QuarantinePage, "CURSOR_INVALID"))
def list_quarantine(house: TheHouse, tenant: TheTenant, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Your files in quarantine. Each killed two processes; its items end FILE_QUARANTINED until the time told, even if forced."""
    with house.ledger.read() as tx:
        found = quarantine.page(tx, tenant.id, limit + 1, paging.decode(cursor))
    return paging.page("files", found, limit, key="key")


@router.delete("/{sha256}", status_code=204, responses=nothing("QUARANTINE_NOT_FOUND", says="It may be read again"))
def release_from_quarantine(sha256: Annotated[str, Path(pattern="^[0-9a-f]{64}$")], house: TheHouse, tenant: TheTenant) -> None:
    """Let a file be read again. It has to kill two more processes before it comes back."""
    with house.ledger.write() as tx:
        quarantine.release(tx, tenant.id, sha256)
