"""Rate limits as the doors ask for them: what a request costs, whom it is charged to, and what the caller is told.

A request is charged to the address it comes from, to its key, to its tenant, and to everybody together. Whose key it is gets known only
by asking the database. But a key that was good a moment ago is remembered, so that all its tiers are asked at the door in one round
trip, before the body is read, and a refusal costs no database. `admit` judges the key all the same.

Wrong keys and admin tokens are guesses. They have a limit of their own, by address and by key; past it an address is refused
before anything is looked up, except with a key that was good lately, so that a guesser does not lock out its neighbours.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from math import ceil

from foundation import caller, keyspace
from foundation.clock import SYSTEM, Clock
from foundation.errors import Failure
from foundation.resilience import rates
from foundation.resilience.limiter import Answer, Charge, Limiter, Verdict
from foundation.resilience.rates import Limit
from foundation.settings import Settings
from foundation.telemetry import LimitsAsked, emit

EXEMPT = ("/health/", "/metrics")
_VERSION = re.compile(r"^/api(?:/v\d+)?(?=/)")
_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})
_REMEMBERED_SECONDS = 60.0
_REMEMBERED_KEYS = 10_000
_GUESSES = frozenset({"API_KEY_UNKNOWN", "ADMIN_TOKEN_UNKNOWN"})
_HIDDEN = frozenset({"global", "guess"})
"""Tiers whose rest is not told with every answer: what others do is not the caller's business."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Units that requests cost whose path goes on like this behind `/api/vN`. `looking`: those that change nothing, else those that do."""

    what: str
    begins: str
    looking: bool
    units: int


COSTS = (  # the first row that fits
    Cost("upload files", "/parts", False, 10),
    Cost("submit a job, or change many", "/jobs", False, 5),
    Cost("start a schedule", "/schedules", False, 5),
    Cost("report duplicates", "/duplicates", True, 10),
    Cost("preview a migration", "/vectors/migrate", True, 5),
    Cost("verify or export the audit trail", "/audit/", True, 10),
    Cost("look", "", True, 1),
    Cost("change something else", "", False, 2),
)


def cost_of(method: str, path: str) -> int:
    """Units a request costs; 0: it is exempt."""
    if path.startswith(EXEMPT):
        return 0
    rest, looking = _VERSION.sub("", path), method in _LOOKING
    return next(row.units for row in COSTS if rest.startswith(row.begins) and row.looking is looking)


def address_of(origin: str) -> str:
    """What counts as one address: all of an IPv4 one, the /64 of an IPv6 one, which one host has to itself."""
    try:
        address = ip_address(origin.partition("%")[0])
    except ValueError:
        return "local"  # a Unix socket, or nothing from outside
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped) if address.ipv4_mapped else str(IPv6Address(int(address) >> 64 << 64)) + "/64"


@dataclass(frozen=True, slots=True)
class _Good:
    """A key that was good until a moment ago."""

    key_id: str
    tenant_id: str
    until: float


