"""Whether to ask something that may be gone: a state table of one process, so that what is dead costs nobody a timeout.

Every move has a number, its generation, and an answer that was asked for under an older one is ignored. Whoever was let in by `enter`
leaves, whatever happened. Time is a clock that never goes back.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from foundation.clock import Clock
from foundation.resilience.retry import RetryPolicy


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Event(StrEnum):
    TRIPPED = "tripped"  # too many of the last tries failed, or were slow
    PAUSE_OVER = "pause-over"
    PROBES_SUCCEEDED = "probes-succeeded"
    PROBE_FAILED = "probe-failed"
    PROBES_LATE = "probes-late"  # they did not all answer in their time: without this, one that never does would hold it for ever


MOVES: Mapping[State, Mapping[Event, State]] = {
    State.CLOSED: {Event.TRIPPED: State.OPEN},
    State.OPEN: {Event.PAUSE_OVER: State.HALF_OPEN},
    State.HALF_OPEN: {
        Event.PROBES_SUCCEEDED: State.CLOSED,
        Event.PROBE_FAILED: State.OPEN,
        Event.PROBES_LATE: State.OPEN,
    },
}  # fmt: skip


_PAUSES = RetryPolicy(tries=1 << 30, first_seconds=1.0, most_seconds=30.0)


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """It opens when of the last `window` tries, and at least `minimum`, a share failed (`failure_rate`) or took `slow_seconds` and longer
    (`slow_rate`; above 1: never). It is open for a wait of `pauses`, the longer the more often probes failed in a row; then `probes`
    calls are let in, and it closes when all succeeded within `probe_seconds`. Raises ValueError for numbers that make no policy.
    """

    window: int = 20
    minimum: int = 10
    failure_rate: float = 0.5
    slow_seconds: float = 1e9
    slow_rate: float = 2.0
    probes: int = 2
    probe_seconds: float = 10.0
    pauses: RetryPolicy = _PAUSES

    def __post_init__(self) -> None:
        counts = 1 <= self.minimum <= self.window and self.probes >= 1
        if not (counts and self.failure_rate > 0 and self.slow_rate > 0 and self.slow_seconds > 0 and self.probe_seconds > 0):
            raise ValueError(f"not a policy: {self}")


ONE_FAILURE = BreakerPolicy(
    window=1, minimum=1, failure_rate=1.0, probes=1, probe_seconds=5.0,
    pauses=RetryPolicy(tries=1 << 30, first_seconds=0.5, most_seconds=15.0),
)  # fmt: skip
"""One failure opens it, one probe closes it."""


@dataclass(frozen=True, slots=True)
class Move:
    old: State
    new: State
    event: Event
    generation: int


@dataclass(frozen=True, slots=True)
class Statistics:
    """Since the process began, but `window`, `failing` and `slowing`: of the last tries. `since`: seconds since the epoch."""

    state: State
    generation: int
    since: float
    until: float | None  # seconds until it may be asked again; None: now
    calls: int
    inside: int
    failures: int
    slow: int
    rejected: int
    window: int
    failing: int
    slowing: int


def _nobody(_move: Move) -> None:
    pass


class Breaker:
    """Of one thing that is called; threads and event loops share it. `moved` is told of each move, outside of the lock."""

    def __init__(self, policy: BreakerPolicy, clock: Clock, moved: Callable[[Move], None] = _nobody) -> None:
        self.policy = policy
        self._clock, self._moved = clock, moved
        self._lock = threading.Lock()
        self._state, self._generation, self._since = State.CLOSED, 0, clock.now()
        self._until = 0.0  # of an open one: the end of its pause; of a half-open one: of its probes' time
        self._in_a_row = 0  # times it was opened since it was closed
        self._probing = self._good = 0  # probes of this generation without an answer, and with a good one
        self._window: deque[tuple[bool, bool]] = deque()  # failed, slow
        self._failing = self._slowing = 0
        self._calls = self._inside = self._failures = self._slow = self._rejected = 0

    @property
    def state(self) -> State:
        return self._state

    @property
    def generation(self) -> int:
        return self._generation

    def enter(self) -> int | None:
        """The generation this call belongs to, or None: do not ask now."""
        if self._state is State.CLOSED:  # looked at again under the lock
            with self._lock:
                if self._state is State.CLOSED:
                    self._calls += 1
                    self._inside += 1
                    return self._generation
        moves: list[Move] = []
        with self._lock:
            let_in = self._enter(moves)
            if let_in:
                self._calls += 1
                self._inside += 1
            else:
                self._rejected += 1
            generation = self._generation
        self._tell(moves)
        return generation if let_in else None

    def _enter(self, moves: list[Move]) -> bool:
        if self._state is State.CLOSED:
            return True
        now = self._clock.tick()
        if self._state is State.HALF_OPEN and now >= self._until:
            moves.append(self._move(Event.PROBES_LATE, now))
        if self._state is State.OPEN:
            if now < self._until:
                return False
            moves.append(self._move(Event.PAUSE_OVER, now))
        if self._probing + self._good >= self.policy.probes:
            return False
        self._probing += 1
        return True

    def hear(self, generation: int, failed: bool, seconds: float) -> bool:
        """The outcome of a try. Whether there may be another: nothing has moved since the call was let in."""
        moves: list[Move] = []
        with self._lock:
            self._hear(generation, failed, seconds, moves)
            stands = generation == self._generation
        self._tell(moves)
        return stands

    def leave(self, generation: int, failed: bool | None = None, seconds: float = 0.0) -> None:
        """The end of a call, with the outcome of its last try; None: it says nothing, for it was stopped or was told already."""
        moves: list[Move] = []
        with self._lock:
            self._inside -= 1
            if generation == self._generation and self._state is State.HALF_OPEN:
                self._probing -= 1
            if failed is not None:
                self._hear(generation, failed, seconds, moves)
        if moves:
            self._tell(moves)

    def _hear(self, generation: int, failed: bool, seconds: float, moves: list[Move]) -> None:
        policy, slow = self.policy, seconds >= self.policy.slow_seconds
        self._failures += failed
        self._slow += slow
        if generation != self._generation:
            return  # stale
        if self._state is State.CLOSED:
            window = self._window
            if len(window) == policy.window:
                old_failed, old_slow = window.popleft()
                self._failing -= old_failed
                self._slowing -= old_slow
            window.append((failed, slow))
            self._failing += failed
            self._slowing += slow
            if (failed or slow) and len(window) >= policy.minimum:
                count = len(window)
                if self._failing >= policy.failure_rate * count or self._slowing >= policy.slow_rate * count:
                    moves.append(self._move(Event.TRIPPED, self._clock.tick()))
        elif self._state is State.HALF_OPEN:
            if failed or (slow and policy.slow_rate <= 1):
                moves.append(self._move(Event.PROBE_FAILED, self._clock.tick()))
                return
            self._good += 1
            if self._good >= policy.probes:
                moves.append(self._move(Event.PROBES_SUCCEEDED, self._clock.tick()))

    def _move(self, event: Event, now: float) -> Move:
        old, new = self._state, MOVES[self._state][event]
        self._state, self._since = new, self._clock.now()
        self._generation += 1
        self._probing = self._good = self._failing = self._slowing = 0
        self._window.clear()
        if new is State.OPEN:
            self._in_a_row += 1
            pause = self.policy.pauses.wait(self._in_a_row, self._clock.dice())
            self._until = now + (self.policy.pauses.most_seconds if pause is None else pause)
        else:
            self._until = now + self.policy.probe_seconds
        if new is State.CLOSED:
            self._in_a_row = 0
        return Move(old, new, event, self._generation)

    def _tell(self, moves: list[Move]) -> None:
        for move in moves:
            self._moved(move)

    def seconds_left(self) -> float:
        """Until it may be asked again, or its probes are over; 0 for a closed one."""
        return 0.0 if self._state is State.CLOSED else max(0.0, self._until - self._clock.tick())

    def statistics(self) -> Statistics:
        left = self.seconds_left()
        with self._lock:
            return Statistics(
                self._state, self._generation, self._since, left if self._state is State.OPEN else None, self._calls, self._inside,
                self._failures, self._slow, self._rejected, len(self._window), self._failing, self._slowing,
            )  # fmt: skip
