"""The Celery app of whoever asks: it can ring and tick, and knows no handler."""

from __future__ import annotations

from celery import Celery

app = Celery("cadmill", set_as_current=False)
app.config_from_object("celeryconfig")
