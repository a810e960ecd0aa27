"""What stands around a call: in its order, in threads and event loops, and everything given back at the end."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from foundation import telemetry
from foundation.clock import Clock
from foundation.errors import Failure
from foundation.resilience import policies, protection
from foundation.resilience.breaker import BreakerPolicy, State
from foundation.resilience.bulkhead import BulkheadPolicy
from foundation.resilience.policies import Policy, switches
from foundation.resilience.protection import Protection, Refused, Registry, guard, protect
from foundation.resilience.rates import Limit, Strategy
from foundation.resilience.retry import COST, RetryPolicy
from foundation.telemetry import BreakerMoved, CallRefused, CallRetried, Event
from tests.foundation import hammer
from tests.foundation.hands import Hands

BREAKER = BreakerPolicy(10, 4, 0.5, probes=1, probe_seconds=5.0, pauses=RetryPolicy(1000, 1.0, 8.0))
FULL = Policy(
    limiter=Limit("calls", Strategy.TOKEN_BUCKET, 100, 100, 100),
    bulkhead=BulkheadPolicy(3),
    breaker=BREAKER,
    retry=RetryPolicy(3, 1.0, 8.0, jitter=0.0),
    faults=frozenset({"builtins.OSError"}),
)


class Sleeping(Hands):
    """Hands that a sleep moves on."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []
        self.during: Callable[[], None] = lambda: None
        self.clock = Clock(now=lambda: self.now, tick=lambda: self.now, dice=lambda: 0.0, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.during()


@pytest.fixture
def hands() -> Sleeping:
    return Sleeping()


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    events: list[Event] = []
    telemetry.attach(events.append)
    yield events
    telemetry._sinks.remove(events.append)


def registry(hands: Hands, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> Registry:
    table = {**policies.TABLE, "redis": policy}
    monkeypatch.setattr(policies, "TABLE", table)
    monkeypatch.setattr(protection, "TABLE", table)
    return Registry(hands.clock, switches(""))


class Failing:
    """Fails so many times, then answers."""

    def __init__(self, times: int, error: Exception | None = None) -> None:
        self.left, self.error, self.calls = times, error or ConnectionError("gone"), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "answer"


def test_a_call_is_tried_again_while_it_fails_for_a_reason_that_passes(
    hands: Sleeping, monkeypatch: pytest.MonkeyPatch, heard: list[Event]
) -> None:
    here, ask = registry(hands, FULL, monkeypatch), Failing(2)
    assert protect("redis", registry=here)(ask)() == "answer"
    assert hands.slept == [1.0, 2.0]
    assert [event.made for event in heard if isinstance(event, CallRetried)] == [1, 2]
    assert here.of("redis").budget.tokens == pytest.approx(500 - 2 * COST + COST + 3)  # the last came back, and 3 s passed


def test_other_exceptions_are_raised_at_once_and_say_nothing_of_what_is_called(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    here = registry(hands, FULL, monkeypatch)
    for error in (ValueError("ours"), Failure("PART_NOT_FOUND")):
        for _ in range(10):
            ask = Failing(1, error)
            with pytest.raises(type(error)):
                protect("redis", registry=here)(ask)()
            assert ask.calls == 1
    assert here.of("redis").breaker.state is State.CLOSED  # type: ignore[union-attr]


def test_the_last_error_is_raised_when_no_try_is_left(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Failing(9)
    with pytest.raises(ConnectionError, match="gone"):
        protect("redis", registry=registry(hands, FULL, monkeypatch))(ask)()
    assert ask.calls == 3


def test_answers_can_be_bad_too_and_the_last_one_is_answered(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([500, 502, 503])
    ask = protect("redis", registry=registry(hands, FULL, monkeypatch), bad=lambda status: status >= 500)(lambda: next(answers))
    assert ask() == 503
    assert hands.slept == [1.0, 2.0]


def test_no_try_begins_after_the_deadline(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Failing(9)
    with pytest.raises(ConnectionError):
        protect("redis", registry=registry(hands, replace(FULL, deadline_seconds=3.0), monkeypatch))(ask)()
    assert ask.calls == 2  # the next wait would end at the deadline


def test_the_breaker_opens_between_tries_and_there_is_no_further_one(
    hands: Sleeping, monkeypatch: pytest.MonkeyPatch, heard: list[Event]
) -> None:
    here = registry(hands, FULL, monkeypatch)
    breaker = here.of("redis").breaker
    assert breaker is not None
    for _ in range(3):
        generation = breaker.enter()
        assert generation is not None
        breaker.leave(generation, failed=True)
    ask = Failing(9)
    with pytest.raises(ConnectionError):  # the true error, not that of the breaker
        protect("redis", registry=here)(ask)()
    assert (ask.calls, hands.slept) == (1, [])
    with pytest.raises(Refused) as refused:
        protect("redis", registry=here)(ask)()
    assert (refused.value.code, refused.value.context) == ("BREAKER_OPEN", {"call": "redis", "retry_after": 1.0})
    assert ask.calls == 1
    assert [event.new for event in heard if isinstance(event, BreakerMoved)] == ["open"]
    assert [event.part for event in heard if isinstance(event, CallRefused)] == ["breaker"]


def test_a_breaker_that_opens_during_the_wait_ends_it_too(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    here, ask = registry(hands, FULL, monkeypatch), Failing(9)
    breaker = here.of("redis").breaker
    assert breaker is not None

    def others_fail() -> None:
        for _ in range(4):
            if (generation := breaker.enter()) is not None:
                breaker.leave(generation, failed=True)

    hands.during = others_fail
    with pytest.raises(ConnectionError):
        protect("redis", registry=here)(ask)()
    assert ask.calls == 1


def test_a_used_up_budget_ends_retries_and_first_tries_go_on(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = replace(FULL, limiter=None, breaker=None, retry=RetryPolicy(2, 0.001, 0.001))
    here = registry(hands, policy, monkeypatch)
    calls = 0
    for _ in range(1000):
        ask = Failing(9)
        with pytest.raises(ConnectionError):
            protect("redis", registry=here)(ask)()
        calls += ask.calls
    assert 1100 <= calls <= 1102  # a hundred retries of five tokens, and what came back in a tenth of a second


def test_limiter_bulkhead_and_breaker_refuse_in_this_order(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    here = registry(hands, replace(FULL, limiter=Limit("calls", Strategy.TOKEN_BUCKET, 5, 5, 5), retry=None), monkeypatch)
    it = here.of("redis")
    assert it.breaker is not None
    assert it.bulkhead is not None
    with guard("redis", registry=here), guard("redis", registry=here), guard("redis", registry=here):
        with pytest.raises(Refused) as full:
            protect("redis", registry=here)(str)()
    assert full.value.code == "BULKHEAD_FULL"
    for _ in range(4):
        it.breaker.hear(it.breaker.generation, failed=True, seconds=0.0)
    with pytest.raises(Refused) as open_:
        guard("redis", registry=here).__enter__()
    assert open_.value.code == "BREAKER_OPEN"
    with pytest.raises(Refused) as many:
        guard("redis", registry=here).__enter__()
    assert many.value.code == "CALLS_TOO_MANY"
    assert many.value.context["retry_after"] == pytest.approx(1.0)
    assert it.bulkhead.free == 3
    assert it.breaker.statistics().inside == 0


def test_a_block_is_counted_and_never_repeated(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    here, entered = registry(hands, FULL, monkeypatch), 0
    for _ in range(4):
        with pytest.raises(ConnectionError), guard("redis", registry=here):
            entered += 1
            raise ConnectionError
    assert (entered, hands.slept) == (4, [])
    assert here.of("redis").breaker.state is State.OPEN  # type: ignore[union-attr]


def test_what_is_switched_off_does_not_stand_around_the_call(hands: Sleeping) -> None:
    here = Registry(hands.clock, switches("redis.retry, webhook.breaker"))
    assert here.of("redis").policy.retry is None
    assert here.of("redis").breaker is not None
    assert here.of("webhook", "a.example").breaker is None
    with guard("webhook", "a.example", registry=here):
        pass


def test_a_coroutine_is_protected_as_a_function_is(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    here = registry(hands, replace(FULL, retry=RetryPolicy(3, 0.001, 0.001)), monkeypatch)
    ask, forever = Failing(2), asyncio.Event()

    @protect("redis", registry=here)
    async def call() -> str:
        return ask()

    @protect("redis", registry=here)
    async def hang() -> None:
        await forever.wait()

    async def all_of_it() -> None:
        assert await call() == "answer"
        async with guard("redis", registry=here):
            pass
        hanging = [asyncio.create_task(hang()) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Refused, match="BULKHEAD_FULL"):
            await call()
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    asyncio.run(all_of_it())
    it = here.of("redis")
    assert it.bulkhead is not None
    assert it.breaker is not None
    assert it.bulkhead.free == 3
    assert it.breaker.statistics().inside == 0


def test_a_cancelled_probe_gives_its_place_back(hands: Sleeping, monkeypatch: pytest.MonkeyPatch) -> None:
    here = registry(hands, FULL, monkeypatch)
    for _ in range(4):
        with pytest.raises(ConnectionError), guard("redis", registry=here):
            raise ConnectionError
    hands.now += 1.1
    with pytest.raises(KeyboardInterrupt), guard("redis", registry=here):
        raise KeyboardInterrupt
    with guard("redis", registry=here):
        pass
    assert here.of("redis").breaker.state is State.CLOSED  # type: ignore[union-attr]


def test_each_subject_has_a_breaker_of_its_own_and_there_is_a_bound_of_them(hands: Sleeping) -> None:
    here = Registry(hands.clock, switches(""))
    for number in range(1500):
        here.of("webhook", f"{number}.example")
    here.of("redis")
    told = here.statistics()
    assert len(told) <= protection._SUBJECTS + 1
    assert {"webhook", "redis"} == {one["call"] for one in told}


def test_a_forked_child_begins_anew(hands: Sleeping) -> None:
    here = Registry(hands.clock, switches(""))
    it = here.of("redis")
    here._lock.acquire()
    here.forget()
    assert here.of("redis") is not it


def test_thirty_two_threads_that_raise_and_give_up_at_random_leak_no_permit() -> None:
    """`python -m tests.foundation.hammer` does it 100,000 times a thread."""
    told = hammer.run(threads=32, calls=1_000)
    assert told.calls == 32_000
    assert (told.free, told.inside) == (told.capacity, 0)
    assert min(told.raised, told.refused, told.interrupted) > 0


def test_a_call_in_threads_of_its_own_is_left_behind_after_its_time() -> None:
    here, go = Registry(off=switches("")), threading.Event()
    with pytest.raises(TimeoutError):
        protect("names", registry=here).within(0.01, go.wait, 30)
    go.set()
    assert protect("names", registry=here).within(30, lambda: 7) == 7
    assert protect("names", registry=here)(lambda: 8)() == 8
    it: Protection = here.of("names")
    assert it.threads is not None
    it.threads.close()


@pytest.mark.parametrize("seed", range(3))
def test_a_coroutine_that_is_cancelled_at_random_leaks_no_permit(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = replace(
        FULL, limiter=None, bulkhead=BulkheadPolicy(4, 0.002), retry=RetryPolicy(3, 0.0005, 0.001),
        breaker=replace(BREAKER, pauses=RetryPolicy(1000, 0.001, 0.002), probe_seconds=0.01),
    )  # fmt: skip
    table = {**policies.TABLE, "redis": policy}
    monkeypatch.setattr(policies, "TABLE", table)
    monkeypatch.setattr(protection, "TABLE", table)
    here, chance = Registry(off=switches("")), random.Random(seed)

    @protect("redis", registry=here)
    async def call() -> None:
        await asyncio.sleep(chance.choice((0, 0, 0.001)))
        if chance.random() < 0.3:
            raise ConnectionError

    async def many() -> None:
        for _ in range(20):
            tasks = [asyncio.create_task(call()) for _ in range(50)]
            await asyncio.sleep(chance.choice((0, 0.001, 0.002)))
            for task in chance.sample(tasks, 20):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(many())
    it = here.of("redis")
    assert it.bulkhead is not None
    assert it.breaker is not None
    assert it.bulkhead.free == 4
    assert it.breaker.statistics().inside == 0
    assert it.breaker.generation > 0
