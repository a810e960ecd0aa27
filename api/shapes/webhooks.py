"""Webhook endpoints, their secrets and what is sent to them, as answered."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from api.shapes.jobs import Cursor
from tasks.contract import Answer
from tasks.webhooks import Event, State


class Endpoint(Answer):
    """An address that is told of events, as lists tell it."""

    id: str = Field(examples=["hook_01KB2C3D4E5F"])
    url: str
    events: list[Event]
    description: str
    state: Literal["enabled", "paused", "off"]
    enabled: bool
    reason: Literal["gone", "failing"] | None = Field(description="why it was switched off")
    changed_at: datetime | None = Field(description="of its state")
    failing_since: datetime | None
    created_at: datetime


class EndpointPage(Answer):
    webhooks: list[Endpoint]
    next_cursor: Cursor


class LiveSecret(Answer):
    """A secret that signs, without itself."""

    created_at: datetime
    retires_at: datetime | None = Field(description="null: it is the current one")


class SeenEndpoint(Endpoint):
    secrets: list[LiveSecret]


class NewEndpoint(Endpoint):
    secret: str = Field(examples=["whsec_..."])


class EnabledEndpoint(SeenEndpoint):
    redelivered: int = Field(ge=0, description="messages that are sent again")


class WebhookSecret(Answer):
    secret: str = Field(examples=["whsec_..."])


class RotatedSecret(WebhookSecret):
    secrets: list[LiveSecret]


class ListedDelivery(Answer):
    """A webhook that is owed, as lists tell it."""

    id: str
    event: str
    job_id: str | None
    webhook_id: str | None = Field(description="of its endpoint; null: the callback of a job")
    seq: int | None = Field(description="its place among those of its job")
    url: str
    state: State
    attempts: int = Field(ge=0)
    created_at: datetime
    next_try_at: datetime | None
    finished_at: datetime | None
    redelivered_at: datetime | None


class DeliveryPage(Answer):
    deliveries: list[ListedDelivery]
    next_cursor: Cursor


class DeliveryTry(Answer):
    attempt: int
    at: datetime
    seconds: float
    accepted: bool
    status: int | None = Field(description="HTTP status of the receiver; null: it did not answer")
    error_code: str | None
    detail: str | None


class Delivery(ListedDelivery):
    tries: list[DeliveryTry]


class SeenDelivery(Delivery):
    payload: dict[str, Any] = Field(description="what is sent")


class Deliveries(Answer):
    deliveries: list[Delivery]


class Redelivered(Answer):
    redelivered: int = Field(ge=0)
    ids: list[str]
    more: bool = Field(description="the same request would find more")
