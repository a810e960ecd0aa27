"""A rate limit of one process: a token bucket, a sliding window or a leaky bucket, by the arithmetic of `rates.py`."""

from __future__ import annotations

import threading
from dataclasses import replace

from foundation.clock import Clock
from foundation.resilience import rates
from foundation.resilience.rates import Limit, State


class LocalLimiter:
    """Threads and event loops share it. Nobody waits in it."""

    def __init__(self, limit: Limit, clock: Clock) -> None:
        self.limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._state = State()
        self.refused = 0

    def take(self, cost: float = 1.0) -> float:
        """0: the cost is taken. Else how many seconds it would have to wait, and nothing is."""
        with self._lock:
            now = self._clock.tick()
            state = rates.roll(self.limit, self._state, now)
            if rates.fits(self.limit, state, now, cost):
                self._state = rates.spend(state, cost)
                return 0.0
            self._state = state
            self.refused += 1
            return max(rates.wait(self.limit, state, now, cost), rates.SLACK)

    def give_back(self, cost: float) -> None:
        """Undo a cost that was taken."""
        with self._lock:
            state = rates.roll(self.limit, self._state, self._clock.tick())
            self._state = replace(state, level=max(0.0, state.level - cost))

    @property
    def room(self) -> float:
        """Units that would fit now."""
        with self._lock:
            now = self._clock.tick()
            self._state = rates.roll(self.limit, self._state, now)
            return max(0.0, self.limit.burst - rates.used(self.limit, self._state, now))
