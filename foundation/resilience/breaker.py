"""Whether to ask something that may be gone: a state table of one process, so that what is dead costs nobody a timeout.

    closed  --failed-->                   open
    open    --its pause is over-->        probing (one caller)
    probing --succeeded-->                closed
    probing --failed-->                   open, for longer
    probing --gave up, or too long-->     probing (the next caller)

Every move has a number, and an answer that was asked for under an older one is ignored.
"""

from __future__ import annotations

import threading
from enum import StrEnum

from foundation.clock import Clock
from foundation.resilience.retry import RetryPolicy


class Position(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    PROBING = "probing"


class Breaker:
    """One failure opens it. Whoever was let in by `enter` reports with its ticket, whatever happened."""

    def __init__(self, clock: Clock, pauses: RetryPolicy, probe_seconds: float) -> None:
        self._clock, self._pauses, self._probe_seconds = clock, pauses, probe_seconds
        self._lock = threading.Lock()
        self._position, self._number, self._failures, self._until = Position.CLOSED, 0, 0, 0.0

    @property
    def position(self) -> Position:
        return self._position

    def enter(self) -> int | None:
        """A ticket, or None: do not ask now."""
        with self._lock:
            now = self._clock.tick()
            if self._position is Position.CLOSED:
                return self._number
            if now < self._until:
                return None
            return self._move(Position.PROBING, now + self._probe_seconds)

    def succeeded(self, ticket: int) -> bool:
        """Whether this closed it."""
        with self._lock:
            if ticket != self._number or self._position is not Position.PROBING:
                return False
            self._failures = 0
            self._move(Position.CLOSED, 0.0)
            return True

    def failed(self, ticket: int) -> bool:
        """Whether this opened it, which was closed until now."""
        with self._lock:
            if ticket != self._number or self._position is Position.OPEN:
                return False
            was = self._position
            self._failures += 1
            pause = self._pauses.wait(self._failures, self._clock.dice())
            self._move(Position.OPEN, self._clock.tick() + (pause or self._pauses.most_seconds))
            return was is Position.CLOSED

    def gave_up(self, ticket: int) -> None:
        """The caller was stopped before there was an answer: the next one may try."""
        with self._lock:
            if ticket == self._number and self._position is Position.PROBING:
                self._until = self._clock.tick()

    def _move(self, position: Position, until: float) -> int:
        self._position, self._until = position, until
        self._number += 1
        return self._number
