"""Redis dies under those who listen, and the server stops under them."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed

from tests.api.live.conftest import LIMITS, listener
from tests.stack import RedisServer, Stack, running


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, redis: RedisServer) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("alone"), redis.url, "", "api", **LIMITS) as stack:
        yield stack


def test_while_redis_is_gone_jobs_are_told_from_the_ledger_and_afterwards_a_gap(alone: Stack, redis: RedisServer) -> None:
    job, later = (alone.submit("probe", {"items": 1})["id"] for _ in range(2))
    with listener(alone, "tenant", f"job:{job}", f"job:{later}") as client:
        alone.http.post(f"/api/v1/jobs/{later}/pause")
        last = client.next("job.state", id=later)["id"]
        redis.kill()
        assert client.next("degraded")["data"] == {"degraded": True}
        begun = time.monotonic()
        assert alone.http.post(f"/api/v1/jobs/{job}/cancel").status_code == 200
        assert time.monotonic() - begun < 2, "nobody waits for Redis"
        assert client.next("snapshot", id=job, state="cancelled")["job"] == job
        with listener(alone) as newcomer:
            newcomer.listen(f"job:{job}")
            assert newcomer.told[-1]["data"]["degraded"]
            newcomer.next("snapshot", state="cancelled")
        redis.start()
        assert client.next("degraded", seconds=30)["data"] == {"degraded": False}
        client.next("gap")
        assert {client.next("snapshot")["job"] for _ in range(2)} == {job, later}
        alone.http.post(f"/api/v1/jobs/{later}/resume")
        client.next("job.state", id=later)
    with listener(alone, "tenant", after=last) as back:
        back.next("gap")
    assert alone.metric("cadmill_live_events_total") > 0


def test_a_server_that_stops_says_so_and_closes_with_1012(alone: Stack) -> None:
    with listener(alone, "tenant") as client:
        with alone.http.stream("GET", "/api/v1/live", params={"channels": "tenant"}, timeout=httpx2.Timeout(20)) as stream:
            lines = stream.iter_lines()
            while not next(lines).startswith("event: subscribed"):
                pass
            begun = time.monotonic()
            alone.signal("api", signal.SIGTERM)
            assert "event: closing" in list(lines)
        with pytest.raises(ConnectionClosed) as closed:
            client.next("never", 20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
        assert client.told[-1]["data"]["reason"] == "stopping"
        assert time.monotonic() - begun < 5, "streams do not hold the server up"
