"""Plain Celery, set up as well as it can be on Redis: `celery -A tests.faults.campaign.plain_worker worker`."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path

from celery import Celery
from sqlalchemy import Engine, create_engine, event, make_url, text

from tasks import lost_connection
from tests.faults.points import note

VISIBILITY_SECONDS = 12  # longer than any item and than any freeze, short enough to see what comes back

lost_connection.install()  # our repair of kombu's transport: without it losing Redis may end the worker for good
app = Celery("plain", broker=os.environ.get("PLAIN_BROKER", ""))
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue="plain",
    worker_prefetch_multiplier=1,
    worker_disable_prefetch=True,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_channel_error_retry=True,
    broker_connection_max_retries=None,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_SECONDS,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
        "socket_timeout": 5,
        "socket_connect_timeout": 2,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
)


@lru_cache(maxsize=1)
def _engine(_pid: int) -> Engine:
    return engine(os.environ["PLAIN_DATABASE"])


def engine(address: str) -> Engine:
    """SQLite as careful as ours, or PostgreSQL."""
    url = make_url(address)
    if url.get_backend_name() != "sqlite":
        return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)
    made = create_engine(url, connect_args={"timeout": 15})
    event.listen(made, "connect", lambda connection, _: connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL"))
    return made


@app.task(name="plain.item", autoretry_for=(Exception,), retry_backoff=1, retry_backoff_max=4, max_retries=8)  # type: ignore[untyped-decorator]
def item(number: int, ms: float) -> None:
    """One item: its time, then one row for its result."""
    note(Path(os.environ["PLAIN_EXECUTIONS"]), str(number))
    time.sleep(ms / 1000)
    with _engine(os.getpid()).begin() as connection:
        connection.execute(text("INSERT INTO results (item) VALUES (:item)"), {"item": number})
