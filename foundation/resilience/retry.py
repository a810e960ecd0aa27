"""When to try again: pure functions of a policy, what happened so far, and a throw of the dice; a table of the states of one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from foundation.clock import Clock
from foundation.resilience.local_limiter import LocalLimiter
from foundation.resilience.rates import Limit, Strategy

Growth = Literal["fixed", "linear", "exponential", "fibonacci"]

COST = 5.0  # tokens a retry takes
COST_OF_TIMEOUT = 10.0  # whoever waits for an answer that does not come holds a place meanwhile
TOKENS = 500.0
TRICKLE = 1.0  # tokens that come back in a second


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


class Step(StrEnum):
    """Where a call with retries is."""

    TRYING = "trying"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    GIVEN_UP = "given-up"


class Heard(StrEnum):
    """What moves it on. Only `FAULT` can lead to another try."""

    GOOD = "good"
    FAULT = "fault"  # and there is a try, a token and time left
    LAST_FAULT = "last-fault"  # and one of them is used up
    OTHER = "other"  # nothing that another try would mend, or the caller was stopped
    WAITED = "waited"
    OPENED = "opened"  # the breaker: no further try


STEPS: Mapping[Step, Mapping[Heard, Step]] = {
    Step.TRYING: {
        Heard.GOOD: Step.SUCCEEDED,
        Heard.FAULT: Step.WAITING,
        Heard.LAST_FAULT: Step.GIVEN_UP,
        Heard.OTHER: Step.GIVEN_UP,
        Heard.OPENED: Step.GIVEN_UP,
    },
    Step.WAITING: {Heard.WAITED: Step.TRYING, Heard.OPENED: Step.GIVEN_UP, Heard.OTHER: Step.GIVEN_UP},
    Step.SUCCEEDED: {},
    Step.GIVEN_UP: {},
}


class RetryBudget:
    """Tokens for the retries of one dependency in one process: when they are used up there are none, so retries cannot become a storm.

    A retry takes `COST`, after a timeout `COST_OF_TIMEOUT`; one that succeeds gives it back; beside that they come back slowly."""

    def __init__(self, clock: Clock, tokens: float = TOKENS, trickle: float = TRICKLE) -> None:
        self._bucket = LocalLimiter(Limit("retries", Strategy.TOKEN_BUCKET, tokens, tokens / trickle, tokens), clock)

    def spend(self, cost: float) -> bool:
        return self._bucket.take(cost) == 0.0

    def give_back(self, cost: float) -> None:
        self._bucket.give_back(cost)

    @property
    def tokens(self) -> float:
        return self._bucket.room


class Tries:
    """The tries of one call that did not succeed at once: made when its first try has failed."""

    def __init__(self, policy: RetryPolicy, clock: Clock, started: float, deadline_seconds: float, budget: RetryBudget) -> None:
        self._policy, self._clock, self._budget = policy, clock, budget
        self._end = started + deadline_seconds
        self._spent = 0.0
        self.made = 0
        self.step = Step.TRYING

    def hear(self, heard: Heard, timeout: bool = False) -> float | None:
        """Move on. Seconds to wait before the next try, None when there is none."""
        wait: float | None = None
        if heard is Heard.FAULT:
            self.made += 1
            wait = self._policy.wait(self.made, self._clock.dice())
            cost = COST_OF_TIMEOUT if timeout else COST
            if wait is None or self._clock.tick() + wait >= self._end or not self._budget.spend(cost):
                heard, wait = Heard.LAST_FAULT, None
            else:
                self._spent = cost
        self.step = STEPS[self.step][heard]
        if heard is Heard.GOOD and self._spent:
            self._budget.give_back(self._spent)
        return wait
