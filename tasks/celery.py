"""The Celery app: whoever asks can ring and tick with it; `workers/celery.py` binds its tasks to handlers."""

from __future__ import annotations

from celery import Celery

from tasks import lost_connection

lost_connection.install()
app = Celery("cadmill", set_as_current=False)
app.config_from_object("celeryconfig")
