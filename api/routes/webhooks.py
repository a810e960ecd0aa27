"""Webhooks: endpoints, the secrets that prove a message comes from here, and the log of what was sent."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api import paging
from api.auth import TheKeeper, TheTenant
from api.house import TheHouse
from api.paging import Cursor, Limit
from api.shapes.answers import LOCATION, answers, nothing
from api.shapes.webhooks import (
    DeliveryPage,
    EnabledEndpoint,
    EndpointPage,
    NewEndpoint,
    Redelivered,
    RotatedSecret,
    SeenDelivery,
    SeenEndpoint,
    WebhookSecret,
)
from api.versions import link
from ledger import delivery_views, endpoints
from tasks import webhooks
from tasks.webhooks import EnableRequest, EndpointChange, EndpointRequest, RedeliverRequest, RotateRequest, State

router = APIRouter(prefix="/webhooks", tags=["webhooks"])
deliveries = APIRouter(prefix="/deliveries", tags=["webhooks"])


@router.get("/secret", responses=answers(WebhookSecret, "SECRET_MISMATCH"))
def get_webhook_secret(house: TheHouse, tenant: TheKeeper) -> dict[str, str]:
    """The secret with which the callbacks of your jobs are signed (Standard Webhooks, symmetric). An endpoint has one of its own."""
    return {"secret": webhooks.reveal(house.ledger, house.sealing, tenant.id, None)}


@router.post("/secret/rotate", responses=answers(RotatedSecret))
def rotate_webhook_secret(house: TheHouse, tenant: TheKeeper, request: RotateRequest | None = None) -> dict[str, Any]:
    """A new secret for callbacks; the old one signs beside it for a while."""
    return webhooks.rotate(house.ledger, house.sealing, house.settings, tenant.id, None, request or RotateRequest())


@router.post(
    "", status_code=201,
    responses=answers(NewEndpoint, "WEBHOOK_URL_FORBIDDEN", "WEBHOOK_LIMIT", status=201, says="It is kept", headers=LOCATION),
)  # fmt: skip
def add_endpoint(request: EndpointRequest, house: TheHouse, tenant: TheKeeper) -> JSONResponse:
    """Have an address told of events. The answer shows the secret that signs what it is sent."""
    added = webhooks.add(house.ledger, house.sealing, house.settings, tenant.id, request)
    return JSONResponse(added, 201, {"Location": link(f"{router.prefix}/{added['id']}")})


@router.get("", responses=answers(EndpointPage, "CURSOR_INVALID"))
def list_endpoints(house: TheHouse, tenant: TheTenant, limit: Limit = 100, cursor: Cursor = None) -> dict[str, Any]:
    """Your endpoints, newest first."""
    with house.ledger.read() as tx:
        found = endpoints.page(tx, tenant.id, limit + 1, paging.decode(cursor))
    return paging.page("webhooks", found, limit)


@router.get("/{webhook_id}", responses=answers(SeenEndpoint, "WEBHOOK_NOT_FOUND"))
def get_endpoint(webhook_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """An endpoint: whether it is enabled, why it was switched off, since when it fails, and how old its secrets are."""
    return webhooks.detail(house.ledger, tenant.id, webhook_id)


@router.patch("/{webhook_id}", responses=answers(SeenEndpoint, "WEBHOOK_NOT_FOUND", "WEBHOOK_URL_FORBIDDEN"))
def change_endpoint(webhook_id: str, request: EndpointChange, house: TheHouse, tenant: TheKeeper) -> dict[str, Any]:
    """Change what is named and nothing else. What waits to be sent goes to the new address."""
    webhooks.change(house.ledger, house.settings, tenant.id, webhook_id, request)
    return webhooks.detail(house.ledger, tenant.id, webhook_id)


@router.delete("/{webhook_id}", status_code=204, responses=nothing("WEBHOOK_NOT_FOUND", says="It is forgotten"))
def remove_endpoint(webhook_id: str, house: TheHouse, tenant: TheKeeper) -> None:
    """Forget an endpoint, its secrets and its log. What is still owed to it is not sent."""
    with house.ledger.write() as tx:
        endpoints.remove(tx, tenant.id, webhook_id)


@router.post("/{webhook_id}/pause", responses=answers(SeenEndpoint, "WEBHOOK_NOT_FOUND"))
def pause_endpoint(webhook_id: str, house: TheHouse, tenant: TheKeeper) -> dict[str, Any]:
    """Send nothing more until it is enabled. What happens meanwhile is kept and sent then, in order."""
    with house.ledger.write() as tx:
        endpoints.pause(tx, tenant.id, webhook_id)
    return webhooks.detail(house.ledger, tenant.id, webhook_id)


@router.post("/{webhook_id}/enable", responses=answers(EnabledEndpoint, "WEBHOOK_NOT_FOUND"))
def enable_endpoint(webhook_id: str, house: TheHouse, tenant: TheKeeper, request: EnableRequest | None = None) -> dict[str, Any]:
    """Let an endpoint go on that is paused or was switched off; with `redeliver` also send what died since it began to fail."""
    with house.ledger.write() as tx:
        redelivered = endpoints.enable(tx, tenant.id, webhook_id, request is not None and request.redeliver)
    return webhooks.detail(house.ledger, tenant.id, webhook_id) | {"redelivered": redelivered}


@router.get("/{webhook_id}/secret", responses=answers(WebhookSecret, "WEBHOOK_NOT_FOUND", "SECRET_MISMATCH"))
def get_endpoint_secret(webhook_id: str, house: TheHouse, tenant: TheKeeper) -> dict[str, str]:
    """The secret that signs what this endpoint is sent. The audit trail tells who asked."""
    return {"secret": webhooks.reveal(house.ledger, house.sealing, tenant.id, webhook_id)}


@router.post("/{webhook_id}/rotate", responses=answers(RotatedSecret, "WEBHOOK_NOT_FOUND"))
def rotate_endpoint_secret(webhook_id: str, house: TheHouse, tenant: TheKeeper, request: RotateRequest | None = None) -> dict[str, Any]:
    """A new secret. The old one signs beside it for 24 hours, or for as long as you say, so that nothing is refused meanwhile."""
    return webhooks.rotate(house.ledger, house.sealing, house.settings, tenant.id, webhook_id, request or RotateRequest())


@router.post(
    "/{webhook_id}/test", status_code=202,
    responses=answers(SeenDelivery, "WEBHOOK_NOT_FOUND", status=202, says="It is on its way", headers=LOCATION),
)  # fmt: skip
def send_test_event(webhook_id: str, house: TheHouse, tenant: TheTenant) -> JSONResponse:
    """Send a signed test event now, whatever the endpoint wants and whether it is enabled or not. It is tried once."""
    told = webhooks.send_test(house.ledger, house.doorbell, tenant.id, webhook_id)
    return JSONResponse(told, 202, {"Location": link(f"{deliveries.prefix}/{told['id']}")})


@router.get("/{webhook_id}/deliveries", responses=answers(DeliveryPage, "WEBHOOK_NOT_FOUND", "CURSOR_INVALID"))
def list_endpoint_deliveries(
    webhook_id: str, house: TheHouse, tenant: TheTenant, limit: Limit = 100, cursor: Cursor = None, state: State | None = None
) -> dict[str, Any]:
    """What was owed to an endpoint, newest first."""
    with house.ledger.read() as tx:
        endpoints.get(tx, tenant.id, webhook_id)
        found = delivery_views.page(tx, tenant.id, webhook_id, limit + 1, paging.decode(cursor), state)
    return paging.page("deliveries", found, limit)


@router.post("/{webhook_id}/redeliver", status_code=202, responses=answers(Redelivered, "WEBHOOK_NOT_FOUND", "WEBHOOK_OFF", status=202))
def redeliver_range(webhook_id: str, request: RedeliverRequest, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Send again what an endpoint was owed in a span of time, 1000 messages at most; `more` says whether to ask again."""
    return webhooks.redeliver_range(house.ledger, house.doorbell, tenant.id, webhook_id, request)


@deliveries.get("/{delivery_id}", responses=answers(SeenDelivery, "DELIVERY_NOT_FOUND"))
def get_delivery(delivery_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """A message with every try and what came of it."""
    with house.ledger.read() as tx:
        return delivery_views.get(tx, tenant.id, delivery_id)


@deliveries.post(
    "/{delivery_id}/redeliver", status_code=202, responses=answers(SeenDelivery, "DELIVERY_NOT_FOUND", "WEBHOOK_OFF", status=202)
)
def redeliver_delivery(delivery_id: str, house: TheHouse, tenant: TheTenant) -> dict[str, Any]:
    """Send a message again, under its id: an ended one begins its schedule anew, a waiting one is tried now. Asking twice is harmless."""
    return webhooks.redeliver(house.ledger, house.doorbell, tenant.id, delivery_id)
