"""Errors: what failed lately, by code, in words."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.house import TheHouse
from api.pages.rendering import render
from api.pages.session import TheReader
from ledger import failures, quarantine

router = APIRouter(prefix="/errors", include_in_schema=False)


@router.get("")
def show_errors(request: Request, house: TheHouse, tenant: TheReader, days: Annotated[int, Query(ge=1, le=365)] = 30) -> Response:
    with house.ledger.read() as tx:
        groups = failures.by_code(tx, tenant.id, tx.now - days * 86400)
        held = quarantine.page(tx, tenant.id, 50, None)
    return render(request, house, "errors.html", groups=groups, held=held, days=days)