class Limits:
    """The rate limits of one process."""

    def __init__(self, limiter: Limiter, limits: Mapping[str, Limit], clock: Clock = SYSTEM) -> None:
        self._limiter, self._limits, self._clock = limiter, limits, clock
        self._salt = secrets.token_bytes(16)
        self._good: OrderedDict[bytes, _Good] = OrderedDict()
        self._lock = threading.Lock()

    # at the door

    async def enter(self, method: str, path: str, key: str | None) -> None:
        """Charge a request before its body is read. Raises RATE_LIMITED."""
        asker = caller.current()
        asker.cost = cost_of(method, path)
        if asker.cost and (charges := self._on_entering(asker, key, asker.cost)):
            self._note(asker, charges, await self._limiter.take_in_loop(charges))

    # in `admit`, whatever the door

    @contextmanager
    def judging(self, key: str, cost: int) -> Iterator[None]:
        """Around the look-up of a key or an admin token. Charges what no door has charged; counts what was guessed. Raises RATE_LIMITED."""
        asker = caller.current()
        if not asker.limits and self._to_be_charged(asker):
            self._take(asker, self._on_entering(asker, key, cost))
        try:
            yield
        except Failure as failure:
            if failure.code in _GUESSES:
                self._forget(key)
                if self._to_be_charged(asker):
                    self._take(asker, self._guesses(asker, key, peek=False))
            raise

    def charge(self, key: str, key_id: str, tenant_id: str, cost: int) -> None:
        """Charge a request whose key was good to its user and tenant, unless the door has. Raises RATE_LIMITED."""
        self._remember(key, key_id, tenant_id)
        asker = caller.current()
        if "user" in asker.limits or "tenant" in asker.limits or not self._to_be_charged(asker):
            return
        self._take(asker, self._charges({"user": key_id, "tenant": tenant_id}, asker.cost or cost))

    def refuse_guessers(self, key: str) -> None:
        """Before an admin token is judged. Raises RATE_LIMITED for a key or an address that guessed too often."""
        asker = caller.current()
        if self._to_be_charged(asker):
            self._take(asker, self._guesses(asker, key, peek=True))

    # keeping it going

    def beat(self) -> None:
        self._limiter.beat()

    async def close(self) -> None:
        await self._limiter.close()

    def _to_be_charged(self, asker: caller.Caller) -> bool:
        """Whether somebody asks from outside: what our own processes do is not limited."""
        return bool(asker.request_id)

    def _on_entering(self, asker: caller.Caller, key: str | None, cost: int) -> list[Charge]:
        subjects = {"ip": address_of(asker.origin), "global": "all"}
        good = self._known(key) if key else None
        if good is None:
            return [*self._charges(subjects, cost), *self._guesses(asker, None, peek=True)]
        return self._charges(subjects | {"user": good.key_id, "tenant": good.tenant_id}, cost)

    def _guesses(self, asker: caller.Caller, key: str | None, peek: bool) -> list[Charge]:
        """A guess counts against the address, and against the key it was made for (whose id stands between the first two underscores)."""
        if "guess" not in self._limits:
            return []
        subjects = [address_of(asker.origin)]
        if key is not None:
            subjects.append("key:" + hashlib.sha256("_".join(key.split("_")[:2]).encode()).hexdigest()[:16])
        return [Charge(self._limits["guess"], subject, 1, peek) for subject in subjects]

    def _charges(self, subjects: Mapping[str, str], cost: int) -> list[Charge]:
        return [Charge(self._limits[tier], subject, cost) for tier, subject in subjects.items() if tier in self._limits]

    def _take(self, asker: caller.Caller, charges: Sequence[Charge]) -> None:
        if charges:
            self._note(asker, charges, self._limiter.take(charges))

    def _note(self, asker: caller.Caller, charges: Sequence[Charge], answer: Answer) -> None:
        refused = max((verdict for verdict in answer.verdicts if not verdict.fits), key=lambda verdict: verdict.wait, default=None)
        tiers = tuple(charge.limit.name for charge in charges if not charge.peek)
        asker.limits |= {verdict.limit.name: verdict for verdict in answer.verdicts}
        emit(LimitsAsked(tiers, refused.limit.name if refused else "", answer.alone))
        if refused is not None:
            raise _failure(refused)

    # keys that were good

    def _digest(self, key: str) -> bytes:
        return hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=16, key=self._salt).digest()

    def _known(self, key: str) -> _Good | None:
        with self._lock:
            good = self._good.get(self._digest(key))
        return good if good is not None and self._clock.tick() < good.until else None

    def _remember(self, key: str, key_id: str, tenant_id: str) -> None:
        digest, good = self._digest(key), _Good(key_id, tenant_id, self._clock.tick() + _REMEMBERED_SECONDS)
        with self._lock:
            self._good[digest] = good
            self._good.move_to_end(digest)
            if len(self._good) > _REMEMBERED_KEYS:
                self._good.popitem(last=False)

    def _forget(self, key: str) -> None:
        with self._lock:
            self._good.pop(self._digest(key), None)


def of(settings: Settings) -> Limits:
    """The rate limits as they are set."""
    wait, least = settings.limit.redis_seconds, settings.limit.replicas
    limiter = Limiter(
        keyspace.limits_client(settings.redis, wait),
        lambda: keyspace.limits_loop_client(settings.redis, wait),
        settings.process.name,
        least,
    )
    written = {
        "ip": settings.limit.ip,
        "user": settings.limit.user,
        "tenant": settings.limit.tenant,
        "global": settings.limit.everybody,
        "guess": settings.limit.guess,
    }
    return Limits(limiter, {name: limit for name, text in written.items() if (limit := rates.parse(name, text)) is not None})


def headers(verdicts: Mapping[str, Verdict]) -> list[tuple[bytes, bytes]]:
    """`RateLimit-Policy` and `RateLimit` of draft-ietf-httpapi-ratelimit-headers-10, of the tiers that are the caller's own."""
    told = [verdict for name, verdict in verdicts.items() if name not in _HIDDEN]
    if not told:
        return []
    policy = ", ".join(f'"{v.limit.name}";q={int(v.limit.quantity)};w={ceil(v.limit.seconds)}' for v in told)
    rest = ", ".join(f'"{v.limit.name}";r={v.remaining};t={ceil(v.more)}' for v in told)
    return [(b"ratelimit-policy", policy.encode()), (b"ratelimit", rest.encode())]


def _failure(refused: Verdict) -> Failure:
    limit = refused.limit
    again = max(1, ceil(refused.wait))
    told = {"tier": limit.name, "limit": int(limit.quantity), "seconds": ceil(limit.seconds), "retry_after_seconds": again}
    return Failure("RATE_LIMITED", told, f"{_SENTENCES[limit.name]} Ask again in {again} s.")


_SENTENCES = {
    "ip": "Too much was asked from your address.",
    "user": "Too much was asked with this key.",
    "tenant": "Too much was asked by your tenant, with all its keys together.",
    "global": "This server is asked more than it may answer.",
    "guess": "Too many wrong keys or admin tokens came from your address, or for this key.",
}
