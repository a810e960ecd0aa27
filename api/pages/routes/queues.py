"""Queues: how full they are, who serves them, whether the index is well."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.house import TheHouse
from api.pages.rendering import render
from api.pages.session import TheReader
from ledger import queues
from tasks import engine_health
from tasks.catalogue import compute_queues
from tasks.vocabulary import Priority

router = APIRouter(prefix="/queues", include_in_schema=False)


@router.get("")
def show_queues(request: Request, house: TheHouse, tenant: TheReader) -> Response:
    """Asked for again every few seconds."""
    with house.ledger.read() as tx:
        found = queues.view(tx, compute_queues(), {priority.step: priority.value for priority in Priority})
        index = engine_health.view(tx)
    template = "_queues.html" if "hx-request" in request.headers else "queues.html"
    return render(request, house, template, queues=found, index=index, priorities=[priority.value for priority in Priority])
