"""The whole line on real servers: files in over HTTP, features and a signed webhook out."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from standardwebhooks import Webhook

from tests.stack import ROOT, SAMPLES, RedisServer, Stack, running, wait_until

QUEUES = ("extraction", "similarity", "migration", "prewarm", "webhooks", "upkeep")
LINES = ("sqlite and valkey", "postgresql and redis")


@pytest.fixture(scope="module", params=LINES)
def line(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A whole stack, once embedded and once on the big servers."""
    folder = tmp_path_factory.mktemp("line")
    database_url, binary = "", None
    if request.param.startswith("postgresql"):
        binary = shutil.which("redis-server")
        if binary is None:
            pytest.skip("NO redis-server ON THE PATH: install one to run the line on a real Redis")
        database_url = request.getfixturevalue("postgresql_database")()
    server = RedisServer(folder / "redis", binary).start()
    with running(folder / "stack", server.url, database_url) as stack:
        yield stack
    server.kill()


def readme_blocks() -> tuple[str, str]:
    """The README's own lines: where it runs, and what to do there."""
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (where,) = [block for block in blocks if "export CADMILL=" in block]
    (what,) = [block for block in blocks if "/api/v1/jobs" in block]
    return where, what


def test_the_readmes_curl_lines_do_what_they_say(line: Stack, tmp_path: Path) -> None:
    where, what = readme_blocks()
    assert "KEY=$(cat cadmill-data/key)" in where
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    told = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", what], cwd=tmp_path, env=os.environ | {"CADMILL": line.url, "KEY": line.key},
        capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    job = json.loads((tmp_path / "job.json").read_text())
    assert line.job(job["id"])["state"] == "succeeded"
    assert line.job(job["id"])["counts"]["succeeded"] == 3
    assert "slot_shape_entropy" in told.stdout
    similar = json.loads((tmp_path / "similar.json").read_text())
    pairs = {(item["name"], hit["name"]) for item in line.items(similar["id"]) for hit in (item["result"] or {}).get("hits", ())}
    assert ("ae.r2000a.dxf", "ae.r2013b.dxf") in pairs


def test_a_pile_of_files_becomes_features(line: Stack) -> None:
    parts = line.upload(*sorted((SAMPLES / "dxf").iterdir()), *sorted((SAMPLES / "stl").iterdir()))
    job = line.submit("extraction", {"parts": [part["id"] for part in parts], "feature_version": "v4"})
    assert line.wait(job["id"])["state"] == "succeeded", line.items(job["id"])
    for item, part in zip(line.items(job["id"]), parts, strict=True):
        assert item["part_id"] == part["id"]
        assert len(item["result"]["vector"]) == 24


class Receiver(ThreadingHTTPServer):
    """Refuses the first delivery of each message, keeps the rest."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.received: list[tuple[dict[str, str], str]] = []
        self.refused: list[str] = []


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        name = self.headers["webhook-id"]
        first = name not in self.server.refused
        if first:
            self.server.refused.append(name)
        else:
            self.server.received.append(({key.lower(): value for key, value in self.headers.items()}, body))
        self.send_response(503 if first else 204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Silence: the test reads what was received."""


def test_the_end_of_a_job_is_told_by_a_signed_webhook_that_is_tried_again(line: Stack) -> None:
    receiver = Receiver()
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    try:
        job = line.submit("probe", {"items": 4}, callback_url=f"http://127.0.0.1:{receiver.server_port}/hook")
        line.wait(job["id"])
        wait_until(lambda: receiver.received, 30)
    finally:
        receiver.shutdown()
        receiver.server_close()
    headers, body = receiver.received[0]
    told = Webhook(line.http.get("/api/v1/webhooks/secret").json()["secret"]).verify(body, headers)
    assert told["type"] == "job.succeeded"
    assert (told["data"]["id"], told["data"]["state"]) == (job["id"], "succeeded")

    def delivered() -> Any:
        (delivery,) = line.http.get(f"/api/v1/jobs/{job['id']}/deliveries").json()["deliveries"]
        return delivery if delivery["state"] == "delivered" else None

    delivery = wait_until(delivered, 10)
    assert delivery["id"] == headers["webhook-id"]
    assert [(one["status"], one["accepted"]) for one in delivery["tries"]] == [(503, False), (204, True)]


