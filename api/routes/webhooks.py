"""Webhooks: the secret that proves they come from here."""

from __future__ import annotations

from fastapi import APIRouter

from api.auth import TheTenant
from api.shapes.answers import answers
from api.shapes.operating import WebhookSecret

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.get("/secret", responses=answers(WebhookSecret))
def get_webhook_secret(tenant: TheTenant) -> dict[str, str]:
    """The secret with which your webhooks are signed (Standard Webhooks, symmetric)."""
    return {"secret": tenant.webhook_secret}
