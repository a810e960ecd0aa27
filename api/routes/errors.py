"""What can go wrong: the table of codes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from api.auth import TheTenant
from api.shapes.answers import answers
from api.shapes.errors import ErrorCodes
from api.versions import link
from foundation.codes import CODES, RENAMED, current

router = APIRouter(prefix="/errors", tags=["errors"])


@router.get("/codes", responses=answers(ErrorCodes))
def list_error_codes(
    _tenant: TheTenant, code: Annotated[str | None, Query(max_length=64, description="only this one; an old name will do")] = None
) -> dict[str, Any]:
    """Every code that an answer, an item, a job or a webhook can carry, with what it means and what gets over it; old names beside it."""
    wanted = None if code is None else current(code)
    return {"codes": [_told(name) for name in CODES if wanted in (None, name)], "renamed": RENAMED}


def _told(name: str) -> dict[str, Any]:
    row = CODES[name]
    return {
        "code": name,
        "source": row.source,
        "severity": row.severity,
        "stage": row.stage,
        "status": row.status,
        "grpc_status": row.grpc,
        "retryable": row.retryable,
        "temporary": row.temporary,
        "recovery": row.recovery,
        "message": row.sentence,
        "remedy": row.remedy.replace("/api/v1/", link("/")),
        "version": row.version,
        "reserved": row.reserved,
    }
