"""Counts what comes against limits: in Redis, one round trip for all limits of a request; without Redis, each process its share.

Nothing here ever fails open:

* All limits of a request are asked together, and it is charged to all of them or to none.
* When Redis is lost, a process lets through `limit / replicas`. It cannot know what others let through a moment ago, so every subject's
  share begins with nineteen twentieths of it used up, and comes back at the limit's own pace.
* When Redis returns, or was emptied under us, it has forgotten what was spent. So the shares stay in force beside it until every limit
  would have forgotten that too. A key of its own tells each process, with any answer, that Redis is not the one it was.

Replicas are counted by a heartbeat in Redis. The number goes down only after Redis was there long enough for all of them to have
shown themselves; where it was never seen, the number is the one that is set.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import redis
import redis.asyncio

from foundation import keyspace
from foundation.clock import SYSTEM, Clock
from foundation.resilience import rates
from foundation.resilience.breaker import ONE_FAILURE, Breaker
from foundation.resilience.breaker import State as Position
from foundation.resilience.policies import TABLE
from foundation.resilience.protection import HERE
from foundation.resilience.rates import Limit, State
from foundation.telemetry import LimiterAlone, LimiterBack, emit

BEAT_SECONDS = 5.0
_SILENT_SECONDS = 30.0
"""A replica that has not shown itself for so long is gone."""
_USED_AT_LOSS = 0.95
_SUBJECTS = 50_000
"""Subjects a process remembers on its own; the one not seen for longest leaves first."""
_GONE = (redis.RedisError, OSError)

_SCRIPT = """
local time = redis.call('TIME')
local now = tonumber(ARGV[1])
if now < 0 then now = tonumber(time[1]) + tonumber(time[2]) / 1000000 end
if ARGV[2] ~= '' then
  redis.call('ZADD', KEYS[1], now, ARGV[2])
  redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[3])
  redis.call('EXPIRE', KEYS[1], 3600)
end
local replicas = redis.call('ZCARD', KEYS[1])
local epoch = redis.call('GET', KEYS[2])
if not epoch then
  epoch = string.format('%.6f', now)
  redis.call('SET', KEYS[2], epoch)
end
local answer, states = {string.format('%.6f', now), replicas, 1, epoch}, {}
for i = 3, #KEYS do
  local a = 4 + (i - 3) * 7
  local windowed, burst, pace, need = ARGV[a] == '1', tonumber(ARGV[a + 1]), tonumber(ARGV[a + 2]), tonumber(ARGV[a + 3])
  local kept, level, before, at = redis.call('GET', KEYS[i]), 0, 0, now
  if windowed then at = math.floor(now / pace) * pace end
  if kept then
    local one, two, three = string.match(kept, '(%S+) (%S+) (%S+)')
    level, before, at = tonumber(one), tonumber(two), tonumber(three)
  end
  local used
  if windowed then
    local passed = math.max(0, math.floor((now - at) / pace))
    if passed == 1 then before = level elseif passed > 1 then before = 0 end
    if passed > 0 then level = 0; at = at + passed * pace end
    used = level + before * (1 - math.min(1, math.max(0, (now - at) / pace)))
  else
    level = math.max(0, level - math.max(0, now - at) * pace)
    at = math.max(now, at)
    used = level
  end
  local fits = 0
  if used + need <= burst + 0.000001 then fits = 1 else answer[3] = 0 end
  states[i] = {level, before, at, fits}
