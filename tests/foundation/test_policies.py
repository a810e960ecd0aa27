"""The table of outgoing calls: complete, explained, and switched off by names that are in it."""

from __future__ import annotations

import dataclasses

import pytest

from foundation.errors import CODES, Failure
from foundation.resilience.policies import DATABASE, TABLE, Part, is_fault, is_timeout, switches
from foundation.settings import Settings


@pytest.mark.parametrize("call", TABLE)
def test_every_row_says_what_it_is_and_why_it_lacks_a_part(call: str) -> None:
    policy = TABLE[call]
    assert policy.what
    assert policy.why or set(policy.parts()) == set(Part)
    assert policy.parts()


@pytest.mark.parametrize("call", [call for call, policy in TABLE.items() if isinstance(policy.timeout, str) and policy.timeout])
def test_every_timeout_is_a_setting(call: str) -> None:
    section, _, field = str(TABLE[call].timeout).partition(".")
    assert getattr(getattr(Settings(), section), field) > 0


@pytest.mark.parametrize("call", TABLE)
def test_every_fault_is_an_exception_or_a_code(call: str) -> None:
    import builtins
    import importlib

    for name in TABLE[call].faults:
        if name in CODES:
            continue
        module, _, kind = name.rpartition(".")
        found = getattr(builtins if module == "builtins" else importlib.import_module(module), kind)
        assert issubclass(found, Exception)


def test_only_one_layer_retries_and_the_table_says_which() -> None:
    """What chunks, deliveries and upkeep repeat themselves is not repeated here."""
    assert {call for call, policy in TABLE.items() if policy.retry} == {"database-connect", "database-statement", "redis", "client"}
    assert TABLE["database-connect"].retry.tries == 5  # type: ignore[union-attr]
    assert TABLE["database-statement"].retry.tries == 3  # type: ignore[union-attr]


def test_a_fault_is_found_by_its_class_its_bases_and_its_code() -> None:
    assert is_fault(TABLE["broker"], ConnectionResetError())
    assert is_fault(DATABASE, Failure("DATABASE_UNAVAILABLE"))
    assert not is_fault(DATABASE, Failure("PART_NOT_FOUND"))
    assert not is_fault(TABLE["broker"], ValueError())
    assert is_timeout(TimeoutError())
    assert not is_timeout(ConnectionError())


def test_parts_are_switched_off_by_name() -> None:
    off = switches("webhook.breaker, redis.retry redis.bulkhead")
    assert off.on("webhook").breaker is None
    assert set(off.on("redis").parts()) == {Part.BREAKER}
    assert off.on("broker") is TABLE["broker"]


@pytest.mark.parametrize("wrong", ["webhook", "webhook.", "nobody.retry", "redis.limiter", "webhook.retry", "limits.breaker", "redis.fuse"])
def test_names_that_are_not_in_the_table_are_refused_at_the_start(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADMILL_RESILIENCE_OFF", wrong)
    with pytest.raises(Failure) as failure:
        Settings.load()
    assert failure.value.code == "CONFIG_INVALID"
    assert wrong.rstrip(".") in str(failure.value.context)


def test_the_setting_reaches_the_switches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADMILL_RESILIENCE_OFF", "redis.retry")
    assert Settings.load().resilience.switches.on("redis") == dataclasses.replace(TABLE["redis"], retry=None)
