"""Stacks that are there to be hurt."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from api.setup import prepare
from foundation.settings import DatabaseSettings, Settings, StorageSettings
from ledger.session import Ledger
from tests.faults.evidence import Evidence
from tests.faults.receiver import Receiver
from tests.stack import RedisServer, Stack

NewStack = Callable[..., tuple[Stack, Evidence]]


@pytest.fixture
def new_stack(tmp_path: Path, own_redis: RedisServer, new_database: Callable[[str], str]) -> Iterator[NewStack]:
    """Starts named processes on a database of a dialect and a Redis that may be killed; tells how to read its ledger.

    Compute workers serve probes alone unless `queues` says more."""
    started: list[tuple[Stack, Evidence]] = []

    def new(*names: str, dialect: str = "sqlite", queues: Sequence[str] = ("probe",), **variables: Any) -> tuple[Stack, Evidence]:
        address = new_database(dialect)
        stack = Stack(tmp_path / "stack", own_redis.url, address, queues=queues, **variables)
        evidence = Evidence(Ledger(address, DatabaseSettings(busy_seconds=0.3)))
        started.append((stack, evidence))
        prepare(Settings(storage=StorageSettings(directory=stack.directory), database=DatabaseSettings(url=address)))
        stack.start(*names)
        return stack, evidence

    yield new
    for stack, evidence in started:
        for log in sorted(stack.directory.glob("*.log")):
            sys.stdout.write(f"--- {log.stem}\n{stack.log(log.stem)}\n")
        evidence.ledger.close()
        stack.drop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who waits for webhooks."""
    with Receiver() as one:
        yield one