end
for i = 3, #KEYS do
  local a, state = 4 + (i - 3) * 7, states[i]
  if answer[3] == 1 and ARGV[a + 5] == '1' then
    state[1] = state[1] + tonumber(ARGV[a + 4])
    redis.call('SET', KEYS[i], string.format('%.9f %.9f %.6f', state[1], state[2], state[3]), 'PX', ARGV[a + 6])
  end
  answer[#answer + 1] = string.format('%d %.9f %.9f %.6f', state[4], state[1], state[2], state[3])
end
return answer
"""


@dataclass(frozen=True, slots=True)
class Charge:
    """`cost` units for a subject of a limit. `peek`: ask whether they would fit, and take nothing."""

    limit: Limit
    subject: str
    cost: float
    peek: bool = False

    @property
    def key(self) -> str:
        return keyspace.limit_key(self.limit.name, self.subject)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one limit said: whether it had room, the units left, seconds until it has room again, and until it has one unit more."""

    limit: Limit
    fits: bool
    remaining: int
    wait: float
    more: float


@dataclass(frozen=True, slots=True)
class Answer:
    """`admitted` only if every limit had room. `alone`: Redis was not asked."""

    admitted: bool
    verdicts: tuple[Verdict, ...]
    alone: bool


@dataclass(slots=True)
class _Asking:
    """One question on its way to Redis, with what the own shares say while they are in force."""

    charges: Sequence[Charge]
    ticket: int
    shares: Answer | None
    beat: bool
    keys: list[str]
    arguments: list[Any]


class Limiter:
    """The limiter of one process; threads and the event loop share it. `name` is what it is counted by among its replicas."""

    def __init__(
        self, client: redis.Redis, loop_client: Callable[[], redis.asyncio.Redis], name: str, least_replicas: int = 1, clock: Clock = SYSTEM
    ) -> None:
        self._clock, self._name, self._least = clock, name, least_replicas
        self._breaker = Breaker(TABLE["limits"].breaker or ONE_FAILURE, clock)
        HERE.watch("limits", self._breaker)
        self._script = client.register_script(_SCRIPT)
        self._loop_client = loop_client
        self._loop_redis: redis.asyncio.Redis | None = None
        self._loop_script: Any = None
        self._lock = threading.Lock()  # the breaker moves under it too, so that both always agree
        self._states: OrderedDict[str, State] = OrderedDict()
        self._lost_at: float | None = None
        self._shares_since, self._shares_until = clock.tick(), 0.0  # in force while Redis is lost, and so long beside it
        self._epoch: bytes | None = None  # of the Redis that was last seen
        self._reached_at = clock.tick()  # since when it answers
        self._longest = 0.0
        self._replicas, self._beat_at = least_replicas, -BEAT_SECONDS

    @property
    def replicas(self) -> int:
        """How many processes share the limits, as far as is known."""
        return self._replicas

    # asking

    def take(self, charges: Sequence[Charge]) -> Answer:
        """Take all charges or none."""
        asking = self._begin(charges)
        if isinstance(asking, Answer):
            return asking
        try:
            reply = self._script(asking.keys, asking.arguments)
        except _GONE as error:
            return self._lost(asking, error)
        except BaseException:
            self._breaker.leave(asking.ticket)
            raise
        return self._settle(asking, reply)

    async def take_in_loop(self, charges: Sequence[Charge]) -> Answer:
        """The same without holding a thread."""
        if self._loop_script is None:
            self._loop_redis = self._loop_client()
            self._loop_script = self._loop_redis.register_script(_SCRIPT)
        asking = self._begin(charges)
        if isinstance(asking, Answer):
            return asking
        try:
            reply = await self._loop_script(asking.keys, asking.arguments)
        except _GONE as error:
            return self._lost(asking, error)
        except BaseException:
            self._breaker.leave(asking.ticket)
            raise
        return self._settle(asking, reply)

    def beat(self) -> None:
        """Show that this replica is there, and look whether Redis is. Call it every few seconds, also when nobody asks."""
        self.take(())

    async def close(self) -> None:
        if self._loop_redis is not None:
            await self._loop_redis.aclose()

    # with Redis

    def _begin(self, charges: Sequence[Charge]) -> _Asking | Answer:
        with self._lock:
            now = self._clock.tick()
            self._longest = max([self._longest, *(charge.limit.memory for charge in charges)])
            ticket = self._breaker.enter()
            if ticket is None:
                return self._of_shares(charges, now)
            in_force = self._lost_at is not None or now < self._shares_until
            shares = self._of_shares(charges, now) if in_force else None
            beat = now - self._beat_at >= BEAT_SECONDS
            if beat:
                self._beat_at = now
        time = -1.0 if self._clock is SYSTEM else self._clock.now()
        keys = [keyspace.LIMIT_REPLICAS, keyspace.LIMIT_EPOCH, *(charge.key for charge in charges)]
        arguments: list[Any] = [time, self._name if beat else "", _SILENT_SECONDS]
        refused = shares is not None and not shares.admitted
        for charge in charges:
            limit, cost = charge.limit, charge.cost
            pace = limit.seconds if limit.windowed else limit.rate
            takes = int(not charge.peek and not refused)
            kept = ceil(limit.memory * 1000) + 1000
            arguments += [int(limit.windowed), limit.burst, pace, limit.needs(cost), cost, takes, kept]
        return _Asking(charges, ticket, shares, beat, keys, arguments)

    def _settle(self, asking: _Asking, reply: Sequence[Any]) -> Answer:
        with self._lock:
            tick = self._clock.tick()
            was = self._breaker.state
            self._breaker.leave(asking.ticket, failed=False)
            closed = was is Position.HALF_OPEN and self._breaker.state is Position.CLOSED
            lost = self._lost_at if closed else None
            emptied = self._epoch is not None and self._epoch != reply[3]
            self._epoch = reply[3]
            if lost is not None:
                self._lost_at = None
            if emptied and lost is None and tick >= self._shares_until:
                self._begin_shares(tick)
            if emptied or lost is not None:
                self._reached_at, self._shares_until = tick, tick + self._longest
            settled = tick - self._reached_at > _SILENT_SECONDS
            self._replicas = max(int(reply[1]), self._least, 0 if settled else self._replicas)
            shares = asking.shares or (self._of_shares(asking.charges, tick) if emptied else None)
        if lost is not None:
            emit(LimiterBack(tick - lost))
        if shares is not None and not shares.admitted:
            return shares
        now = float(reply[0])
        verdicts = []
        for charge, line in zip(asking.charges, reply[4:], strict=True):
            fits, level, before, at = line.split()
            verdicts.append(_verdict(charge, State(float(level), float(before), float(at)), now, fits == b"1"))
        return Answer(bool(reply[2]), tuple(verdicts), False)

    # without

    def _lost(self, asking: _Asking, error: Exception) -> Answer:
        with self._lock:
            now = self._clock.tick()
            was = self._breaker.state
            self._breaker.leave(asking.ticket, failed=True)
            opened = was is Position.CLOSED and self._breaker.state is Position.OPEN
            if opened:
                if now >= self._shares_until:
                    self._begin_shares(now)
                self._lost_at = now
            if asking.beat:
                self._beat_at = -BEAT_SECONDS  # nobody heard it
            answer = asking.shares or self._of_shares(asking.charges, now)
        if opened:
            emit(LimiterAlone(self._replicas, type(error).__name__))
        return answer

    def _begin_shares(self, now: float) -> None:
        """Not while they are in force already: a second outage must not fill them anew."""
        self._states.clear()
        self._shares_since = now

    def _of_shares(self, charges: Sequence[Charge], now: float) -> Answer:
        """All or none of the charges, from what is this process's own."""
        found = []
        for charge in charges:
            limit = charge.limit.share(self._replicas)
            state = self._states.get(charge.key) or rates.spent(limit, _USED_AT_LOSS, self._shares_since)
            state = rates.roll(limit, state, now)
            found.append((charge, limit, state, rates.fits(limit, state, now, charge.cost)))
        admitted = all(fits for *_, fits in found)
        verdicts = []
        for charge, limit, state, fits in found:
            after = rates.spend(state, charge.cost) if admitted and not charge.peek else state
            self._states[charge.key] = after
            self._states.move_to_end(charge.key)
            verdicts.append(_verdict(Charge(limit, charge.subject, charge.cost), after, now, fits))
        while len(self._states) > _SUBJECTS:
            self._states.popitem(last=False)
        return Answer(admitted, tuple(verdicts), True)


def _verdict(charge: Charge, state: State, now: float, fits: bool) -> Verdict:
    limit = charge.limit
    remaining = max(0, floor(limit.burst - rates.used(limit, state, now) + rates.SLACK))
    more = rates.wait(limit, state, now, remaining + 1) if remaining < limit.burst else 0.0
    return Verdict(limit, fits, remaining, 0.0 if fits else rates.wait(limit, state, now, charge.cost), more)
