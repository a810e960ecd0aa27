"""The entry of worker processes: binds every task of the catalogue to its handler. Imports nothing native: children do, after the fork."""

from __future__ import annotations

import gc
from typing import Any

from celery.signals import (
    celeryd_after_setup,
    setup_logging,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)

from foundation import production
from foundation.settings import settings
from foundation.telemetry import start_logging
from tasks import inspection, upkeep
from tasks.catalogue import DELIVER, PRUNE, REPAIR, catalogue, queue_of, reading_kinds
from tasks.celery import app
from workers.leaving import Drain
from workers.presence import Presence
from workers.steering import Helm
from workers.worker import this_worker

production.check(settings())

_present: list[Presence | Helm] = []  # of this process


def _bind(name: str) -> None:
    def ring(chunk_id: str) -> None:
        from workers.run import run

        run(chunk_id, this_worker(app))

    app.task(ring, name=name)


for _name in catalogue():
    _bind(_name)


@app.task(name=REPAIR)  # type: ignore[untyped-decorator]
def repair() -> None:
    worker = this_worker(app)
    upkeep.mend(worker.ledger, worker.doorbell, worker.redis, worker.settings)


@app.task(name=PRUNE)  # type: ignore[untyped-decorator]
def prune() -> None:
    worker = this_worker(app)
    upkeep.prune(worker.ledger, worker.files, worker.settings)
    inspection.watch(inspection.of(worker.settings, worker.ledger, worker.files, worker.redis), worker.settings.process.name)


@app.task(name=DELIVER)  # type: ignore[untyped-decorator]
def deliver(delivery_id: str) -> None:
    from workers.webhooks.delivery import deliver as deliver_now

    deliver_now(delivery_id, this_worker(app))


if settings().process.chaos:
    import workers.chaos  # noqa: F401 - registers its remote command


@setup_logging.connect  # type: ignore[untyped-decorator]
def _log(**_told: Any) -> None:
    start_logging(settings().process.log_level)


@celeryd_after_setup.connect  # type: ignore[untyped-decorator]
def _drain(instance: Any, **_told: Any) -> None:
    """SIGTERM: finish or hand back within the grace time; SIGTERM again: now."""
    drain = Drain(instance, settings().process.grace_seconds)
    worker_shutting_down.connect(lambda **_how: drain.begin(), weak=False)


@worker_process_init.connect  # type: ignore[untyped-decorator]
def _warm(**_told: Any) -> None:
    """Load the engine in the child before its first chunk, so that no user waits for imports."""
    # a worker that serves no queue of files loads its readers when a search first needs one
    if {queue_of(kind) for kind in reading_kinds()} & set(app.amqp.queues.consume_from):
        this_worker(app).nursery.start()
    import workers.run  # noqa: F401

    _appear(1)
    helm = Helm(this_worker(app))
    helm.start()
    _present.append(helm)
    gc.collect()
    gc.freeze()  # what is loaded stays: a collection need not walk through all of it each time


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _end(**_told: Any) -> None:
    _disappear()
    worker = this_worker(app)
    worker.nursery.close()
    if worker.progress is not None:
        worker.progress.close()


def _appear(slots: int) -> None:
    _present[:] = [Presence(app, slots)]
    _present[0].start()


def _disappear() -> None:
    while _present:
        _present.pop().stop()


@worker_ready.connect  # type: ignore[untyped-decorator]
def _appear_with_threads(sender: Any, **_told: Any) -> None:
    """A pool of threads has no child processes that could tell of themselves."""
    if type(sender.pool).__module__.endswith("thread"):
        _appear(int(sender.controller.concurrency))


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def _disappear_with_threads(**_told: Any) -> None:
    _disappear()
