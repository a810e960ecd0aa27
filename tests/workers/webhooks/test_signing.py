"""Signatures that any Standard Webhooks library accepts, and the waits between tries."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from workers.webhooks.send import next_wait, sign

SECRET = "whsec_" + base64.b64encode(b"twenty-four bytes of key").decode()
BODY = '{"type":"job.succeeded","name":"Flansch Ø 80 – 螺栓"}'
SCHEDULE = (0.0, 5.0, 300.0)


def _six_own_lines(secret: str, message_id: str, timestamp: str, body: str) -> str:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{message_id}.{timestamp}.{body}".encode()
    digest = hmac.new(key, text, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def test_six_own_lines_of_hmac_give_the_same_signature() -> None:
    headers = sign([SECRET], "msg_1", datetime.fromtimestamp(1_700_000_000.9, UTC), BODY)
    assert headers == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": _six_own_lines(SECRET, "msg_1", "1700000000", BODY),
    }


def test_a_known_signature_stays_what_it_is() -> None:
    """The example of the Standard Webhooks libraries: secret, id, time and body are public."""
    headers = sign(
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        '{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("hours", [-11, 0, 5.5, 14])
def test_the_time_zone_of_the_caller_changes_nothing(hours: float) -> None:
    now = datetime.now(timezone(timedelta(hours=hours)))
    headers = sign([SECRET], "msg_1", now, BODY)
    assert headers["webhook-timestamp"] == str(int(now.timestamp()))
    assert Webhook(SECRET).verify(BODY.encode(), headers)["type"] == "job.succeeded"


def test_a_body_of_bytes_is_refused_instead_of_signed_as_its_repr() -> None:
    with pytest.raises(TypeError):
        sign([SECRET], "msg_1", datetime.now(UTC), BODY.encode())  # type: ignore[arg-type]


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        sign([SECRET], "msg_1", datetime(2026, 1, 1), BODY)


@pytest.mark.parametrize("change", ["body", "id", "time", "old", "key", "version"])
def test_forged_altered_old_or_relabelled_deliveries_do_not_verify(change: str) -> None:
    headers = sign([SECRET], "msg_1", datetime.now(UTC) - timedelta(minutes=6 if change == "old" else 0), BODY)
    if change == "id":
        headers["webhook-id"] = "msg_2"
    if change == "time":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    if change == "version":
        headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,")
    secret = "whsec_" + base64.b64encode(b"another key").decode() if change == "key" else SECRET
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY + " " if change == "body" else BODY, headers)


def test_the_schedule_is_walked_and_then_used_up() -> None:
    assert [next_wait(tries, SCHEDULE, None, 0.0) for tries in range(5)] == [0.0, 5.0, 300.0, None, None]


def test_jitter_adds_up_to_a_fifth() -> None:
    assert next_wait(2, SCHEDULE, None, 1.0) == pytest.approx(360.0)


def test_a_receiver_that_asks_for_a_longer_wait_gets_it_and_a_shorter_one_is_not_obeyed() -> None:
    assert next_wait(1, SCHEDULE, 60.0, 0.0) == 60.0
    assert next_wait(2, SCHEDULE, 60.0, 0.0) == 300.0
    assert next_wait(3, SCHEDULE, 60.0, 0.0) is None


@given(st.integers(0, 2), st.one_of(st.none(), st.floats(0, 86_400)), st.floats(0, 1))
def test_no_wait_is_shorter_than_promised_or_longer_than_a_fifth_more(tries: int, retry_after: float | None, dice: float) -> None:
    wait = next_wait(tries, SCHEDULE, retry_after, dice)
    least = max(SCHEDULE[tries], retry_after or 0.0)
    assert wait is not None
    assert least <= wait <= least * 1.2 + 1e-9


def test_with_two_secrets_a_receiver_that_knows_either_accepts() -> None:
    other = "whsec_" + base64.b64encode(b"another secret of 32 bytes......").decode()
    headers = sign([other, SECRET], "msg_1", datetime.now(UTC), BODY)
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (SECRET, other):
        Webhook(secret).verify(BODY, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"a third one").decode()).verify(BODY, headers)
