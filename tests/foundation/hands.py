"""A clock that stands until a test moves it."""

from __future__ import annotations

from foundation.clock import Clock


class Hands:
    def __init__(self) -> None:
        self.now = 1_000.0
        self.clock = Clock(now=lambda: self.now, tick=lambda: self.now, dice=lambda: 0.0)
