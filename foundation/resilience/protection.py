"""Calls behind the table: `protect("redis")(function)` with all parts, `with guard("redis"):` with all but retries.

    send = protect("webhook", subject=host)(send)      functions and coroutine functions alike
    with guard("broker"): publish()                    `async with` in an event loop; a block cannot be repeated, so it has no retry

What is refused raises `Refused`: BREAKER_OPEN, BULKHEAD_FULL or CALLS_TOO_MANY. Here, and not in the parts, is told what happened.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, cast

from foundation.clock import SYSTEM, Clock, iso
from foundation.errors import Failure
from foundation.resilience.breaker import Breaker, Move, State
from foundation.resilience.bulkhead import Bulkhead, ThreadBulkhead
from foundation.resilience.local_limiter import LocalLimiter
from foundation.resilience.policies import TABLE, Part, Policy, Switches, in_words, is_fault, is_timeout
from foundation.resilience.retry import Heard, RetryBudget, Tries
from foundation.settings import Settings, settings
from foundation.telemetry import BreakerMoved, CallRefused, CallRetried, emit

P = ParamSpec("P")
R = TypeVar("R")
Fault = Callable[[Exception], bool]
Bad = Callable[[Any], bool]

_SUBJECTS = 1000


class Refused(Failure):
    """The call was not made."""


class Protection:
    """What stands around one call in this process: the parts of its policy, alive."""

    def __init__(self, call: str, subject: str, policy: Policy, clock: Clock) -> None:
        self.call, self.subject, self.policy, self.clock = call, subject, policy, clock
        self.limiter = LocalLimiter(policy.limiter, clock) if policy.limiter else None
        threads = policy.bulkhead is not None and policy.bulkhead.threads
        self.bulkhead = Bulkhead(policy.bulkhead) if policy.bulkhead and not threads else None
        self.threads = ThreadBulkhead(policy.bulkhead, call) if policy.bulkhead and threads else None
        self.breaker = Breaker(policy.breaker, clock, self._moved) if policy.breaker else None
        self.budget = RetryBudget(clock)

    def _moved(self, move: Move) -> None:
        emit(BreakerMoved(self.call, move.old.value, move.new.value, move.event.value))

    def refuse(self, part: Part, seconds: float) -> Refused:
        emit(CallRefused(self.call, part.value))
        code = {Part.LIMITER: "CALLS_TOO_MANY", Part.BULKHEAD: "BULKHEAD_FULL", Part.BREAKER: "BREAKER_OPEN"}[part]
        return Refused(code, {"call": self.call, "retry_after": round(seconds, 3)})

    def start(self) -> int:
        """Past the limiter and into the breaker; the bulkhead was entered before. Raises Refused."""
        if self.breaker is None:
            return 0
        generation = self.breaker.enter()
        if generation is None:
            raise self.refuse(Part.BREAKER, self.breaker.seconds_left())
        return generation

    def limit(self) -> None:
        """Raises Refused."""
        if self.limiter is not None and (seconds := self.limiter.take()):
            raise self.refuse(Part.LIMITER, seconds)

    def statistics(self) -> dict[str, Any]:
        """What is known of it, as the health route shows it."""
        told: dict[str, Any] = {"call": self.call, "subject": self.subject}
        if self.breaker is not None:
            told["breaker"] = told_of(self.breaker)
        permits = self.threads.permits if self.threads else self.bulkhead
        if permits is not None:
            told["bulkhead"] = {"capacity": permits.policy.capacity, "free": permits.free, "refused": permits.refused}
        if self.limiter is not None:
            told["limiter"] = {"room": round(self.limiter.room, 3), "refused": self.limiter.refused}
        if self.policy.retry is not None:
            told["retry"] = {"tokens": round(self.budget.tokens, 3)}
        return told


class _Run:
    """One call on its way through: what is told to breaker and budget, and whether there is another try."""

    __slots__ = ("bad", "begun", "failed", "fault", "generation", "it", "seconds", "started", "tries")

    def __init__(self, it: Protection, generation: int, fault: Fault | None, bad: Bad | None) -> None:
        self.it, self.generation, self.fault, self.bad = it, generation, fault, bad
        self.failed: bool | None = None
        self.seconds = 0.0
        self.tries: Tries | None = None
        self.started = self.begun = it.clock.tick()

    def raised(self, error: Exception) -> float | None:
        """Seconds to wait before the next try, None: there is none."""
        it = self.it
        faulty = self.fault(error) if self.fault is not None else is_fault(it.policy, error)
        if faulty:
            return self._again(type(error).__name__, is_timeout(error))
        if self.tries is not None:
            self.tries.hear(Heard.OTHER)
        return None

    def answered(self, answer: Any) -> float | None:
        """The same for an answer; None: it is the one."""
        if self.bad is not None and self.bad(answer):
            return self._again("answer", timeout=False)
        self.failed, self.seconds = False, self.it.clock.tick() - self.begun
        if self.tries is not None:
            self.tries.hear(Heard.GOOD)
        return None

    def _again(self, reason: str, timeout: bool) -> float | None:
        it = self.it
        seconds = it.clock.tick() - self.begun
        if it.policy.retry is None:
            self.failed, self.seconds = True, seconds
            return None
        stands = it.breaker.hear(self.generation, True, seconds) if it.breaker is not None else True
        if self.tries is None:
            self.tries = Tries(it.policy.retry, it.clock, self.started, it.policy.deadline_seconds, it.budget)
        wait = self.tries.hear(Heard.FAULT if stands else Heard.OPENED, timeout)
        if wait is not None:
            emit(CallRetried(it.call, self.tries.made, wait, reason))
        return wait

    def may_go_on(self) -> bool:
        """After a wait: not when the breaker has moved meanwhile."""
        stands = self.it.breaker is None or self.it.breaker.generation == self.generation
        if self.tries is not None:
            self.tries.hear(Heard.WAITED if stands else Heard.OPENED)
        self.begun = self.it.clock.tick()
        return stands

    def end(self) -> None:
        if self.it.breaker is not None:
            self.it.breaker.leave(self.generation, self.failed, self.seconds)


def told_of(breaker: Breaker) -> dict[str, Any]:
    found = asdict(breaker.statistics())
    return found | {"since": iso(found["since"])}


def rows(here: Settings) -> list[dict[str, Any]]:
    """The table under these settings: of each call what stands around it in words, and which parts are switched off."""
    off, told = here.resilience.switches, []
    for call, policy in TABLE.items():
        seconds = policy.timeout or None
        if isinstance(seconds, str):
            section, _, name = seconds.partition(".")
            seconds = getattr(getattr(here, section), name)
        parts = {part.value: in_words(getattr(policy, part.value)) for part in Part}
        gone = [part.value for part in Part if (call, part) in off.off]
        told.append({"call": call, "what": policy.what, "timeout_seconds": seconds} | parts | {"off": gone, "why": policy.why})
    return told


class Registry:
    """The protections of one process, made when they are first needed; by call and, where that matters, by whom it goes to."""

    def __init__(self, clock: Clock = SYSTEM, off: Switches | None = None) -> None:
        self.clock, self._off = clock, off
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, str], Protection] = OrderedDict()
        self._watched: dict[str, Breaker] = {}

    def of(self, call: str, subject: str = "") -> Protection:
        found = self._held.get((call, subject))
        return found if found is not None else self._make(call, subject)

    def _make(self, call: str, subject: str) -> Protection:
        off = self._off or settings().resilience.switches
        with self._lock:
            it = self._held.setdefault((call, subject), Protection(call, subject, off.on(call), self.clock))
            if len(self._held) > _SUBJECTS:
                self._held.pop(next(each for each in self._held if each[1] and each != (call, subject)))
            return it

    def watch(self, call: str, breaker: Breaker) -> None:
        """Show a breaker that its owner asks by itself."""
        self._watched[call] = breaker

    def statistics(self) -> list[dict[str, Any]]:
        """Of every protection this process has needed so far: those whose breaker is not closed first."""
        with self._lock:
            held = list(self._held.values())
        told = [it.statistics() for it in held]
        told += [{"call": call, "subject": "", "breaker": told_of(breaker)} for call, breaker in self._watched.items()]
        return sorted(
            told, key=lambda one: (one.get("breaker", {}).get("state", State.CLOSED) == State.CLOSED, one["call"], one["subject"])
        )

    def forget(self) -> None:
        """Begin anew: as in a forked child, where a lock may be held by a thread that is not there."""
        self._lock = threading.Lock()
        self._held = OrderedDict()
        self._watched = {}


HERE = Registry()
os.register_at_fork(after_in_child=HERE.forget)


class protect:  # noqa: N801 - read as a verb
    """A decorator: the function behind all parts of a call's policy.

    `subject`: to whom it goes, where each has a breaker of its own. `fault`: which exceptions speak against it, instead of the table's.
    `bad`: which answers do; the last of them is answered when no try is left. Raises Refused, and what the function raises.
    """

    def __init__(self, call: str, subject: str = "", fault: Fault | None = None, bad: Bad | None = None, registry: Registry = HERE) -> None:
        if call not in TABLE:
            raise KeyError(call)
        self._call, self._subject, self._fault, self._bad, self._registry = call, subject, fault, bad, registry

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def protected_in_loop(*words: P.args, **more: P.kwargs) -> Any:
                return await self._run_in_loop(cast(Callable[..., Awaitable[Any]], function), words, more)

            return cast(Callable[P, R], protected_in_loop)

        @wraps(function)
        def protected(*words: P.args, **more: P.kwargs) -> R:
            return self.run(function, *words, **more)

        return protected

    def run(self, function: Callable[..., R], *words: Any, **more: Any) -> R:
        """Call a function once behind the parts, without a wrapper to keep."""
        it = self._registry.of(self._call, self._subject)
        it.limit()
        if it.bulkhead is not None and not it.bulkhead.enter():
            raise it.refuse(Part.BULKHEAD, it.bulkhead.policy.wait_seconds)
        try:
            run = _Run(it, it.start(), self._fault, self._bad)
            try:
                while True:
                    raised: Exception | None = None
                    try:
                        answer = function(*words, **more) if it.threads is None else self._in_thread(it, function, words, more)
                    except Exception as error:
                        if (wait := run.raised(error)) is None:
                            raise
                        raised = error
                    else:
                        if (wait := run.answered(answer)) is None:
                            return answer
                    it.clock.sleep(wait)
                    if not run.may_go_on():
                        if raised is not None:
                            raise raised
                        return answer
            finally:
                run.end()
        finally:
            if it.bulkhead is not None:
                it.bulkhead.leave()

    async def _run_in_loop(self, function: Callable[..., Awaitable[R]], words: Any, more: Any) -> R:
        it = self._registry.of(self._call, self._subject)
        it.limit()
        if it.bulkhead is not None and not await it.bulkhead.enter_in_loop():
            raise it.refuse(Part.BULKHEAD, it.bulkhead.policy.wait_seconds)
        try:
            run = _Run(it, it.start(), self._fault, self._bad)
            try:
                while True:
                    raised: Exception | None = None
                    try:
                        answer = await function(*words, **more)
                    except Exception as error:
                        if (wait := run.raised(error)) is None:
                            raise
                        raised = error
                    else:
                        if (wait := run.answered(answer)) is None:
                            return answer
                    await asyncio.sleep(wait)
                    if not run.may_go_on():
                        if raised is not None:
                            raise raised
                        return answer
            finally:
                run.end()
        finally:
            if it.bulkhead is not None:
                it.bulkhead.leave()

    def within(self, seconds: float, function: Callable[..., R], *words: Any, **more: Any) -> R:
        """Call a function in the threads of a call that has some, and wait for so long. Raises TimeoutError; it is left behind then."""
        it = self._registry.of(self._call, self._subject)
        it.limit()
        return self._in_thread(it, function, words, more, seconds)

    def _in_thread(self, it: Protection, function: Callable[..., R], words: Any, more: Any, seconds: float | None = None) -> R:
        if it.threads is None:
            return function(*words, **more)
        future = it.threads.start(function, *words, **more)
        if future is None:
            raise it.refuse(Part.BULKHEAD, it.threads.permits.policy.wait_seconds)
        try:
            return future.result(seconds)
        finally:
            future.cancel()


class guard:  # noqa: N801 - read as a verb
    """A context manager, for one block: limiter, bulkhead and breaker of a call's policy, and no retry. Raises Refused at its start."""

    __slots__ = ("_call", "_fault", "_it", "_registry", "_run", "_subject")

    def __init__(self, call: str, subject: str = "", fault: Fault | None = None, registry: Registry = HERE) -> None:
        self._call, self._subject, self._fault, self._registry = call, subject, fault, registry

    def __enter__(self) -> Self:
        it = self._it = self._registry.of(self._call, self._subject)
        it.limit()
        if it.bulkhead is not None and not it.bulkhead.enter():
            raise it.refuse(Part.BULKHEAD, it.bulkhead.policy.wait_seconds)
        self._begin()
        return self

    async def __aenter__(self) -> Self:
        it = self._it = self._registry.of(self._call, self._subject)
        it.limit()
        if it.bulkhead is not None and not await it.bulkhead.enter_in_loop():
            raise it.refuse(Part.BULKHEAD, it.bulkhead.policy.wait_seconds)
        self._begin()
        return self

    def _begin(self) -> None:
        try:
            self._run = _Run(self._it, self._it.start(), self._fault, None)
        except BaseException:
            if self._it.bulkhead is not None:
                self._it.bulkhead.leave()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        run, it = self._run, self._it
        if error is None:
            run.failed = False
        elif isinstance(error, Exception):
            run.failed = True if (self._fault(error) if self._fault is not None else is_fault(it.policy, error)) else None
        run.seconds = it.clock.tick() - run.begun
        run.end()
        if it.bulkhead is not None:
            it.bulkhead.leave()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)
