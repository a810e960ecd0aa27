"""compose.yml carried out without Docker: every command and every health check, from the images, on a real PostgreSQL and a real Redis."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.docker import compose
from tests.docker.image import Image
from tests.stack import ENDED, SAMPLES, RedisServer, wait_until

ALWAYS_ON = ("api", "grpc", "compute", "courier", "beat-a", "beat-b", "flower")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


class Container:
    """One service as a process: the image's environment and folders, the service's command, memory folders of its own."""

    def __init__(self, name: str, service: dict[str, Any], image: Image, folder: Path, swaps: dict[str, str]) -> None:
        self.name, self._service, self._image, self.swaps = name, service, image, dict(swaps)
        self.places = {"app": image.app, "data": folder / "data", "tmp": folder / name / "tmp", "metrics": folder / name / "metrics"}
        for place in self.places.values():
            place.mkdir(parents=True, exist_ok=True)
        self._log = folder / name / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = self._environment()

    def here(self, text: str) -> str:
        for old, new in self.swaps.items():
            text = text.replace(old, new)
        return self._image.place(text, self.places)

    def _environment(self) -> dict[str, str]:
        own = {
            key: value.replace(str(self._image.root / "metrics"), str(self.places["metrics"]))
            for key, value in self._image.environment.items()
        }
        return own | {key: self.here(value) for key, value in self._service["environment"].items()}

    def _argv(self, command: list[str]) -> list[str]:
        assert command[0] == "python"
        return [str(self._image.python), *map(self.here, command[1:])]

    def run(self) -> subprocess.CompletedProcess[str]:
        """A service that runs once."""
        return subprocess.run(
            self._argv(self._service["command"]),
            cwd=self._image.app,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def cadmill(self, *words: str, **variables: str) -> str:
        """The command line in the container, as `docker compose exec` runs it."""
        command = [str(self._image.python.with_name("cadmill")), *words]
        environment = self.environment | variables
        return subprocess.run(command, cwd=self._image.app, env=environment, capture_output=True, text=True, timeout=30, check=True).stdout

    def start(self) -> None:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                self._argv(self._service["command"]),
                cwd=self._image.app,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} has ended:\n{self.log}"
        argv = self._argv(self._service["healthcheck"]["test"][1:])
        return subprocess.run(argv, cwd=self._image.app, env=self.environment, capture_output=True, timeout=30, check=False).returncode == 0

    def stop(self) -> None:
        """SIGTERM to the first process alone, as `docker stop` does. Raises TimeoutExpired where Docker would kill."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(float(self._service["stop_grace_period"].removesuffix("s")))

    def kill(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")[-5000:] if self._log.exists() else ""


class ComposeRedis(RedisServer):
    """The Redis of a test, by the options of compose.yml."""

    def start(self) -> ComposeRedis:
        _, *options = compose.services()["redis"]["command"]
        place = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)]
        self._process = subprocess.Popen([self._binary, *options, *place], stdout=subprocess.DEVNULL)
        wait_until(self._answers, 10)
        return self


Containers = dict[str, Container]


@pytest.fixture
def containers(api_image: Image, worker_image: Image, tmp_path: Path, new_database: Callable[[str], str]) -> Iterator[Containers]:
    """The services of compose.yml, not yet started. Only addresses differ: this machine has one loopback for all of them."""
    redis = ComposeRedis(tmp_path / "redis").start()
    api_port, flower_port, grpc_port = map(str, free_ports(3))
    services = compose.services(CADMILL_POSTGRES_PASSWORD="secret")
    swaps = {
        "postgresql://cadmill:secret@postgres:5432/cadmill": new_database("postgresql"),
        "redis://redis:6379/0": redis.url,
        "0.0.0.0": "127.0.0.1",
        "8000": api_port,
        "50051": grpc_port,
        "5555": flower_port,
        "timeout=8": "timeout=2",  # how long a worker that does not answer is waited for
    }
    made = {
        name: Container(name, services[name], api_image if name in ("setup", "api", "grpc") else worker_image, tmp_path, swaps)
        for name in compose.OURS
    }
    try:
        yield made
    except BaseException:
        for container in made.values():
            print(f"--- {container.name}\n{container.log}")
        raise
    finally:
        for container in made.values():
            container.kill()
        redis.kill()


def at_once(what: Callable[[str], Any]) -> dict[str, Any]:
    """Do something with all services that stay up, as Docker does."""
    with ThreadPoolExecutor(len(ALWAYS_ON)) as pool:
        return dict(zip(ALWAYS_ON, pool.map(what, ALWAYS_ON), strict=True))


def test_the_stack_of_compose_starts_is_healthy_works_and_stops_in_time(containers: Containers, worker_image: Image) -> None:
    done = containers["setup"].run()
    assert done.returncode == 0, done.stderr
    key_file = containers["api"].places["data"] / "key"
    assert key_file.stat().st_mode & 0o777 == 0o600

    # images come compiled; here the first import compiles, and six processes at once would do it six times
    worker_image.ask("import flower.command, workers.celery, workers.handlers")
    for name in ALWAYS_ON:
        containers[name].start()
    at_once(lambda name: wait_until(containers[name].is_healthy, 90, 1.0))

    base = containers["api"].here("http://127.0.0.1:8000")
    with httpx2.Client(base_url=base, headers={"X-API-Key": key_file.read_text().strip()}, timeout=30, trust_env=False) as http:
        assert http.get("/health/ready").json() == {"status": "ready", "database": "up", "redis": "up"}
        files = [("files", (path.name, path.read_bytes())) for path in sorted((SAMPLES / "dxf").iterdir())[:3]]
        parts = [part["id"] for part in http.post("/api/v1/parts", files=files).json()["parts"]]
        job = http.post("/api/v1/jobs", json={"kind": "extraction", "input": {"parts": parts}}).json()

        def ended() -> Any:
            told = http.get(f"/api/v1/jobs/{job['id']}").json()
            return told if told["state"] in ENDED else None

        assert wait_until(ended)["state"] == "succeeded"
    assert job["id"] in containers["api"].cadmill("jobs", CADMILL_API_URL=base)

    at_once(lambda name: containers[name].stop())


def test_a_check_says_no_when_its_service_is_not_there(containers: Containers) -> None:
    def check(name: str) -> bool:
        containers[name].process = subprocess.Popen(["sleep", "60"], start_new_session=True)
        return containers[name].is_healthy()

    assert at_once(check) == dict.fromkeys(ALWAYS_ON, False)


def test_the_api_image_starts_on_sqlite_where_no_database_is_named(containers: Containers) -> None:
    for name in ("setup", "api"):
        containers[name].environment["CADMILL_DATABASE_URL"] = ""
    assert containers["setup"].run().returncode == 0
    containers["api"].start()
    wait_until(containers["api"].is_healthy, 30, 0.3)
    assert (containers["api"].places["data"] / "cadmill.db").is_file()
    containers["api"].stop()
