"""The limiter with a Redis that dies, is emptied and comes back: nothing lets more through than the limit says."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from foundation import keyspace
from foundation.resilience import rates
from foundation.resilience.limiter import Charge, Limiter
from foundation.settings import RedisSettings
from tests.foundation.hands import Hands
from tests.stack import ROOT, RedisServer, wait_until

RULE = rates.parse("user", "token-bucket 100/10")
assert RULE is not None


def limiter(url: str, name: str, hands: Hands, seconds: float = 5.0, least_replicas: int = 1) -> Limiter:
    here = RedisSettings(url=url)
    return Limiter(
        keyspace.limits_client(here, seconds), lambda: keyspace.limits_loop_client(here, seconds), name, least_replicas, hands.clock
    )


def admitted(limiters: list[Limiter], tries: int = 300, subject: str = "x") -> int:
    assert RULE is not None
    return sum(limiters[n % len(limiters)].take([Charge(RULE, subject, 1)]).admitted for n in range(tries))


def alive(limiters: list[Limiter], hands: Hands, seconds: float) -> None:
    """Time in which each replica shows itself."""
    for _ in range(int(seconds / 5)):
        hands.now += 5
        for each in limiters:
            each.beat()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def four(own_redis: RedisServer, hands: Hands) -> list[Limiter]:
    made = [limiter(own_redis.url, f"replica {n}", hands) for n in range(4)]
    alive(made, hands, 40)
    return made


def test_four_replicas_admit_the_limit_together_and_know_their_number(four: list[Limiter]) -> None:
    assert [each.replicas for each in four] == [4] * 4
    assert admitted(four) == 100


def test_a_request_is_charged_to_all_its_limits_or_to_none(own_redis: RedisServer, hands: Hands) -> None:
    one = limiter(own_redis.url, "one", hands)
    small = rates.parse("tenant", "token-bucket 3/10")
    assert RULE is not None
    assert small is not None
    both = [Charge(RULE, "key", 1), Charge(small, "tenant", 1)]
    assert sum(one.take(both).admitted for _ in range(10)) == 3
    assert one.take([Charge(RULE, "key", 1, peek=True)]).verdicts[0].remaining == 97


def test_peeking_takes_nothing(own_redis: RedisServer, hands: Hands) -> None:
    one = limiter(own_redis.url, "one", hands)
    assert RULE is not None
    for _ in range(200):
        assert one.take([Charge(RULE, "x", 1, peek=True)]).admitted
    assert admitted([one]) == 100


def test_when_redis_is_lost_nothing_spent_before_comes_back_but_at_the_limits_own_pace(
    four: list[Limiter], own_redis: RedisServer, hands: Hands
) -> None:
    assert admitted(four) == 100
    own_redis.kill()
    assert admitted(four) <= 5
    hands.now += 2
    assert 16 <= admitted(four) <= 20
    hands.now += 100
    assert admitted(four, subject="y") == 100


def test_a_share_is_not_refilled_by_the_return_of_an_empty_redis_nor_by_its_next_loss(
    four: list[Limiter], own_redis: RedisServer, hands: Hands
) -> None:
    own_redis.kill()
    admitted(four)
    hands.now += 30
    assert admitted(four) == 100
    for _ in range(3):  # it comes and goes: no time has passed, so nothing is admitted
        own_redis.start()
        hands.now += 0.001
        assert admitted(four) <= 1
        own_redis.kill()
        assert admitted(four) <= 1
    own_redis.start()
    hands.now += 16  # every pause of a probe is over
    assert admitted(four) == 100
    assert admitted(four) == 0
    hands.now += 4
    assert admitted(four) == 40


def test_after_a_return_shares_are_in_force_until_redis_has_counted_long_enough(
    four: list[Limiter], own_redis: RedisServer, hands: Hands
) -> None:
    own_redis.kill()
    admitted(four)
    own_redis.start()
    hands.now += 20
    assert admitted(four[:1]) == 25  # one replica alone: its share
    hands.now += 20
    assert admitted(four[:1]) == 100  # Redis alone counts again


def test_a_redis_that_was_emptied_under_us_gives_nothing_back(four: list[Limiter], own_redis: RedisServer) -> None:
    assert admitted(four) == 100
    redis.Redis.from_url(own_redis.url).flushall()
    assert admitted(four) <= 5


def test_the_number_of_replicas_does_not_shrink_while_they_come_back(four: list[Limiter], own_redis: RedisServer, hands: Hands) -> None:
    own_redis.kill()
    four[0].beat()
    own_redis.start()
    hands.now += 16
    four[0].beat()
    assert four[0].replicas == 4
    for _ in range(8):  # the others are gone for good
        hands.now += 5
        four[0].beat()
    assert four[0].replicas == 1


def test_a_process_that_never_saw_redis_reckons_with_the_number_that_is_set(hands: Hands) -> None:
    assert RULE is not None
    one = limiter("redis://127.0.0.1:1/0", "one", hands, least_replicas=4)
    admitted([one])
    hands.now += 100
    assert admitted([one]) == 25


def test_a_frozen_redis_costs_its_timeout_once(hands: Hands, own_redis: RedisServer) -> None:
    one = limiter(own_redis.url, "one", hands, seconds=0.2)
    one.beat()
    own_redis.signal(signal.SIGSTOP)
    began = time.monotonic()
    admitted([one])
    assert time.monotonic() - began < 1.0
    own_redis.signal(signal.SIGCONT)


def test_the_loop_asks_as_threads_do(own_redis: RedisServer, hands: Hands) -> None:
    async def ask() -> tuple[int, int]:
        assert RULE is not None
        one = limiter(own_redis.url, "one", hands)
        answers = await asyncio.gather(*(one.take_in_loop([Charge(RULE, "x", 1)]) for _ in range(150)))
        own_redis.kill()
        alone = [await one.take_in_loop([Charge(RULE, "y", 1)]) for _ in range(20)]
        await one.close()
        return sum(each.admitted for each in answers), sum(each.admitted for each in alone)

    assert asyncio.run(ask()) == (100, 5)


class Asking:
    """Real processes that ask without pause, and when they were admitted."""

    def __init__(self, url: str, text: str, count: int) -> None:
        self.times: list[tuple[float, bool]] = []
        argv = [sys.executable, "-m", "tests.foundation.one_limiter", url, text]
        self._processes = [
            subprocess.Popen([*argv, f"replica {n}"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for n in range(count)
        ]
        self._readers = [threading.Thread(target=self._read, args=(process,)) for process in self._processes]
        self.ready = 0
        for reader in self._readers:
            reader.start()
        wait_until(lambda: self.ready == count)

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "ready\n":
                self.ready += 1
            else:
                at, alone = line.split()
                self.times.append((float(at), alone == "1"))

    def stop(self) -> None:
        for process in self._processes:
            process.communicate()
        for reader in self._readers:
            reader.join()

    def between(self, start: float, end: float) -> int:
        return sum(start <= at < end for at, _ in self.times)

    def most_in(self, seconds: float, start: float, end: float) -> int:
        """The most in any stretch of so many seconds that begins between two times."""
        times = sorted(at for at, _ in self.times)
        return max((self.between(at, at + seconds) for at in times if start <= at < end), default=0)


@contextlib.contextmanager
def asking(url: str, text: str, count: int) -> Iterator[Asking]:
    made = Asking(url, text, count)
    try:
        yield made
    finally:
        made.stop()


def test_four_processes_hold_the_limit_with_redis_without_it_and_when_it_returns(own_redis: RedisServer) -> None:
    """Counted from outside. 100 units in half a second, asked for about five times as fast."""
    limit, seconds = 100, 0.5
    with asking(own_redis.url, f"sliding-window {limit}/{seconds}", 4) as fleet:
        time.sleep(0.7)
        begun = time.monotonic()
        time.sleep(1.5)
        killed = time.monotonic()
        own_redis.kill()
        time.sleep(1.5)
        returned = time.monotonic()
        own_redis.start()
        time.sleep(4.0)
        ended = time.monotonic()
    with_redis = fleet.between(begun, killed) / limit
    without = fleet.between(killed + 0.05, returned) / limit
    after = fleet.between(returned, ended) / limit
    # how little is admitted is the machine's mood, how much is not
    assert 0.2 * (killed - begun) / seconds <= with_redis <= (killed - begun) / seconds + 1
    assert 0.2 * (returned - killed) / seconds <= without <= 1.1 * (returned - killed) / seconds
    assert 0.2 * (ended - returned) / seconds <= after <= 1.1 * (ended - returned) / seconds
    # No burst, neither at its death nor at its return: limits filled anew would let through twice the limit. What comes unevenly makes
    # a sliding window let through somewhat more than the limit.
    assert fleet.most_in(seconds, killed - seconds, ended - seconds) <= 1.6 * limit
    last = [alone for at, alone in fleet.times if at > ended - 1.0]
    assert last.count(False) > len(last) / 2  # back, but for who was made to wait too long for an answer
