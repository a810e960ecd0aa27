"""The standing of the engine in this worker process, held under a lock; `failover.py` decides, this does and tells.

One standing for all indexes of the process: what breaks the engine under one rarely leaves the others alone, and exact search is
always right. Imports nothing that computes, so that every process may hold one.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, Protocol

from foundation.clock import SYSTEM, Clock, iso
from foundation.engine_settings import RecoverySettings
from foundation.errors import Failure
from foundation.telemetry import EngineDegraded, EngineRestored, RecoveryTried, emit, logger
from tasks.vocabulary import EngineState
from workers.index import failover
from workers.index.failover import Event, NotAMove, Standing, Told


class Mendable(Protocol):
    """What stands on the engine and can be built anew."""

    def rebuild(self) -> Callable[[], None]:
        """Build and check it beside what serves; calling the answer takes it into use. Raises IndexFailure."""
        ...

    def give_up(self) -> None:
        """What was built is not taken into use."""


class Health:
    """Thread-safe. Searches report failures; one thread at a time tries."""

    def __init__(self, rules: RecoverySettings, clock: Clock = SYSTEM) -> None:
        self._rules, self._clock = rules, clock
        self._lock, self._trying = Lock(), Lock()
        self._standing = Standing()
        self._broken: set[Mendable] = set()  # few: only what fails while the engine counts as healthy

    @property
    def standing(self) -> Standing:
        return self._standing

    @property
    def healthy(self) -> bool:
        return self._standing.state is EngineState.HEALTHY

    @property
    def due(self) -> bool:
        return failover.due(self._standing, self._clock.now())

    def failed(self, reason: str, what: Mendable) -> None:
        """`what` failed in a search."""
        with self._lock:
            self._broken.add(what)
            before = self._move(Event.FAILED, reason)
            after = self._standing
        if before.state is EngineState.HEALTHY:
            emit(EngineDegraded(reason, after.flapping))

    def begin(self, by_hand: bool) -> int | None:
        """Begin a try, if it is time, or by hand at once; a try that runs is overtaken then. Its number; None: nothing to try.

        Raises FAISS_RECOVERY_CONFLICT if one by hand runs already.
        """
        with self._lock:
            if by_hand and self._standing.state is EngineState.HELD:
                raise Failure("FAISS_RECOVERY_CONFLICT", {"since": iso(self._standing.since)})
            try:
                self._move(Event.ASKED if by_hand else Event.DUE)
            except NotAMove:
                return None
            return self._standing.number

    def carry_out(self, number: int) -> str:
        """Do a try that was begun: recovered, failed or overtaken."""
        with self._trying:
            with self._lock:
                broken: list[Mendable] = list(self._broken)
            result = self._end(number, *_rebuilt(broken))
            if result != "recovered":
                for what in broken:
                    what.give_up()
        return result

    def _end(self, number: int, adopt: list[Callable[[], None]], reason: str) -> str:
        with self._lock:
            before = self._standing
            if before.number != number or before.state not in (EngineState.RECOVERING, EngineState.HELD):
                result = "overtaken"
            elif reason:
                self._move(Event.TRIED_IN_VAIN, reason)
                result = "failed"
            else:
                for take in adopt:
                    take()
                self._broken.clear()
                self._move(Event.TRIED_WELL)
                result = "recovered"
        emit(RecoveryTried(result, before.state is EngineState.HELD, reason))
        if result == "recovered":
            emit(EngineRestored(self._clock.now() - (before.degraded_at or self._clock.now())))
        return result

    def _move(self, event: Event, reason: str = "") -> Standing:
        """Make a move; answers the standing before."""
        before = self._standing
        self._standing = failover.move(before, Told(event, self._clock.now(), self._clock.dice(), self._rules, reason))
        return before

    def view(self) -> dict[str, Any]:
        """The standing as it is told to all doors."""
        now, standing = self._clock.now(), self._standing
        return {
            "state": standing.state.value,
            "since": iso(standing.since),
            "degraded_since": iso(standing.degraded_at),
            "reason": standing.reason or None,
            "last_recovery_attempt": iso(standing.last_try_at),
            "next_recovery_attempt": iso(standing.next_try_at),
            "flapping": failover.flapping(standing, now, self._rules),
            "history": [
                {"at": iso(line.at), "event": line.event, "state": line.state, "reason": line.reason or None} for line in standing.history
            ],
        }


def _rebuilt(broken: list[Mendable]) -> tuple[list[Callable[[], None]], str]:
    """What takes all of them into use, and why not."""
    from workers.index.contract import IndexFailure  # numpy: loaded by now

    try:
        return [what.rebuild() for what in broken], ""
    except IndexFailure as failure:
        logger.warning("an index could not be built anew: %s", failure)
        return [], failure.reason
    except Failure as failure:
        logger.warning("an index could not be built anew: %s", failure)
    except Exception:  # noqa: BLE001 - the last resort: a defect of ours must not leave a try without an end
        logger.exception("an index could not be built anew")
    return [], "load"
