"""A claimed chunk in the hands of its handler."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from foundation.errors import Failure
from foundation.mapping import Provider, failure_of
from foundation.telemetry import logger
from ledger.jobs import Claimed, ClaimedItem
from ledger.settling import Outcome
from ledger.vectors import Vector
from workers.worker import Worker

_LOOK_SECONDS = 0.2  # how often a wait looks whether it is still wanted


class Overtaken(Exception):
    """The chunk is no longer ours: it was cancelled, or its lease ended and another worker has it."""


@dataclass(slots=True)
class Work:
    """A claimed chunk in the hands of a handler, which records what comes of each item."""

    worker: Worker
    claimed: Claimed
    outcomes: list[Outcome] = field(default_factory=list)
    vectors: list[Vector] = field(default_factory=list)
    hits: set[tuple[str, str, str, str]] = field(default_factory=set)  # (tenant, file, version, build) of vectors asked for
    tally: dict[str, float] = field(default_factory=dict)  # what the item at hand adds to the summary of its job
    unsteady: Failure | None = None
    quarantined: dict[str, float] | None = None  # files of the chunk that may not be read, and until when; None: not asked yet
    lost: threading.Event = field(default_factory=threading.Event)

    def each(self, do: Callable[[ClaimedItem], dict[str, Any]]) -> None:
        """Do the items one by one. What goes wrong with one is recorded as its own and disturbs no other.

        Raises `Overtaken` as soon as the chunk is no longer ours."""
        for item in self.claimed.items:
            self.still_ours()
            self.tally = {}
            try:
                self.outcomes.append(Outcome(item.index, result=do(item), tally=self.tally))
            except Overtaken:
                raise
            except Failure as failure:
                self._fail(item, failure)
            except Exception as error:  # noqa: BLE001 - a defect of ours costs this item and nothing else
                logger.exception("item %s of %s failed", item.index, self.claimed.chunk_id)
                self._fail(item, failure_of(error, Provider.ENGINE))

    def still_ours(self) -> None:
        """Raises `Overtaken` if the chunk is no longer ours."""
        if self.lost.is_set():
            raise Overtaken

    def rest(self, seconds: float) -> None:
        """Sleep, but no longer than the chunk is ours. Raises `Overtaken`."""
        end = self.worker.clock.tick() + seconds
        while (left := end - self.worker.clock.tick()) > 0:
            self.still_ours()
            self.worker.clock.sleep(min(left, _LOOK_SECONDS))

    def _fail(self, item: ClaimedItem, failure: Failure) -> None:
        """Record a failed item; a failure that may pass is not recorded yet but tried again with the next attempt."""
        if failure.row.retryable:
            self.unsteady = failure
        else:
            self.outcomes.append(Outcome(item.index, error=failure.public()))
