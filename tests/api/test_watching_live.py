"""A job that workers do, heard from its acceptance to its end."""

from __future__ import annotations

import time

from api.cli.client import Client
from foundation.progress import THIN_SECONDS
from tests.api.live.conftest import listener
from tests.stack import Stack


def test_a_job_is_told_from_its_start_to_its_end_without_an_event_an_item(stack: Stack) -> None:
    with listener(stack, "topic:jobs") as client:
        begun = time.monotonic()
        job = stack.submit("probe", {"items": 600, "ms": 2, "faults": {3: "fail"}})["id"]
        ended = client.next("job.state", 60, id=job, state="partial")
        lasted = time.monotonic() - begun
    told = [each["data"] for each in client.told if each.get("job") == job]
    assert [each["state"] for each in told][:2] == ["queued", "running"]
    assert ended["data"]["counts"] == {"total": 600, "succeeded": 599, "failed": 1, "cancelled": 0, "pending": 0}
    left = [each["counts"]["pending"] for each in told]
    assert left == sorted(left, reverse=True), "it never goes back"
    processes = 2
    assert len(told) <= 3 + processes * (lasted / THIN_SECONDS + 1)


def test_the_command_line_follows_a_running_job_live(stack: Stack) -> None:
    with Client(stack.url, stack.key) as client:
        job = client.submit("probe", {"items": 300, "ms": 10})["id"]
        states = list(client.follow(job))
    assert states[-1]["state"] == "succeeded"
    assert states[-1]["counts"]["succeeded"] == 300
    assert any(each["state"] == "running" and each["counts"]["succeeded"] > 0 for each in states)
