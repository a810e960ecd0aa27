"""Signs of life: each process that does chunks tells the ledger which queues it serves, so that waiting can be explained. It ends
readers of files that nothing more came for, too."""

from __future__ import annotations

import threading

from celery import Celery

from foundation.errors import Failure
from foundation.telemetry import logger
from ledger import queues
from workers.worker import this_worker

_EVERY_SECONDS = 10.0


class Presence:
    """A thread that tells of this process until it is stopped. Start it after the fork."""

    def __init__(self, app: Celery, slots: int) -> None:
        self._worker, self._slots = this_worker(app), slots
        self._serves = sorted(app.amqp.queues.consume_from)
        self._name = self._worker.name
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="presence", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell that this process ends. What is not told is noticed by its silence."""
        self._stop.set()
        self._thread.join(1)
        try:
            with self._worker.ledger.write() as tx:
                queues.leave(tx, self._name)
        except Failure as failure:
            logger.warning("could not sign off: %s", failure)

    def _work(self) -> None:
        while True:
            try:
                self._worker.nursery.tidy()
                with self._worker.ledger.write() as tx:
                    queues.beat(tx, self._name, self._serves, self._slots)
            except Failure as failure:
                logger.warning("no sign of life could be given: %s", failure)
            except Exception:  # noqa: BLE001 - the last resort of a thread that must not end
                logger.exception("a sign of life failed")
            if self._stop.wait(_EVERY_SECONDS):
                return
