"""Settings are read once and complain in sentences."""

from __future__ import annotations

import pickle

import pytest

from foundation.errors import CODES, Failure
from foundation.resilience.retry import RetryPolicy
from foundation.settings import Settings


def test_what_the_user_named_keeps_its_name_and_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().features.version == "v3"
    assert Settings.load().features.prewarm_max == 500
    monkeypatch.setenv("FEATURE_VERSION", "v4")
    monkeypatch.setenv("PREWARM_MAX", "7")
    assert Settings.load().features.version == "v4"
    assert Settings.load().features.prewarm_max == 7


def test_an_unusable_setting_is_named_with_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADMILL_API_PORT", "eighty")
    with pytest.raises(Failure) as caught:
        Settings.load()
    assert caught.value.code == "CONFIG_INVALID"
    assert "eighty" in str(caught.value.context)
    assert "PORT" in str(caught.value.context).upper()


def test_a_password_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CADMILL_DATABASE_URL", "postgresql://me:hunter2@db/x")
    monkeypatch.setenv("CADMILL_REDIS_URL", "redis://:hunter2@redis/0")
    monkeypatch.setenv("CADMILL_API_KEY", "hunter2")
    told = "\n".join(f"{name}={value}" for name, value, _ in Settings.load().table())
    assert "hunter2" not in told
    assert "postgresql://me:***@db/x" in told


def test_a_failure_tells_what_was_wrong_and_what_to_do() -> None:
    public = Failure("FILE_CORRUPT", {"line": 7}).public()
    assert public["message"] == CODES["FILE_CORRUPT"].sentence
    assert public["remedy"]
    assert public["context"] == {"line": 7}
    assert public["retryable"] is False


def test_a_failure_survives_the_way_between_processes() -> None:
    sent = Failure("FILE_CORRUPT", {"line": 7}, "line 7 is odd")
    came = pickle.loads(pickle.dumps(sent))
    assert (came.code, came.context, came.message) == (sent.code, sent.context, sent.message)


def test_waits_double_up_to_their_limit_and_end() -> None:
    policy = RetryPolicy(tries=6, first_seconds=1, most_seconds=10, jitter=0.5)
    assert [policy.wait(made, 0.0) for made in range(1, 7)] == [1, 2, 4, 8, 10, None]
    assert [policy.wait(made, 1.0) for made in range(1, 4)] == [0.5, 1, 2]
