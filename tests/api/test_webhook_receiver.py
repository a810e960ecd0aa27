"""The sample receiver of `docs/`, run as its reader would run it."""

from __future__ import annotations

import base64
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from tests.stack import ROOT, wait_until

OLD, NEW, FOREIGN = ("whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(3))
BODY = '{"type": "job.succeeded", "seq": 1, "data": {"id": "job_1"}}'


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("receiver")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with (folder / "out").open("w") as out:
        argv = [sys.executable, str(ROOT / "docs" / "webhook_receiver.py"), str(port), str(folder / "seen.db")]
        process = subprocess.Popen(argv, env=os.environ | {"WEBHOOK_SECRETS": f"{OLD} {NEW}"}, stdout=out)

    def listens() -> bool:
        with socket.socket() as line:
            return line.connect_ex(("127.0.0.1", port)) == 0

    wait_until(listens, 30)
    yield f"http://127.0.0.1:{port}/", folder / "out"
    process.terminate()
    process.wait(10)


def _send(url: str, message: str, secret: str, body: str = BODY, minutes: float = 0, label: str = "") -> int:
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    signature = Webhook(secret).sign(message, at, body)
    headers = {"webhook-id": label or message, "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    return httpx2.post(url, content=body if body == BODY else BODY, headers=headers, trust_env=False).status_code


def test_it_acts_once_on_each_message_whichever_secret_signed_it(receiver: tuple[str, Path]) -> None:
    url, out = receiver
    before = out.read_text().count("job.succeeded")
    assert [_send(url, "msg_1", OLD), _send(url, "msg_1", NEW), _send(url, "msg_2", NEW)] == [204, 204, 204]
    assert out.read_text().count("job.succeeded") == before + 2


def test_what_is_forged_altered_stale_early_or_relabelled_is_refused(receiver: tuple[str, Path]) -> None:
    url, out = receiver
    before = out.read_text()
    assert _send(url, "msg_3", FOREIGN) == 401
    assert _send(url, "msg_3", OLD, body=BODY + " ") == 401
    assert _send(url, "msg_3", OLD, minutes=5.2) == 401
    assert _send(url, "msg_3", OLD, minutes=-5.2) == 401
    assert _send(url, "msg_3", OLD, label="msg_4") == 401
    assert httpx2.post(url, content=BODY, trust_env=False).status_code == 401
    assert out.read_text() == before
