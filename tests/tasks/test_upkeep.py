"""What the clock asks, on a real ledger and a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from foundation import keyspace
from foundation.clock import SYSTEM
from foundation.settings import ProcessSettings, QueueSettings, RedisSettings, Settings
from ledger import changes, jobs, tenants
from ledger.chunking import ChunkSize
from ledger.files import FileStore
from ledger.session import Ledger
from tasks import ring, upkeep
from tasks.catalogue import all_queues
from tasks.ring import Doorbell
from tests.stack import RedisServer
from tests.tasks.test_ring import an_app


@dataclass
class Keeper:
    ledger: Ledger
    bell: Doorbell
    client: redis.Redis
    settings: Settings
    tenant_id: str

    def add(self, items: int) -> str:
        job_id = SYSTEM.new_id("job")
        new = jobs.NewJob(
            id=job_id, tenant_id=self.tenant_id, kind="extraction", queue="extraction", priority="normal", step=6, input={},
            items=[jobs.NewItem()] * items, size=ChunkSize(1, 1, 1),
        )  # fmt: skip
        with self.ledger.write() as tx:
            jobs.add(tx, new)
        return job_id

    def mend(self) -> frozenset[str]:
        assert upkeep.mend(self.ledger, self.bell, self.client, self.settings)
        return ring.held(self.client, all_queues()).listed

    def listed(self) -> int:
        return int(self.client.llen(keyspace.queue_key("extraction", 6)))  # type: ignore[arg-type]


@pytest.fixture
def keeper(new_ledger: Callable[..., Ledger], own_redis: RedisServer) -> Iterator[Keeper]:
    ledger = new_ledger()
    with ledger.write() as tx:
        tenant = tenants.add(tx, "acme")
    settings = Settings(queue=QueueSettings(ring_grace_seconds=0, ring_window=8), process=ProcessSettings(name="keeper"))
    client = keyspace.client(RedisSettings(url=own_redis.url))
    yield Keeper(ledger, Doorbell(an_app(own_redis.url)), client, settings, tenant.id)
    client.close()


def test_what_was_never_rung_is_rung_up_to_the_window(keeper: Keeper) -> None:
    keeper.add(20)
    assert len(keeper.mend()) == 8
    assert keeper.listed() == 8


def test_nothing_is_rung_twice_while_the_broker_holds_it(keeper: Keeper) -> None:
    keeper.add(5)
    for _ in range(5):
        keeper.mend()
    assert keeper.listed() == 5


def test_exactly_the_lost_rings_are_rung_again(keeper: Keeper) -> None:
    keeper.add(5)
    before = keeper.mend()
    keeper.client.rpop(keyspace.queue_key("extraction", 6), 2)
    assert len(ring.held(keeper.client, all_queues()).listed) == 3
    assert keeper.mend() == before
    assert keeper.listed() == 5
    keeper.client.flushall()
    assert keeper.mend() == before
    assert keeper.listed() == 5


def test_a_double_does_not_hide_a_loss(keeper: Keeper) -> None:
    keeper.add(3)
    keeper.mend()
    key = keyspace.queue_key("extraction", 6)
    lost = keeper.client.rpop(key)
    keeper.client.lpush(key, *[keeper.client.lindex(key, 0)] * 2)  # type: ignore[list-item]
    assert lost is not None
    assert len(keeper.mend()) == 3
    assert keeper.listed() == 5


def test_a_dead_redis_loses_no_upkeep(keeper: Keeper, own_redis: RedisServer) -> None:
    job_id = keeper.add(2)
    with keeper.ledger.write() as tx:
        assert jobs.claim(tx, f"{job_id}.0", "dead", -1.0) is not None
    own_redis.kill()
    assert upkeep.mend(keeper.ledger, keeper.bell, keeper.client, keeper.settings)
    own_redis.start()
    assert keeper.mend() == {f"{job_id}.0", f"{job_id}.1"}


def test_only_the_holder_of_the_lease_mends(keeper: Keeper) -> None:
    keeper.mend()
    other = keeper.settings.model_copy(update={"process": ProcessSettings(name="other")})
    assert upkeep.mend(keeper.ledger, keeper.bell, keeper.client, other) is False


def test_pruning_forgets_old_jobs_and_abandoned_uploads(keeper: Keeper, tmp_path: Path) -> None:
    job_id = keeper.add(1)
    with keeper.ledger.write() as tx:
        changes.cancel(tx, keeper.tenant_id, job_id)
    store = FileStore(tmp_path / "store")
    assert upkeep.prune(keeper.ledger, store, keeper.settings).jobs == 0
    from foundation.settings import RetentionSettings

    impatient = keeper.settings.model_copy(update={"retention": RetentionSettings(job_days=1e-9)})
    assert upkeep.prune(keeper.ledger, store, impatient).jobs == 1
