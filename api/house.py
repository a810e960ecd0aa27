"""What the API process owns, and how routes get at it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from redis import Redis, RedisError

from api import limits
from api.limits import Limits
from foundation import keyspace, production, sealing
from foundation.clock import SYSTEM, Clock
from foundation.errors import Failure
from foundation.progress import Publisher
from foundation.sealing import Sealing
from foundation.settings import Settings
from foundation.telemetry import logger
from ledger.files import FileStore
from ledger.keys import Uses
from ledger.session import Ledger, open_ledger
from ledger.trail.refusals import Refusals
from tasks import upkeep
from tasks.celery import app as celery_app
from tasks.ring import BackgroundDoorbell, Doorbell


@dataclass(frozen=True, slots=True)
class House:
    settings: Settings
    ledger: Ledger
    files: FileStore
    doorbell: Doorbell
    redis: Redis
    sealing: Sealing
    refusals: Refusals
    progress: Publisher
    limits: Limits
    clock: Clock = SYSTEM
    uses: Uses = field(default_factory=Uses)

    def close(self) -> None:
        """Let go of what this process owns, when nobody asks any more."""
        if isinstance(self.doorbell, BackgroundDoorbell):
            self.doorbell.close()
        self.progress.close()
        self.ledger.close()


def build(settings: Settings, operator: bool = True) -> House:
    """`operator`: it answers whoever runs the server, too, so that in production it must have their token. Raises CONFIG_INVALID."""
    production.check(settings, api=operator)
    # A request may wait for Redis much less long than a worker may.
    celery_app.conf.broker_transport_options = celery_app.conf.broker_transport_options | {"socket_timeout": settings.redis.publish_seconds}
    ledger, progress = open_ledger(settings), Publisher(keyspace.client(settings.redis), settings.live.keep)
    ledger.publish = progress.publish
    return House(
        settings,
        ledger,
        FileStore(settings.storage.directory),
        BackgroundDoorbell(celery_app),
        keyspace.client(settings.redis),
        sealing.of(settings),
        Refusals(ledger, SYSTEM),
        progress,
        limits.of(settings),
    )


class Caretaker:
    """A thread that mends like beat's tick does, so that repair never waits for Redis to deliver its own repair message."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._doorbell = Doorbell(celery_app)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="caretaker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(5)

    def _work(self) -> None:
        house = self._house
        while not self._stop.wait(house.settings.queue.tick_seconds):
            house.limits.beat()
            try:
                house.uses.write(house.ledger)
                upkeep.mend(house.ledger, self._doorbell, house.redis, house.settings)
            except (Failure, RedisError) as error:
                logger.warning("upkeep did not get through: %s", error)
            except Exception:  # noqa: BLE001 - the last resort of a thread that must not end
                logger.exception("upkeep failed")  # and goes on: without this thread nothing would be repaired


def house_of(request: Request) -> House:
    return request.app.state.house  # type: ignore[no-any-return]


TheHouse = Annotated[House, Depends(house_of)]
