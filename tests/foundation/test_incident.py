"""A dependency is dead for a minute under 80 % load: retries do not keep it down, and all that waited is done soon after."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field, replace
from statistics import mean

from foundation.clock import Clock
from foundation.resilience.policies import TABLE, Policy, Switches
from foundation.resilience.protection import Refused, Registry, protect
from foundation.resilience.retry import RetryPolicy

CAPACITY, LOAD = 100, 80  # calls a second
WARM, DEAD, AFTER = 10.0, 60.0, 300.0
STEP = 1 / CAPACITY
POLICY = replace(TABLE["broker"], retry=TABLE["database-connect"].retry)


class _Always(Switches):
    def on(self, call: str) -> Policy:
        return POLICY


@dataclass
class Incident:
    """One caller after the other; a wait between tries takes no time here, which is worse than it is."""

    attempts: int = 0
    jobs: int = 0
    done: list[tuple[float, bool]] = field(default_factory=list)

    def run(self, seed: int) -> None:
        now, chance, of_jobs = 0.0, random.Random(seed), RetryPolicy(1 << 30, 2.0, 60.0)
        due: list[tuple[float, int, int]] = []

        def ask() -> None:
            self.attempts += 1
            if WARM <= now < WARM + DEAD:
                raise ConnectionError

        clock = Clock(now=lambda: now, tick=lambda: now, sleep=lambda _seconds: None, dice=chance.random)
        call, waiting = protect("redis", registry=Registry(clock, _Always()))(ask), False
        while now < WARM + DEAD + AFTER:
            now += STEP
            while self.jobs < now * LOAD:
                heapq.heappush(due, (self.jobs / LOAD, self.jobs, 0))
                self.jobs += 1
            if not due or due[0][0] > now:
                continue
            _, job, failed = heapq.heappop(due)
            try:
                call()
            except (ConnectionError, Refused):
                heapq.heappush(due, (now + (of_jobs.wait(failed + 1, chance.random()) or 60.0), job, failed + 1))
                waiting = True
                continue
            self.done.append((now, failed > 0))
            if waiting:  # the first success frees all that wait, oldest first, as the ledger's budgets do
                waiting, due = False, [(job / LOAD, job, failed) for _, job, failed in due]
                heapq.heapify(due)


def test_a_minute_of_death_under_load_makes_no_storm_and_is_over_soon() -> None:
    incident, back = Incident(), WARM + DEAD
    incident.run(20261127)
    assert incident.attempts <= 1.1 * incident.jobs
    after = [sum(back + s <= at < back + s + 1 for at, _ in incident.done) for s in range(60)]
    assert any(done >= 0.95 * LOAD for done in after)
    assert min(after[30:]) >= 0.95 * LOAD
    failed = [at - back for at, had_failed in incident.done if had_failed and at > back]
    assert len(failed) > 1_000, "the fault did not bite"
    assert mean(failed) < 30
    assert len(incident.done) >= incident.jobs - 1