def test_ten_thousand_items_are_accepted_in_one_request_and_show_progress_until_all_are_done(line: Stack) -> None:
    files = sorted((SAMPLES / "stl").iterdir())[:5] + sorted((SAMPLES / "dxf").iterdir())[:5]
    contents = [(file.name, file.read_bytes()) for file in files if file.stat().st_size < 40_000]
    parts: list[str] = []
    for batch in range(10):
        named = [("files", (f"{batch}-{n}-{contents[n % len(contents)][0]}", contents[n % len(contents)][1])) for n in range(1000)]
        answer = line.http.post("/api/v1/parts", files=named, timeout=120)
        assert answer.status_code == 201
        parts += [part["id"] for part in answer.json()["parts"]]
    job = line.submit("extraction", {"parts": parts})
    assert job["counts"]["total"] == 10_000
    seen: list[int] = []

    def ended() -> bool:
        told = line.job(job["id"])
        seen.append(told["counts"]["pending"])
        return told["state"] not in ("queued", "running")

    wait_until(ended, 150, 0.2)
    assert line.job(job["id"])["counts"] == {"total": 10_000, "succeeded": 10_000, "failed": 0, "cancelled": 0, "pending": 0}
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) > 3, "progress was seen on the way"
    items = line.items(job["id"])
    assert [item["index"] for item in items] == list(range(10_000))
    assert {item["part_id"] for item in items} == set(parts)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[str, str, str]]:
    """`cadmill up` as a user starts it, with gRPC: the addresses of the API and of Flower, and the key."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        grpc_port = str(probe.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CADMILL_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "api.cli.main", "up", "--dir", str(tmp_path / "data"), "--port", "0", "--concurrency", "1",
         "--grpc-port", grpc_port],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    told = ""
    for text in process.stdout:
        told += text
        if "flower" in text:
            break
    url, flower = re.search(r"ready at (\S+)", told), re.search(r"flower\s+(\S+)", told)
    assert url is not None, told
    assert flower is not None, told
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        assert HealthStub(channel).Check(HealthCheckRequest(), timeout=30).status == HealthCheckResponse.SERVING
    yield url[1], flower[1], (tmp_path / "data" / "key").read_text().strip()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()
    left = subprocess.run(["pgrep", "-f", str(tmp_path / "data")], capture_output=True, text=True, check=False).stdout.split()
    assert left == [], "processes were left behind"


def test_up_runs_a_whole_stack_and_flower_shows_its_tasks_and_queues(up: tuple[str, str, str]) -> None:
    url, flower, key = up
    with httpx2.Client(base_url=url, headers={"X-API-Key": key}, timeout=30, trust_env=False) as http:
        (part,) = http.post("/api/v1/parts?name=a.stl", content=(SAMPLES / "stl" / "angle_block.STL").read_bytes()).json()["parts"]

        def seen() -> bool:
            # Flower knows tasks from the events it heard, so it must be there first: asked until it tells of one.
            http.post("/api/v1/jobs", json={"kind": "extraction", "input": {"parts": [part["id"]], "force": True}})
            rows = httpx2.post(f"{flower}/tasks/datatable", data=TASKS_TABLE, timeout=10).json()["data"]
            return any(row["name"] == "extraction" and row["state"] == "SUCCESS" for row in rows)

        assert wait_until(lambda: _with("compute", f"{flower}/workers"), 30)
        assert wait_until(seen, 30, 1.0)
        broker = wait_until(lambda: _with("extraction", f"{flower}/broker"), 30)
        assert [queue for queue in QUEUES if queue not in broker] == []


# What the page of Flower asks for when it shows its tasks.
TASKS_TABLE = {"draw": "1", "start": "0", "length": "100", "search[value]": ""}
TASKS_TABLE |= {"order[0][column]": "0", "order[0][dir]": "asc", "columns[0][data]": "name"}


def _with(word: str, address: str) -> str:
    """A page, as soon as it holds a word."""
    text = httpx2.get(address, timeout=10).text
    return text if word in text else ""


def test_the_demo_shows_everything_and_leaves_nothing(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "api.cli.main", "demo", "--contact-sheet", str(tmp_path / "demo.html")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    for word in ("succeeded", "shape_entropy", "signature verified", "CAD_EXPANSION_LIMIT", "All done"):
        assert word in told.stdout
    assert re.search(r"geometry +2 +ae\.r2000a\.dxf, ae\.r2013b\.dxf +1\.0000", told.stdout)
