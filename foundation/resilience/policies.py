"""Every call that leaves a process, and what stands around it: one table, and nothing else that decides.

Parts stand in this order, outermost first: limiter, bulkhead, breaker, retry. A part that a row does not have says why in `why`. Retries
belong to one layer only: where a row has none, somebody above owns them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from foundation.errors import Failure
from foundation.resilience.breaker import ONE_FAILURE, BreakerPolicy
from foundation.resilience.bulkhead import BulkheadPolicy
from foundation.resilience.rates import Limit, Strategy
from foundation.resilience.retry import RetryPolicy


class Part(StrEnum):
    LIMITER = "limiter"
    BULKHEAD = "bulkhead"
    BREAKER = "breaker"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Policy:
    """What stands around a call.

    `timeout`: the seconds its client is built with, or the setting that says them; the operating system counts them. Empty: see `why`.
    `faults`: exceptions by their full names, bases included, and codes of failures, that speak against what is called. Only those are
    counted by the breaker and retried; all others say nothing about it. `deadline_seconds`: after it no further try begins.
    `fixed`: parts that cannot be switched off.
    """

    what: str = ""
    timeout: str | float = ""
    limiter: Limit | None = None
    bulkhead: BulkheadPolicy | None = None
    breaker: BreakerPolicy | None = None
    retry: RetryPolicy | None = None
    deadline_seconds: float = 30.0
    faults: frozenset[str] = frozenset()
    why: str = ""
    fixed: frozenset[Part] = frozenset()

    def parts(self) -> dict[Part, Limit | BulkheadPolicy | BreakerPolicy | RetryPolicy]:
        """The parts this policy has, outermost first."""
        every = {Part.LIMITER: self.limiter, Part.BULKHEAD: self.bulkhead, Part.BREAKER: self.breaker, Part.RETRY: self.retry}
        return {part: it for part, it in every.items() if it is not None}


_OS = frozenset({"builtins.OSError"})
_SHORT = RetryPolicy(tries=1 << 30, first_seconds=0.5, most_seconds=2.0)  # asking again costs little, and users wait for the answer

DEFAULT = Policy(breaker=BreakerPolicy(), bulkhead=BulkheadPolicy(64, 5.0), faults=_OS)
DATABASE = Policy(
    breaker=BreakerPolicy(window=20, minimum=10, failure_rate=0.5, probes=1, probe_seconds=20.0, pauses=_SHORT),
    faults=frozenset({
        "sqlalchemy.exc.OperationalError", "sqlalchemy.exc.InterfaceError", "sqlalchemy.exc.TimeoutError", "DATABASE_UNAVAILABLE",
    }),
)  # fmt: skip
NETWORK = replace(
    DEFAULT, breaker=BreakerPolicy(window=20, minimum=10, failure_rate=0.5, probes=2, pauses=_SHORT), bulkhead=BulkheadPolicy(64, 2.0)
)

_REDIS_FAULTS = _OS | {"redis.exceptions.ConnectionError", "redis.exceptions.TimeoutError"}

CLIENT_SECONDS = 300.0
"""How long the command line waits for an answer."""

TABLE: Mapping[str, Policy] = {
    "database-connect": replace(
        DATABASE,
        what="a connection from the pool, opened where there is none",
        timeout="database.connect_seconds",
        retry=RetryPolicy(tries=5, first_seconds=0.05, most_seconds=0.4),
        deadline_seconds=2.0,  # a request waits meanwhile
        why="no limiter, no bulkhead: the pool is one",
    ),
    "database-statement": replace(
        DATABASE,
        what="the begin of a transaction, before anything was done in it",
        timeout="database.busy_seconds",
        retry=RetryPolicy(tries=3, first_seconds=0.05, most_seconds=0.2),
        deadline_seconds=2.0,  # who waited for another writer as long as is allowed is not made to wait again
        why="no limiter, no bulkhead: the pool is one; what comes after the begin is repeated by the attempts of a chunk, or by who asked",
    ),
    "redis": replace(
        NETWORK,
        what="one command or pipeline",
        timeout="redis.publish_seconds",
        breaker=BreakerPolicy(window=20, minimum=5, failure_rate=0.5, slow_seconds=1.0, slow_rate=0.8, probes=1, pauses=_SHORT),
        retry=RetryPolicy(tries=2, first_seconds=0.02, most_seconds=0.02),
        deadline_seconds=1.0,
        faults=_REDIS_FAULTS,
        why="no limiter; only commands that read are retried, for one that writes may have been done",
    ),
    "live": replace(
        NETWORK,
        what="reading the stream of live events, once",
        timeout=5.0,
        breaker=BreakerPolicy(window=5, minimum=3, probes=1, pauses=RetryPolicy(tries=1 << 30, first_seconds=0.2, most_seconds=0.5)),
        bulkhead=None,
        faults=_REDIS_FAULTS,
        why="no limiter, no bulkhead: one reader a process; no retry: it begins anew each second, and tells of the gap",
    ),
    "limits": replace(
        NETWORK,
        what="asking Redis what is left of rate limits",
        timeout="limit.redis_seconds",
        breaker=ONE_FAILURE,
        bulkhead=None,
        faults=_REDIS_FAULTS,
        why="no retry: the process counts by itself instead; the breaker is how it knows when",
        fixed=frozenset({Part.BREAKER}),
    ),
    "broker": replace(
        NETWORK,
        what="publishing a batch of rings",
        timeout="redis.publish_seconds",
        breaker=BreakerPolicy(window=10, minimum=3, failure_rate=0.5, probes=1, pauses=_SHORT),
        faults=_REDIS_FAULTS | {"kombu.exceptions.KombuError"},
        why="no limiter: the ledger's window is one; no retry: upkeep rings again what is not there",
    ),
    "webhook": replace(
        NETWORK,
        what="one try of a delivery, by host",
        timeout="webhook.timeout_seconds",
        breaker=BreakerPolicy(
            window=20, minimum=10, failure_rate=0.9, slow_seconds=10.0, slow_rate=0.9, probes=1, probe_seconds=60.0,
            pauses=RetryPolicy(tries=1 << 30, first_seconds=2.0, most_seconds=30.0),
        ),
        limiter=Limit("webhook", Strategy.TOKEN_BUCKET, 100, 1, 200),
        bulkhead=None,
        why="no bulkhead: the claim counts what is in flight to a host, over all couriers; no retry: a delivery "
        "has a schedule. One that is refused here waits, and is charged no try",
    ),
    "names": replace(
        NETWORK,
        what="looking up the host of a receiver",
        timeout="webhook.timeout_seconds",
        breaker=None,
        bulkhead=BulkheadPolicy(32, 5.0, threads=True),
        why="getaddrinfo knows no timeout, so it has threads of its own; no breaker: names of many owners; retries are its caller's",
    ),
    "search": Policy(
        what="one batch of queries in the fast index",
        bulkhead=BulkheadPolicy(64, 30.0),
        why="no timeout: it computes, in process (pgvector: as the database); no breaker: workers/index/failover.py is one; no retry: the "
        "exact index answers the same call",
    ),
    "files": replace(
        DEFAULT,
        what="making an uploaded file or a preview durable",
        breaker=BreakerPolicy(window=20, minimum=10, failure_rate=0.5, slow_seconds=5.0, slow_rate=0.9, probes=1, pauses=_SHORT),
        bulkhead=BulkheadPolicy(64, 30.0),
        why="no timeout: a disk has none; no retry: who uploads sends again. A full disk is no fault of it",
    ),
    "sandbox": replace(
        DEFAULT,
        what="a new process that reads files",
        timeout="sandbox.start_seconds",
        breaker=BreakerPolicy(window=10, minimum=5, failure_rate=0.5, probes=1, probe_seconds=90.0, pauses=_SHORT),
        bulkhead=None,
        faults=frozenset({"SANDBOX_UNAVAILABLE", "builtins.OSError"}),
        why="no bulkhead: a worker has one zygote, behind a lock; no retry: a chunk is tried again",
    ),
    "client": Policy(
        what="a request of the command line that may be repeated",
        timeout=CLIENT_SECONDS,
        retry=RetryPolicy(tries=1000, first_seconds=0.2, most_seconds=3.0, jitter=0.25),
        deadline_seconds=30.0,
        why="no limiter, bulkhead or breaker: one caller, who should hear what the server says. Only answers that pass are faults",
    ),
}  # fmt: skip


def in_words(part: Limit | BulkheadPolicy | BreakerPolicy | RetryPolicy | None) -> str:
    """A part as the command line and the health route tell it."""
    match part:
        case Limit():
            return f"{part.strategy} {part.quantity:g}/{part.seconds:g} s, burst {part.burst:g}"
        case BulkheadPolicy():
            return f"{part.capacity} at once{' in threads' if part.threads else ''}, wait {part.wait_seconds:g} s"
        case BreakerPolicy():
            slow = f", or {part.slow_rate:.0%} slower than {part.slow_seconds:g} s" if part.slow_rate <= 1 else ""
            pause = f"{part.pauses.first_seconds:g} to {part.pauses.most_seconds:g} s"
            return f"{part.failure_rate:.0%} of {part.minimum} to {part.window} failed{slow}; open {pause}; {part.probes} to probe"
        case RetryPolicy():
            return f"{part.tries} tries, {part.growth} from {part.first_seconds:g} to {part.most_seconds:g} s"
        case None:
            return ""


@dataclass(frozen=True, slots=True)
class Switches:
    """Parts that are switched off, by call."""

    off: frozenset[tuple[str, Part]] = field(default_factory=frozenset)

    def on(self, call: str) -> Policy:
        """The policy of a call without the parts that are switched off."""
        policy = TABLE[call]
        gone = {part.value: None for part in Part if (call, part) in self.off}
        return replace(policy, **gone) if gone else policy  # type: ignore[arg-type]


def switches(text: str) -> Switches:
    """What `CALL.PART, CALL.PART` switches off. Raises ValueError in a sentence for names that are not in the table."""
    off = set()
    for name in text.replace(",", " ").split():
        call, dot, part = name.rpartition(".")
        if not dot or call not in TABLE:
            raise ValueError(f"{name}: write CALL.PART, CALL one of {', '.join(TABLE)}")
        has = [each for each in TABLE[call].parts() if each not in TABLE[call].fixed]
        if part not in has:
            raise ValueError(f"{name}: of {call} can be switched off: {', '.join(has) or 'nothing'}")
        off.add((call, Part(part)))
    return Switches(frozenset(off))


def _names(kind: type[BaseException]) -> frozenset[str]:
    return frozenset(f"{each.__module__}.{each.__qualname__}" for each in kind.__mro__)


def is_fault(policy: Policy, error: Exception) -> bool:
    """Whether an exception speaks against what was called: the one place that decides it."""
    if isinstance(error, Failure):
        return error.code in policy.faults
    return not policy.faults.isdisjoint(_names(type(error)))


def is_timeout(error: BaseException) -> bool:
    return any(name.endswith("TimeoutError") for name in _names(type(error)))
