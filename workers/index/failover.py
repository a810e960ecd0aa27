"""Who serves searches in this process, the fast index or the exact one: a table of states and moves, and nothing else that decides.

Pure: time and dice are given, nothing is imported that computes. `health.py` holds the standing of a process and makes the moves,
`serving.py` searches as it says. `make docs` draws the table into docs/states.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from foundation.engine_settings import RecoverySettings
from tasks.vocabulary import EngineState

HISTORY = 10
FLAPS = 3  # failures in a row, each soon after a recovery, from which on an engine is flapping
JITTER = 0.1  # a wait is shortened by up to this share, so that a fleet does not try all at once and never later than it should


class Event(StrEnum):
    FAILED = "failed"  # in somebody's hands
    DUE = "due"  # the time of the next try has come
    ASKED = "asked"  # an administrator wants it tried now
    TRIED_WELL = "tried_well"  # the try that runs found it sound
    TRIED_IN_VAIN = "tried_in_vain"


class NotAMove(Exception):
    """The table has no such move from here."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A line of the history."""

    at: float
    event: str  # of `Event`
    state: str  # that it led to
    reason: str  # why it failed; empty where nothing did


@dataclass(frozen=True, slots=True)
class Standing:
    """Everything a process knows of its engine. Times are seconds since the epoch."""

    state: EngineState = EngineState.HEALTHY
    since: float | None = None  # in this state; None: from the start
    degraded_at: float | None = None  # since when the exact index serves
    reason: str = ""  # why it does
    level: int = 0  # how often the wait was multiplied
    next_try_at: float | None = None
    last_try_at: float | None = None
    recovered_at: float | None = None
    relapses: int = 0  # failures in a row, each soon after a recovery
    number: int = 0  # of the last try: what another try brings is discarded
    history: tuple[Happened, ...] = ()

    @property
    def flapping(self) -> bool:
        return self.relapses >= FLAPS


@dataclass(frozen=True, slots=True)
class Told:
    """An event with what a move may look at: the time, a throw of dice in [0, 1), the settings, and why it failed if it did."""

    event: Event
    now: float
    dice: float
    rules: RecoverySettings
    reason: str = ""


def wait(standing: Standing, told: Told) -> float:
    """Seconds to the next try: interval * multiplier^level, at most the longest backoff, which a flapping engine gets at once."""
    rules = told.rules
    longest = rules.max_backoff_seconds
    # the exponent is bounded where the longest is reached in any case, for a float has an end
    grown = longest if standing.flapping else min(longest, rules.interval_seconds * rules.backoff_multiplier ** min(standing.level, 64))
    return grown * (1.0 - JITTER * told.dice)


def _stay(standing: Standing, _told: Told) -> Standing:
    return standing


def _degrade(standing: Standing, told: Told) -> Standing:
    """The first failure. One that comes sooner after a recovery than a first try would goes on where the backoff was."""
    recovered = standing.recovered_at
    soon = recovered is not None and told.now - recovered < told.rules.interval_seconds
    relapsed = replace(standing, relapses=standing.relapses + 1 if soon else 0, level=standing.level + 1 if soon else 0)
    return replace(relapsed, degraded_at=told.now, reason=told.reason, next_try_at=told.now + wait(relapsed, told))


def _begin(standing: Standing, told: Told) -> Standing:
    """A try begins; one that runs already is overtaken by its number."""
    return replace(standing, number=standing.number + 1, last_try_at=told.now, next_try_at=None)


def _recover(standing: Standing, told: Told) -> Standing:
    return replace(standing, degraded_at=None, reason="", next_try_at=None, recovered_at=told.now)


def _longer(standing: Standing, told: Told) -> Standing:
    grown = replace(standing, reason=told.reason, level=standing.level + 1)
    return replace(grown, next_try_at=told.now + wait(grown, told))


def _as_long(standing: Standing, told: Told) -> Standing:
    """An administrator's try costs nobody patience: the next one comes as late as after the last by the clock."""
    return replace(standing, reason=told.reason, next_try_at=told.now + wait(standing, told))


Does = Callable[[Standing, Told], Standing]
_S, _E = EngineState, Event

MOVES: Mapping[EngineState, Mapping[Event, tuple[EngineState, Does]]] = {
    _S.HEALTHY: {_E.FAILED: (_S.DEGRADED, _degrade)},
    # a search that began before may fail in any state: nothing new
    _S.DEGRADED: {_E.FAILED: (_S.DEGRADED, _stay), _E.DUE: (_S.RECOVERING, _begin), _E.ASKED: (_S.HELD, _begin)},
    _S.RECOVERING: {
        _E.FAILED: (_S.RECOVERING, _stay),
        _E.ASKED: (_S.HELD, _begin),
        _E.TRIED_WELL: (_S.HEALTHY, _recover),
        _E.TRIED_IN_VAIN: (_S.DEGRADED, _longer),
    },
    _S.HELD: {_E.FAILED: (_S.HELD, _stay), _E.TRIED_WELL: (_S.HEALTHY, _recover), _E.TRIED_IN_VAIN: (_S.DEGRADED, _as_long)},
}


def move(standing: Standing, told: Told) -> Standing:
    """The standing after an event. Raises NotAMove, also for a try before its time."""
    found = MOVES[standing.state].get(told.event)
    if found is None or (told.event is Event.DUE and not due(standing, told.now)):
        raise NotAMove(f"{told.event} while {standing.state}")
    state, does = found
    if does is _stay:
        return standing
    line = Happened(told.now, told.event, state, told.reason)
    return replace(does(standing, told), state=state, since=told.now, history=(*standing.history, line)[-HISTORY:])


def flapping(standing: Standing, now: float, rules: RecoverySettings) -> bool:
    """Whether it fails again and again soon after it recovered; over once it has stood for the length of a first wait."""
    stood = standing.state is EngineState.HEALTHY and standing.since is not None and now - standing.since >= rules.interval_seconds
    return standing.flapping and not stood


def due(standing: Standing, now: float) -> bool:
    """Whether the time of the next try has come."""
    return standing.state is EngineState.DEGRADED and standing.next_try_at is not None and now >= standing.next_try_at
