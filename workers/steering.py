"""How the fleet is steered: each compute process reads one small row every two seconds, and acts on what is new.

A new cache setting is taken at once. Orders (a recovery of the index, a prewarm) and the index's own tries take their time, so a second
thread does them, one after the other; what came of them is told with the next report. A database that is away delays all of it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from foundation.errors import Failure
from foundation.telemetry import logger
from ledger import cache_settings, fleet
from ledger.cache_settings import CacheSetting
from ledger.fleet import Order, Report, Steer
from workers.worker import Worker

_EVERY_SECONDS = 2.0
_REPORT_SECONDS = 10.0  # at least so often; at once when something has changed

Start = Callable[[Callable[[], None]], None]


def _in_a_thread(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="orders", daemon=True).start()


class Steering:
    """What a process knows of its fleet. `tick` is called by one thread; `start` runs longer work beside it."""

    def __init__(self, worker: Worker, start: Start = _in_a_thread, wake: Callable[[], None] = lambda: None) -> None:
        self._worker, self._start, self._wake = worker, start, wake
        self._lock = threading.Lock()
        self._seen: int | None = None  # the last order read; None: none yet, and those before us are not for us
        self._waiting: list[tuple[Order, int | None]] = []  # an order and, of a recovery, the number of its try
        self._answers: list[tuple[int, dict[str, Any]]] = []  # not yet told
        self._done = 0  # the last order whose answer is written
        self._busy = False
        self._told: tuple[dict[str, Any], int, int] | None = None
        self._told_at = float("-inf")

    def tick(self) -> None:
        """Read the row, act, report. Raises DATABASE_UNAVAILABLE; the next one makes up for it."""
        with self._worker.ledger.read() as tx:
            steer = fleet.steer(tx)
            setting = cache_settings.newest(tx) if steer.cache_epoch != self._worker.vectors.epoch else None
            new = fleet.open_orders(tx, self._seen) if self._seen is not None and steer.order_number > self._seen else []
        if setting is not None:
            self._take(setting)
        self._accept(steer, new)
        self._work()
        self._report()

    def leave(self) -> None:
        """This process ends. Raises DATABASE_UNAVAILABLE."""
        with self._worker.ledger.write() as tx:
            fleet.leave(tx, self._worker.name)

    def _take(self, setting: CacheSetting) -> None:
        own = self._worker.settings.cache
        capacity = own.max_vectors if setting.capacity is None else setting.capacity
        ttl = own.ttl_seconds if setting.ttl_seconds is None else setting.ttl_seconds
        self._worker.vectors.change(capacity, ttl, setting.epoch)

    def _accept(self, steer: Steer, new: list[Order]) -> None:
        for order in new:
            if order.kind == fleet.RECOVERY:
                self._hold(order)
            elif order.input.get("asker") != self._worker.name:  # who asked has done it itself
                with self._lock:
                    self._waiting.append((order, None))
        self._seen = steer.order_number

    def _hold(self, order: Order) -> None:
        """From now on nothing is tried by itself, also while the recovery waits for its turn."""
        try:
            number = self._worker.health.begin(by_hand=True)
        except Failure as failure:  # the one before takes longer than anybody waited for
            self._answer(order.number, {"result": "refused", "error": failure.public()})
            return
        if number is None:
            self._answer(order.number, {"result": "unneeded"})
            return
        with self._lock:
            self._waiting.append((order, number))

    def _work(self) -> None:
        with self._lock:
            if self._busy or not (self._waiting or self._worker.health.due):
                return
            self._busy = True
        self._start(self._do)

    def _do(self) -> None:
        """All that waits, then the index's own try if it is due."""
        while True:
            with self._lock:
                order, number = self._waiting.pop(0) if self._waiting else (None, None)
            try:
                if order is not None:
                    self._answer(order.number, self._carry_out(order, number))
                elif (own := self._worker.health.begin(by_hand=False)) is not None:
                    self._worker.health.carry_out(own)
            except Exception:  # noqa: BLE001 - the last resort of a thread: what it serves must go on
                logger.exception("an order failed")
                if order is not None:
                    self._answer(order.number, {"result": "failed", "error": Failure("ENGINE_DEFECT").public()})
            with self._lock:
                if not self._waiting:
                    self._busy = False
                    break
        self._wake()

    def _carry_out(self, order: Order, number: int | None) -> dict[str, Any]:
        if number is not None:
            return {"result": self._worker.health.carry_out(number), "reason": self._worker.health.standing.reason or None}
        from workers.cache.prewarm import prewarm
        from workers.features.extraction import ENGINE_BUILD  # loads the engine

        if self._worker.clock.now() >= order.until:
            return {"result": "late"}
        try:
            return {"result": "done"} | prewarm(self._worker, order.tenant_id, ENGINE_BUILD, order.input)
        except Failure as failure:
            return {"result": "failed", "error": failure.public()}

    def _answer(self, number: int, told: dict[str, Any]) -> None:
        with self._lock:
            self._answers.append((number, told))

    def _report(self) -> None:
        """If something has changed, or it is time."""
        worker = self._worker
        with self._lock:
            answers = list(self._answers)
            idle = not self._busy and not self._waiting
        # an order is carried out once its answer is written, so both go in one commit
        done = self._seen or 0 if idle else self._done
        news = (worker.health.view(), worker.vectors.epoch, done)
        due = worker.clock.tick() - self._told_at >= _REPORT_SECONDS
        if not (answers or news != self._told or due):
            return
        worker.vectors.sweep()
        with worker.ledger.write() as tx:
            for number, told in answers:
                fleet.answer(tx, number, worker.name, told)
            fleet.report(tx, Report(worker.name, news[1], done, news[0], worker.vectors.statistics()))
        self._told, self._told_at, self._done = news, worker.clock.tick(), done
        with self._lock:
            del self._answers[: len(answers)]


class Helm:
    """The thread that steers until it is stopped. Start it after the fork."""

    def __init__(self, worker: Worker) -> None:
        self._news = threading.Event()
        self._steering = Steering(worker, wake=self._news.set)
        self._over = False
        self._thread = threading.Thread(target=self._work, name="helm", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Tell that this process ends. What is not told is noticed by its silence."""
        self._over = True
        self._news.set()
        self._thread.join(1)
        try:
            self._steering.leave()
        except Failure as failure:
            logger.warning("could not sign off: %s", failure)

    def _work(self) -> None:
        away = False
        while not self._over:
            try:
                self._steering.tick()
                away = False
            except Failure as failure:
                if not away:  # once is enough
                    logger.warning("the fleet's settings cannot be read: %s", failure)
                away = True
            except Exception:  # noqa: BLE001 - the last resort of a thread that must not end
                logger.exception("steering failed")
            self._news.wait(_EVERY_SECONDS)
            self._news.clear()
