"""A Celery worker whose engine misbehaves as its files say: `celery -A tests.workers.cad.misbehaving_worker worker`."""

from __future__ import annotations

from workers.cad.sandbox import nursery
from workers.celery import app

nursery.ENGINE = "tests.workers.cad.misbehaviour.extract"

__all__ = ["app"]
