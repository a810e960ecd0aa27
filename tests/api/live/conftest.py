"""Two API processes on one ledger and one Redis, and clients of them. No worker runs: what happens to jobs here, the API does."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from foundation import keyspace
from foundation.progress import Event, Publisher
from foundation.settings import DatabaseSettings, RedisSettings
from ledger import keys, tenants
from ledger.session import Ledger
from tests.stack import Stack, running

ADMIN_TOKEN = "the token of whoever runs this"
OTHER_PAGE = "https://cad.example.com"
KEEP = 200
PER_KEY = 12
LIMITS = {
    "ADMIN_TOKEN": ADMIN_TOKEN,
    "CADMILL_LIVE_ORIGINS": OTHER_PAGE,
    "CADMILL_LIVE_KEEP": KEEP,
    "CADMILL_LIVE_BACKLOG": 64,
    "CADMILL_LIVE_MAX_PER_KEY": PER_KEY,
    "CADMILL_LIVE_MAX_STRANGERS": 5,
    "CADMILL_LIVE_HELLO_SECONDS": 1.5,
    "CADMILL_LIVE_HEARTBEAT_SECONDS": 0.5,
    "CADMILL_LIVE_LOOK_SECONDS": 1,
}


class Listener:
    """A WebSocket client that keeps what it was told."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []

    def say(self, **told: Any) -> None:
        self.socket.send(json.dumps(told))

    def next(self, kind: str = "", seconds: float = 15.0, **data: Any) -> dict[str, Any]:
        """The next message of a type with such data; those before it are kept in `told`. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while True:
            told = json.loads(self.socket.recv(timeout=max(0.01, end - time.monotonic())))
            self.told.append(told)
            if kind in ("", told["type"]) and data.items() <= told.get("data", {}).items():
                return dict(told)

    def listen(self, *channels: str, **more: Any) -> dict[str, Any]:
        self.say(type="subscribe", channels=channels, **more)
        return self.next("subscribed")


@contextlib.contextmanager
def listener(stack: Stack, *channels: str, key: str = "", after: str = "", **how: Any) -> Iterator[Listener]:
    """A client that listens to channels."""
    address = stack.url.replace("http", "ws", 1) + "/api/v1/live"
    with connect(address, additional_headers={"X-API-Key": key or stack.key}, proxy=None, **how) as socket:
        client = Listener(socket)
        client.next("welcome")
        if channels:
            client.listen(*channels, **({"last_event_id": after} if after else {}))
        yield client


@pytest.fixture(scope="package")
def stacks(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[tuple[Stack, Stack]]:
    directory: Path = tmp_path_factory.mktemp("live")
    with running(directory, redis_url, "", "api", **LIMITS) as one, running(directory, redis_url, "", "api", **LIMITS) as two:
        yield one, two


@pytest.fixture(scope="package")
def ledger(stacks: tuple[Stack, Stack]) -> Iterator[Ledger]:
    """The ledger of both."""
    ledger = Ledger(f"sqlite:///{stacks[0].directory / 'cadmill.db'}", DatabaseSettings())
    yield ledger
    ledger.close()


@pytest.fixture
def tenant(stacks: tuple[Stack, Stack], ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[tuple[Stack, tenants.Tenant]]:
    """A tenant of the test's own."""
    with ledger.write() as tx:
        pepper = stacks[0].sealing.pepper(keys.PEPPER)
        key = keys.add(tx, pepper, tenants.add(tx, request.node.name).id).text
        me = keys.of_key(tx, pepper, key)
    with stacks[0].as_tenant(me.name, key) as mine:
        yield mine, me


@pytest.fixture
def publish(redis_url: str, tenant: tuple[Stack, tenants.Tenant]) -> Iterator[Callable[..., None]]:
    """Publishes events of that tenant, as any process does."""
    publisher = Publisher(keyspace.client(RedisSettings(url=redis_url)), KEEP)

    def say(*texts: str, **whose: Any) -> None:
        publisher.publish(*(Event("announcement", {"text": text}, **{"tenant_id": tenant[1].id, **whose}) for text in texts))

    yield say
    publisher.close()
