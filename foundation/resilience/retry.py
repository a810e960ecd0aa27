"""When to try again: a pure function of a policy, the number of tries made, and a throw of the dice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Growth = Literal["fixed", "linear", "exponential", "fibonacci"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits that begin with `first_seconds`, grow as `growth` says up to `most_seconds`, and are shortened by up to `jitter` of themselves.

    Growth from 1 s: fixed 1, 1, 1, 1, 1; linear 1, 2, 3, 4, 5; exponential 1, 2, 4, 8, 16; fibonacci 1, 1, 2, 3, 5.
    Raises ValueError for numbers that make no policy.
    """

    tries: int
    first_seconds: float
    most_seconds: float
    jitter: float = 0.5  # 0..1
    growth: Growth = "exponential"

    def __post_init__(self) -> None:
        if self.tries < 1 or not 0 < self.first_seconds <= self.most_seconds < float("inf") or not 0 <= self.jitter <= 1:
            raise ValueError(f"not a policy: {self}")

    def wait(self, made: int, dice: float) -> float | None:
        """Seconds to wait after `made` tries (1 or more), or None when there are no more; `dice` is in 0..1."""
        if made >= self.tries:
            return None
        return min(self.most_seconds, self.first_seconds * self._factor(made)) * (1.0 - self.jitter * dice)

    def _factor(self, made: int) -> float:
        match self.growth:
            case "fixed":
                return 1.0
            case "linear":
                return float(made)
            case "exponential":
                return 2.0 ** min(made - 1, 1000)  # beyond, a float overflows; the cap was reached long before
            case "fibonacci":
                here, after = 1.0, 1.0
                for _ in range(min(made - 1, 1000)):
                    here, after = after, here + after
                return here
