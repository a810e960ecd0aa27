"""A stack in which there is something of everything, so that calls get further than to "not found"."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.receiver import Receiver
from tests.stack import SAMPLES, Stack, running

TOKEN = "the token of whoever runs this"
_FILES = ("dxf/ae.r2000a.dxf", "dxf/ae.r2013b.dxf", "dxf/wrench.dxf", "stl/angle_block.STL", "bad/truncated.dxf")
EVENTS = ["job.succeeded", "job.partial", "job.failed"]

Ids = dict[str, list[str]]
"""Values of path and query parameters that are there, by name."""


@contextmanager
def furnished(directory: Path, redis_url: str, database_url: str = "") -> Iterator[tuple[Stack, Ids]]:
    limits = {f"CADMILL_LIMIT_{tier}": "" for tier in ("IP", "USER", "TENANT", "GLOBAL", "GUESS")}
    limits |= {f"CADMILL_{what}_MAX_PER_TENANT": "100000" for what in ("SCHEDULE", "WEBHOOK")}
    limits |= {"CADMILL_PROBE": "0", "ADMIN_TOKEN": TOKEN}
    with running(directory, redis_url, database_url, "api", "compute", "courier", **limits) as stack, Receiver() as receiver:
        yield stack, _fill(stack, receiver.url)


def _fill(stack: Stack, receiver: str) -> Ids:
    parts = stack.upload(*(SAMPLES / name for name in _FILES), SAMPLES / _FILES[0])
    ids = [part["id"] for part in parts]
    jobs = [stack.submit("extraction", {"parts": ids, "feature_version": "v4", "previews": True}, callback_url=receiver)["id"]]
    stack.wait(jobs[0], 300)
    jobs.append(stack.submit("similarity", {"queries": "all", "feature_version": "v4", "scale_invariant": True})["id"])
    jobs.append(stack.submit("migration", {"from": "v4", "to": "v2"})["id"])
    jobs.append(stack.submit("migration", {"from": "v4", "to": "v3", "dry_run": True, "sample": 5})["id"])
    jobs.append(stack.submit("prewarm", {})["id"])
    jobs.append(stack.submit("extraction", {"parts": ids[:1]}, run_after=4e9, labels={"stays": "queued"})["id"])
    for job in jobs[:-1]:
        stack.wait(job, 300)
    review = {"first": ids[0], "second": ids[1], "mark": "confirmed", "note": "the same"}
    assert stack.http.put("/api/v1/reviews", json={"reviews": [review]}).is_success
    schedule = {"name": "nightly", "cron": "0 3 * * *", "job": {"kind": "extraction", "input": {"parts": ids[:1]}}}
    made = stack.http.post("/api/v1/schedules", json=schedule).json()["id"]
    assert stack.http.post(f"/api/v1/schedules/{made}/run").is_success
    hooks = [stack.http.post("/api/v1/webhooks", json={"url": receiver, "events": EVENTS}).json()["id"] for _ in range(2)]
    sent = [stack.http.post(f"/api/v1/webhooks/{hook}/test").json()["id"] for hook in hooks]
    key = stack.http.post("/api/v1/keys", json={"name": "spare"}).json()["id"]
    operator = {"X-Admin-Token": TOKEN}
    neighbour = stack.http.post("/api/v1/tenants", json={"name": "neighbour"}, headers=operator).json()["id"]
    assert stack.http.post(f"/api/v1/tenants/{neighbour}/keys", json={}, headers=operator).is_success
    own = stack.http.get("/api/v1/keys/self").json()
    return {
        "own": [own["id"], own["tenant"]["id"]],
        "webhook_id": hooks, "delivery_id": sent, "key_id": [key], "tenant_id": [neighbour],
        "job_id": jobs, "part_id": ids, "schedule_id": [made], "job": jobs[1:2], "first": ids[:2], "second": ids[1:3],
        "sha256": [part["sha256"] for part in parts], "name": ["extraction", "similarity"],
    }  # fmt: skip
