"""Doors that are no HTTP requests (WebSocket, gRPC) pay by `admit` alone: for address, key, tenant and everybody."""

from __future__ import annotations

import pytest

from api.limits import Limits
from foundation import caller, keyspace
from foundation.errors import Failure
from foundation.resilience import rates
from foundation.resilience.limiter import Limiter
from foundation.settings import RedisSettings
from tests.stack import RedisServer

WRITTEN = {"ip": 20, "user": 7, "tenant": 9, "global": 1000, "guess": 3}


@pytest.fixture
def limits(own_redis: RedisServer) -> Limits:
    here = RedisSettings(url=own_redis.url)
    limiter = Limiter(keyspace.limits_client(here, 5.0), lambda: keyspace.limits_loop_client(here, 5.0), "one")
    parsed = {name: rates.parse(name, f"token-bucket {units}/36000") for name, units in WRITTEN.items()}
    return Limits(limiter, {name: limit for name, limit in parsed.items() if limit is not None})


def call(limits: Limits, key: str, tenant: str = "acme", good: bool = True, origin: str = "192.0.2.1") -> str:
    """What `api.policy.admit` does with the limits; the code of what was raised."""
    try:
        with caller.asking(origin, "req_1") as asker:
            with limits.judging(key, 1):
                if not good:
                    raise Failure("API_KEY_UNKNOWN")
            limits.charge(key, key, tenant, 1)
            assert {"ip", "user", "tenant", "global"} <= set(asker.limits)
    except Failure as failure:
        return str(failure.context.get("tier") or failure.code)
    return "admitted"


def test_a_call_is_charged_to_all_four_tiers_once(limits: Limits) -> None:
    assert [call(limits, "one") for _ in range(8)] == ["admitted"] * 7 + ["user"]
    assert [call(limits, "two") for _ in range(3)] == ["admitted"] * 2 + ["tenant"]
    assert [call(limits, "three", "other") for _ in range(8)] == ["admitted"] * 7 + ["user"]
    assert [call(limits, "four", "third") for _ in range(6)].count("admitted") <= 4  # 20 from one address
    assert call(limits, "four", "third", origin="192.0.2.2") == "admitted"


def test_wrong_keys_are_guesses(limits: Limits) -> None:
    assert [call(limits, "a_b_c", good=False) for _ in range(5)] == ["API_KEY_UNKNOWN"] * 3 + ["guess"] * 2
    assert call(limits, "fresh") == "guess"
    assert call(limits, "fresh", origin="192.0.2.2") == "admitted"


def test_what_our_own_processes_do_is_not_limited(limits: Limits) -> None:
    for _ in range(30):
        with limits.judging("key", 1):
            pass
        limits.charge("key", "key", "acme", 1)
