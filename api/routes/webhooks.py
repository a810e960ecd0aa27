"""Webhooks: the secret that proves they come from here."""

from __future__ import annotations

from fastapi import APIRouter

from api.auth import TheTenant

router = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])


@router.get("/secret")
def get_secret(tenant: TheTenant) -> dict[str, str]:
    """The secret with which your webhooks are signed (Standard Webhooks, symmetric)."""
    return {"secret": tenant.webhook_secret}
