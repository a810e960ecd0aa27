"""Endpoints of webhooks as they are asked for: the forms, and what each does in one transaction."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from foundation.errors import Failure
from foundation.sealing import Sealing
from foundation.settings import Settings
from ledger import audit, delivery_views, endpoints, outbox, signing
from ledger.session import Ledger, Tx
from tasks import ring
from tasks.addresses import LONGEST_URL, check_url
from tasks.ring import Doorbell

MOST_AT_ONCE = 1000  # messages that one request sends again
_HOUR = 3600.0

# fmt: off
Event = Literal[
    "job.accepted", "job.started", "job.succeeded", "job.partial", "job.failed", "job.cancelled", "job.retried", "webhook.switched_off",
]
# fmt: on
Events = Annotated[list[Event], Field(min_length=1, max_length=len(outbox.EVENTS))]
State = Literal["owed", "sending", "waiting", "delivered", "dead"]


class EndpointRequest(BaseModel):
    """A new endpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(min_length=1, max_length=LONGEST_URL, description="where to send to: https, a public host")
    events: Events = Field(
        default=list(outbox.UNLESS_SAID), validate_default=True, description="what to tell of; if not said, the ends of jobs"
    )
    description: str = Field("", max_length=200)
    enabled: bool = Field(True, description="false: nothing is sent before it is enabled")


class EndpointChange(BaseModel):
    """What is named is changed, and nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = Field(None, min_length=1, max_length=LONGEST_URL)
    events: Events | None = None
    description: str | None = Field(None, max_length=200)
    enabled: bool | None = Field(None, description="false pauses, true lets it go on")


class EnableRequest(BaseModel):
    """How to let an endpoint go on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    redeliver: bool = Field(False, description="also send again what died since the endpoint began to fail")


class RotateRequest(BaseModel):
    """How to change over to a new secret."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    overlap_hours: float | None = Field(None, ge=0, le=24 * 30, description="how long the old secret signs, too; none: 24, as set")


class RedeliverRequest(BaseModel):
    """Which messages to send again."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: AwareDatetime = Field(description="those owed from this time on")
    until: AwareDatetime | None = Field(None, description="and before this one; none: now. Named, the request may be repeated")
    states: list[Literal["dead", "delivered"]] = Field(default=["dead"], min_length=1, max_length=2)


def add(ledger: Ledger, sealing: Sealing, settings: Settings, tenant_id: str, request: EndpointRequest) -> dict[str, Any]:
    """The new endpoint with its secret. Raises WEBHOOK_URL_FORBIDDEN, WEBHOOK_LIMIT."""
    check_url(request.url, settings.webhook.allow_private)
    new = endpoints.NewEndpoint(request.url, tuple(dict.fromkeys(request.events)), request.description, request.enabled)
    with ledger.write() as tx:
        name, secret = endpoints.add(tx, sealing, tenant_id, new, settings.webhook.max_per_tenant)
        return endpoints.view(endpoints.get(tx, tenant_id, name)) | {"secret": secret}


def detail(ledger: Ledger, tenant_id: str, endpoint_id: str) -> dict[str, Any]:
    """An endpoint, and since when its secrets are live. Raises WEBHOOK_NOT_FOUND."""
    with ledger.read() as tx:
        return endpoints.view(endpoints.get(tx, tenant_id, endpoint_id)) | {"secrets": signing.told(tx, endpoint_id)}


def change(ledger: Ledger, settings: Settings, tenant_id: str, endpoint_id: str, request: EndpointChange) -> None:
    """Raises WEBHOOK_NOT_FOUND, WEBHOOK_URL_FORBIDDEN."""
    if request.url is not None:
        check_url(request.url, settings.webhook.allow_private)
    values = {name: value for name, value in request.model_dump(exclude={"enabled"}).items() if value is not None}
    with ledger.write() as tx:
        endpoints.change(tx, tenant_id, endpoint_id, values)
        if request.enabled is not None:
            if request.enabled:
                endpoints.enable(tx, tenant_id, endpoint_id, redeliver=False)
            else:
                endpoints.pause(tx, tenant_id, endpoint_id)


def send_test(ledger: Ledger, doorbell: Doorbell, tenant_id: str, endpoint_id: str) -> dict[str, Any]:
    """The delivery of a test event, which is on its way. Raises WEBHOOK_NOT_FOUND."""
    with ledger.write() as tx:
        name = endpoints.test(tx, tenant_id, endpoint_id)
        told = delivery_views.get(tx, tenant_id, name)
    doorbell.ring(ring.of_deliveries([name]))
    return told


def reveal(ledger: Ledger, sealing: Sealing, tenant_id: str, endpoint_id: str | None) -> str:
    """The current secret of an endpoint, or that of the tenant's callbacks; the trail tells who asked. Raises WEBHOOK_NOT_FOUND."""
    with ledger.write() as tx:
        owner = _owner(tx, tenant_id, endpoint_id)
        audit.record(tx, tenant_id, "api", "webhook.secret_revealed", owner)
        return signing.live(tx, sealing, tenant_id, owner)[0]


def rotate(
    ledger: Ledger, sealing: Sealing, settings: Settings, tenant_id: str, endpoint_id: str | None, request: RotateRequest
) -> dict[str, Any]:
    """A new secret, and until when the old one signs beside it. Raises WEBHOOK_NOT_FOUND."""
    hours = settings.webhook.overlap_hours if request.overlap_hours is None else request.overlap_hours
    with ledger.write() as tx:
        owner = _owner(tx, tenant_id, endpoint_id)
        secret = signing.rotate(tx, sealing, tenant_id, owner, hours * _HOUR)
        audit.record(tx, tenant_id, "api", "webhook.secret_rotated", owner, overlap_hours=hours)
        return {"secret": secret, "secrets": signing.told(tx, owner)}


def _owner(tx: Tx, tenant_id: str, endpoint_id: str | None) -> str:
    return tenant_id if endpoint_id is None else str(endpoints.get(tx, tenant_id, endpoint_id).id)


def redeliver(ledger: Ledger, doorbell: Doorbell, tenant_id: str, delivery_id: str) -> dict[str, Any]:
    """One message again. Raises DELIVERY_NOT_FOUND, WEBHOOK_OFF."""
    with ledger.write() as tx:
        ready = delivery_views.redeliver(tx, tenant_id, delivery_id)
        told = delivery_views.get(tx, tenant_id, delivery_id)
    doorbell.ring(ring.of_deliveries(ready))
    return told


def redeliver_range(ledger: Ledger, doorbell: Doorbell, tenant_id: str, endpoint_id: str, request: RedeliverRequest) -> dict[str, Any]:
    """How many messages are sent again, and whether the same request would find more. Raises WEBHOOK_NOT_FOUND, WEBHOOK_OFF."""
    with ledger.write() as tx:
        if endpoints.get(tx, tenant_id, endpoint_id).state == "off":
            raise Failure("WEBHOOK_OFF", {"id": endpoint_id})
        until = tx.now if request.until is None else request.until.timestamp()
        since = request.since.timestamp()
        begun, more = delivery_views.redeliver_range(tx, tenant_id, endpoint_id, request.states, since, until, MOST_AT_ONCE)
        ready = outbox.mark(tx, begun[:MOST_AT_ONCE])
    doorbell.ring(ring.of_deliveries(ready))
    return {"redelivered": len(begun), "ids": begun, "more": more}
