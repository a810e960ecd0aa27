"""One whole stack with a gRPC door for all tests of it, and a client as a user of ours would have it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import queue
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import SecretStr

from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.cadmill.v1.cadmill_pb2_grpc import CadmillStub
from api.grpc.server import Server
from api.house import House, build
from api.setup import prepare
from foundation.clock import SYSTEM, Clock
from foundation.errors import Failure
from foundation.settings import GrpcSettings, LimitSettings, ProcessSettings, RedisSettings, Settings, StorageSettings
from tasks.celery import app as celery_app
from tasks.ring import Doorbell
from tests.stack import Stack, running, wait_until

PATIENCE = 60.0
FILE_LIMIT = 300_000
NO_REDIS = "redis://127.0.0.1:9/0"
ADMIN_TOKEN = "the token of whoever runs this"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="package")
def door(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    """A stack whose gRPC process answers at `address_of(door)`."""
    settings = {
        "ADMIN_TOKEN": ADMIN_TOKEN,
        "CADMILL_GRPC_PORT": free_port(),
        "CADMILL_UPLOAD_MAX_FILE_BYTES": FILE_LIMIT,
        "CADMILL_GRPC_MAX_TENANT_CALLS": 20,
    }
    with running(tmp_path_factory.mktemp("grpc"), redis_url, "", "api", "compute", "grpc", **settings) as stack:
        with grpc.insecure_channel(address_of(stack)) as channel:
            grpc.channel_ready_future(channel).result(PATIENCE)
        yield stack


def new_key(stack: Stack, tenant: str, *scopes: str, **more: Any) -> dict[str, Any]:
    """A key of a new tenant, as its operator makes it by HTTP."""
    operator = {"X-Admin-Token": ADMIN_TOKEN}
    made = stack.http.post("/api/v1/tenants", json={"name": tenant}, headers=operator)
    body = {"scopes": list(scopes or ("read", "submit", "admin")), **more}
    key = stack.http.post(f"/api/v1/tenants/{made.json()['id']}/keys", json=body, headers=operator)
    assert key.status_code == 201, key.text
    return {"tenant": made.json()["id"], **key.json()}


def listens(stack: Stack) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(stack.environment["CADMILL_GRPC_PORT"])), 1):
        return True
    return False


def until_answering(stack: Stack, name: str = "grpc") -> Stack:
    def answers() -> bool:
        assert stack.alive(name), stack.log(name)
        return listens(stack)

    wait_until(answers, 2 * PATIENCE)
    return stack


def address_of(stack: Stack) -> str:
    return f"127.0.0.1:{stack.environment['CADMILL_GRPC_PORT']}"


@pytest.fixture(scope="package")
def channel(door: Stack) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address_of(door), options=[("grpc.max_send_message_length", -1)]) as channel:
        yield channel


@pytest.fixture(scope="package")
def client(channel: grpc.Channel) -> Any:
    return CadmillStub(channel)


@pytest.fixture(scope="package")
def mine(door: Stack) -> tuple[tuple[str, str], ...]:
    """The metadata of the tenant whose stack it is."""
    return (("x-api-key", door.key),)


def pieces(files: list[Path], size: int = 65_536, **options: Any) -> Iterator[pb.ExtractRequest]:
    """Files as a client sends them, in pieces."""
    for number, file in enumerate(files):
        text = file.read_bytes()
        starts = range(0, max(1, len(text)), size)
        for start in starts:
            yield pb.ExtractRequest(
                options=pb.ExtractOptions(**options) if options and not number and not start else None,
                name="" if start else file.name, data=text[start : start + size], last=start == starts[-1],
            )  # fmt: skip


def refused(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str, dict[str, Any]]:
    """Make a call that must fail: its status, its message, and the problem that came with it."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    trailing = dict(caught.value.trailing_metadata())
    return caught.value.code(), caught.value.details(), json.loads(trailing.get("cadmill-problem-bin", b"{}"))


@dataclass(frozen=True, slots=True)
class Served:
    """A server in this process: where it answers, what it stands on, and the key of its one tenant."""

    address: str
    house: House
    key: str


@lru_cache(maxsize=1)
def _migrated() -> str:
    """A storage folder with an empty ledger and a first key, made once and copied."""
    place = tempfile.mkdtemp(prefix="cadmill-")
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    prepare(Settings(storage=StorageSettings(directory=Path(place))))
    return place


@contextlib.contextmanager
def serving(
    folder: Path,
    clock: Clock = SYSTEM,
    production: bool = False,
    redis_url: str = NO_REDIS,
    rates: dict[str, str] | None = None,
    **limits: Any,
) -> Iterator[Served]:
    """A gRPC server of its own, on an empty SQLite, without workers; `rates` are its rate limits."""
    settings = Settings(
        storage=StorageSettings(directory=folder),
        grpc=GrpcSettings(grace_seconds=0.2, **limits),
        process=ProcessSettings(production=production, secret=SecretStr("s" * 32 if production else "")),
        redis=RedisSettings(url=redis_url),
        limit=LimitSettings(**(rates or {})),
    )
    shutil.copytree(_migrated(), folder, dirs_exist_ok=True)
    key = (folder / "key").read_text().strip()
    house = replace(build(settings, operator=False), doorbell=Doorbell(celery_app), clock=clock)
    started: queue.Queue[int | BaseException] = queue.Queue()
    stop = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def life() -> None:
        loops.append(asyncio.get_running_loop())
        server = Server(house)
        try:
            started.put(await server.start())
        except BaseException as error:
            started.put(error)
            raise
        await stop.wait()
        await server.stop()

    def run() -> None:
        with contextlib.suppress(Failure):  # told by `started`
            asyncio.run(life())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    port = started.get(timeout=PATIENCE)
    if isinstance(port, BaseException):
        thread.join(PATIENCE)
        house.ledger.close()
        raise port
    try:
        yield Served(f"localhost:{port}", house, key)
    finally:
        loops[0].call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        house.ledger.close()


def ended(client: Any, job_id: str, metadata: Any) -> pb.Job:
    """A job when it has ended."""

    def look() -> pb.Job | None:
        job = client.Get(pb.GetRequest(id=job_id), metadata=metadata)
        return job if job.state > pb.JOB_STATE_RUNNING else None

    found: pb.Job = wait_until(look, PATIENCE, 0.1)
    return found
