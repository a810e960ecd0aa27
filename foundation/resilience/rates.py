"""How much may come in how much time: limits, three strategies, and their arithmetic as pure functions.

A limit is written as it is set: `sliding-window 6000/60` (6,000 units in 60 s), `token-bucket 6000/60 burst 100`,
`leaky-bucket 600/60 burst 10`.

* sliding window: units of this window plus the share of the one before that still lies within the last `seconds`. Exact at the edges
  of windows; between them it takes the one before for evenly spread, so a stretch of `seconds` sees at most one window's limit more.
* token bucket: starts full, `burst` tokens (all of `quantity` unless said), which come back at `quantity / seconds`: bursts are welcome.
* leaky bucket: starts empty, drains at `quantity / seconds`, takes no more when `burst` units are in it (unless said, a tenth of
  `quantity`): an even flow. As a meter it is the token bucket told from its other end, so both are one calculation here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isfinite

SLACK = 1e-6  # units; what rounding may cost


class Strategy(StrEnum):
    SLIDING_WINDOW = "sliding-window"
    TOKEN_BUCKET = "token-bucket"
    LEAKY_BUCKET = "leaky-bucket"


@dataclass(frozen=True, slots=True)
class Limit:
    """`quantity` units in `seconds`. `name` is the tier it belongs to, `burst` what may come at once (window: all of it)."""

    name: str
    strategy: Strategy
    quantity: float
    seconds: float
    burst: float

    def __post_init__(self) -> None:
        if not (self.quantity > 0 and self.seconds > 0 and self.burst > 0 and isfinite(self.quantity + self.seconds + self.burst)):
            raise ValueError("quantity, seconds and burst are numbers above 0")

    @property
    def rate(self) -> float:
        """Units that come back in a second."""
        return self.quantity / self.seconds

    @property
    def memory(self) -> float:
        """Seconds after which nothing that was counted matters any more."""
        return 2 * self.seconds if self.windowed else self.burst / self.rate

    @property
    def windowed(self) -> bool:
        return self.strategy is Strategy.SLIDING_WINDOW

    def share(self, replicas: int) -> Limit:
        """What one of so many processes may let through when they cannot ask each other."""
        return replace(self, quantity=self.quantity / replicas, burst=self.burst / replicas)

    def needs(self, cost: float) -> float:
        """How much room a cost needs: one above the whole limit passes when nothing else is in it, and is paid for afterwards."""
        return min(cost, self.burst)


@dataclass(frozen=True, slots=True)
class State:
    """What a limit remembers of one subject. Window: `level` units since `at`, `before` in the window before. Bucket: `level` at `at`."""

    level: float = 0.0
    before: float = 0.0
    at: float = -inf


_FORM = re.compile(r"\s*([a-z-]+)\s+(\d+(?:\.\d+)?)\s*/\s*(\d+(?:\.\d+)?)(?:\s+burst\s+(\d+(?:\.\d+)?))?\s*")


def parse(name: str, text: str) -> Limit | None:
    """A limit as it is written; none for an empty text. Raises ValueError in a sentence."""
    if not text.strip():
        return None
    found = _FORM.fullmatch(text)
    if found is None or found[1] not in set(Strategy):
        raise ValueError(f"write a limit as 'STRATEGY UNITS/SECONDS [burst UNITS]', STRATEGY one of {', '.join(Strategy)}; empty: no limit")
    strategy, quantity, seconds = Strategy(found[1]), float(found[2]), float(found[3])
    if strategy is Strategy.SLIDING_WINDOW and found[4]:
        raise ValueError("a sliding window has no burst: all of it may come at once")
    usual = quantity / 10 if strategy is Strategy.LEAKY_BUCKET else quantity
    return Limit(name, strategy, quantity, seconds, float(found[4]) if found[4] else max(usual, min(1.0, quantity)))


def roll(limit: Limit, state: State, now: float) -> State:
    """The state as it is at `now`. Windows begin at whole multiples of `seconds` unless the state says otherwise."""
    if not limit.windowed:
        drained = max(0.0, now - state.at) * limit.rate if isfinite(state.at) else inf
        return State(max(0.0, state.level - drained), 0.0, max(now, state.at))
    if not isfinite(state.at):
        return State(0.0, 0.0, now // limit.seconds * limit.seconds)
    passed = max(0, int((now - state.at) // limit.seconds))
    if passed == 0:
        return state
    return State(0.0, state.level if passed == 1 else 0.0, state.at + passed * limit.seconds)


def used(limit: Limit, state: State, now: float) -> float:
    """Units that count at `now`, of a state rolled to it."""
    return state.level + state.before * _left(limit, state, now) if limit.windowed else state.level


def _left(limit: Limit, state: State, now: float) -> float:
    """How much of the window before still lies within the last `seconds`, 0..1."""
    return 1.0 - min(1.0, max(0.0, (now - state.at) / limit.seconds))


def fits(limit: Limit, state: State, now: float, cost: float) -> bool:
    return used(limit, state, now) + limit.needs(cost) <= limit.burst + SLACK


def spend(state: State, cost: float) -> State:
    return replace(state, level=state.level + cost)


def wait(limit: Limit, state: State, now: float, cost: float) -> float:
    """Seconds until a cost fits, if nothing else comes."""
    room = limit.burst - limit.needs(cost)
    if not limit.windowed:
        return max(0.0, (state.level - room) / limit.rate)
    if state.level <= room:  # it fits within this window, once enough of the one before has passed
        left = (room - state.level) / state.before if state.before else 1.0
        return max(0.0, (_left(limit, state, now) - left) * limit.seconds)
    return (_left(limit, state, now) + 1.0 - room / state.level) * limit.seconds


def spent(limit: Limit, part: float, at: float) -> State:
    """A state in which this part of the limit is used up at a time."""
    return State(0.0, limit.burst * part, at) if limit.windowed else State(limit.burst * part, 0.0, at)
