"""The webhook receiver of the demo."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx2
from standardwebhooks.webhooks import Webhook

from api.cli.receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def deliver(receiver: Receiver, secret: str) -> int:
    now, body = datetime.now(UTC), json.dumps({"type": "job.succeeded", "timestamp": "now", "data": {}})
    signature = Webhook(secret).sign("msg_1", now, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    return httpx2.post(receiver.url, content=body, headers=headers, trust_env=False).status_code


def test_a_signed_delivery_is_received_and_a_forged_one_is_refused() -> None:
    with Receiver(SECRET) as receiver:
        assert deliver(receiver, "whsec_c29tZWJvZHkgZWxzZQ==") == 401
        assert receiver.wait(0.1) is None
        assert deliver(receiver, SECRET) == 204
        receipt = receiver.wait(5)
        assert receipt is not None
        assert receipt["id"] == "msg_1"
        assert receipt["type"] == "job.succeeded"
