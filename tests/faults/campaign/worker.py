"""A worker or beat of a campaign: `celery -A tests.faults.campaign.worker worker`."""

from __future__ import annotations

from tests.faults.campaign import inside

inside.prepare()

from workers.celery import app  # noqa: E402 - the points are set before the product is loaded

__all__ = ["app"]
