"""When to try again: a pure function of a policy, the number of tries made, and a throw of the dice."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential waits: `first_seconds`, doubling up to `most_seconds`, each shortened by up to `jitter` (0..1) of itself."""

    tries: int
    first_seconds: float
    most_seconds: float
    jitter: float = 0.5

    def wait(self, made: int, dice: float) -> float | None:
        """Seconds to wait after `made` tries, or None when there are no more; `dice` is in 0..1."""
        if made >= self.tries:
            return None
        full = min(self.most_seconds, self.first_seconds * 2.0 ** (made - 1))
        return full * (1.0 - self.jitter * dice)
