"""Rate limits over real HTTP: who is charged, what is told, and what a guesser gets."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from math import ceil

import httpx2
import pytest

from api.limits import address_of, cost_of
from tests.stack import Stack, running

ADMIN_TOKEN = "the token of whoever runs this"
IP, USER, TENANT, GUESS = 60, 30, 45, 10


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Stack]:
    limits = {"IP": IP, "USER": USER, "TENANT": TENANT, "GUESS": GUESS}
    variables = {f"CADMILL_LIMIT_{name}": f"token-bucket {units}/36000" for name, units in limits.items()}
    # a Redis database of its own: the keys of limits outlive a test
    with running(tmp_path_factory.mktemp("stack"), redis_url[:-1] + "5", "", "api", ADMIN_TOKEN=ADMIN_TOKEN, **variables) as stack:
        yield stack


@pytest.fixture(scope="module")
def keys(stack: Stack) -> list[str]:
    """Keys of eight tenants, then four of one."""
    return [stack.new_key(f"tenant {n}") for n in range(8)] + [stack.new_key("tenant 8") for _ in range(4)]


class Addresses:
    def __init__(self) -> None:
        self.used = 1

    def client(self, stack: Stack, key: str = "") -> httpx2.Client:
        """A client that comes from an address nobody came from before."""
        self.used += 1
        transport = httpx2.HTTPTransport(local_address=f"127.0.0.{self.used}")
        return httpx2.Client(base_url=stack.url, headers={"X-API-Key": key} if key else {}, transport=transport, timeout=30)


ADDRESSES = Addresses()


def ask(client: httpx2.Client, times: int) -> list[int]:
    return [client.get("/api/v1/queues").status_code for _ in range(times)]


def test_a_key_has_its_limit_wherever_it_comes_from_and_is_told_when_to_come_again(stack: Stack, keys: list[str]) -> None:
    key = keys[0]
    with ADDRESSES.client(stack, key) as here, ADDRESSES.client(stack, key) as there:
        first = here.get("/api/v1/queues")
        assert first.headers["ratelimit-policy"] == (
            f'"ip";q={IP};w=36000, "user";q={USER};w=36000, "tenant";q={TENANT};w=36000'
        )  # fmt: skip
        assert re.fullmatch(rf'"ip";r={IP - 1};t=\d+, "user";r={USER - 1};t=\d+, "tenant";r={TENANT - 1};t=\d+', first.headers["ratelimit"])
        assert ask(here, 14) == [200] * 14
        assert ask(there, 16) == [200] * 15 + [429]
        refused = there.get("/api/v1/queues")
        body = refused.json()
        assert (refused.status_code, body["code"], body["context"]["tier"]) == (429, "RATE_LIMITED", "user")
        assert int(refused.headers["retry-after"]) == body["context"]["retry_after_seconds"]
        assert 1100 <= int(refused.headers["retry-after"]) <= ceil(36000 / USER)
        assert '"user";r=0' in refused.headers["ratelimit"]


def test_many_keys_of_one_tenant_share_its_limit(stack: Stack, keys: list[str]) -> None:
    codes: list[int] = []
    for key in keys[-4:]:
        with ADDRESSES.client(stack, key) as client:
            codes += ask(client, 20)
    assert codes.count(200) == TENANT


def test_an_address_has_its_limit_without_a_key_and_before_a_body_is_read(stack: Stack) -> None:
    with ADDRESSES.client(stack) as client:
        codes = [client.get("/api/v1/queues").status_code for _ in range(IP + 5)]
        assert codes == [401] * IP + [429] * 5
        answer = client.post("/api/v1/parts?name=x", content=bytes(5_000_000), headers={"X-API-Key": stack.key})
        assert (answer.status_code, answer.json()["context"]["tier"]) == (429, "ip")
    with ADDRESSES.client(stack) as other:
        assert other.get("/api/v1/queues").status_code == 401


def test_work_costs_more_than_looking(stack: Stack, keys: list[str]) -> None:
    with ADDRESSES.client(stack, keys[1]) as client:
        client.get("/api/v1/jobs")
        client.post("/api/v1/jobs", json={"kind": "prewarm", "input": {}})
        left = client.post("/api/v1/parts?name=x", content=b"x").headers["ratelimit"]
        assert f'"user";r={USER - 1 - 5 - 10};' in left


def test_health_and_metrics_are_never_limited(stack: Stack) -> None:
    with ADDRESSES.client(stack) as client:
        ask(client, IP + 1)
        assert [client.get(path).status_code for path in ("/health/live", "/health/ready", "/metrics")] == [200] * 3
        assert "ratelimit" not in client.get("/health/live").headers


def test_a_guesser_is_refused_before_the_key_is_judged_and_its_neighbours_are_not(stack: Stack, keys: list[str]) -> None:
    key, fresh = keys[2], keys[3]
    with ADDRESSES.client(stack) as client:
        assert client.get("/api/v1/queues", headers={"X-API-Key": key}).status_code == 200
        codes = [client.get("/api/v1/queues", headers={"X-API-Key": f"cadmill_{n}_guess"}).status_code for n in range(GUESS + 5)]
        assert codes == [401] * GUESS + [429] * 5
        assert client.get("/api/v1/queues", headers={"X-API-Key": fresh}).json()["context"]["tier"] == "guess"
        assert client.get("/api/v1/queues", headers={"X-API-Key": key}).status_code == 200


def test_guesses_for_one_key_count_from_all_addresses_and_do_not_lock_its_owner_out(stack: Stack, keys: list[str]) -> None:
    key = keys[4]
    wrong = key.rpartition("_")[0] + "_guess"
    codes = []
    for _ in range(GUESS + 3):
        with ADDRESSES.client(stack, wrong) as client:
            codes.append(client.get("/api/v1/queues").status_code)
    assert codes == [401] * GUESS + [429] * 3
    with ADDRESSES.client(stack, key) as owner:
        assert owner.get("/api/v1/queues").status_code == 200


def test_guessing_the_admin_token_ends_too(stack: Stack, keys: list[str]) -> None:
    with ADDRESSES.client(stack, keys[5]) as client:
        path = "/api/v1/queues/extraction/resume"
        codes = [client.post(path, headers={"X-Admin-Token": f"guess {n}"}).status_code for n in range(GUESS + 2)]
        assert codes == [403] * GUESS + [429] * 2
        assert client.post(path, headers={"X-Admin-Token": ADMIN_TOKEN}).status_code == 429


def test_a_limit_holds_when_asked_from_many_threads(stack: Stack, keys: list[str]) -> None:
    key, codes = keys[6], []

    def work() -> None:
        with ADDRESSES.client(stack, key) as client:
            codes.extend(ask(client, 8))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count(200) == USER


def test_what_was_limited_is_counted_by_tier(stack: Stack) -> None:
    text = stack.http.get("/metrics").text
    assert re.search(r'cadmill_rate_limits_total\{counted_by="redis",outcome="refused",tier="user"\} [1-9]', text)
    assert re.search(r'cadmill_rate_limits_total\{counted_by="redis",outcome="admitted",tier="global"\} [1-9]', text)


@pytest.mark.parametrize(
    ("origin", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "local"),
        ("testclient", "local"),
    ],
)
def test_an_ipv6_host_counts_with_its_whole_network(origin: str, address: str) -> None:
    assert address_of(origin) == address


@pytest.mark.parametrize(
    ("method", "path", "cost"),
    [
        ("GET", "/health/live", 0),
        ("GET", "/metrics", 0),
        ("POST", "/api/v1/parts", 10),
        ("POST", "/api/v2/parts", 10),
        ("GET", "/api/v1/parts", 1),
        ("POST", "/api/v1/jobs", 5),
        ("POST", "/api/jobs", 5),
        ("GET", "/api/v1/duplicates.csv", 10),
        ("PUT", "/api/v1/reviews", 2),
        ("GET", "/", 1),
    ],
)
def test_what_a_request_costs(method: str, path: str, cost: int) -> None:
    assert cost_of(method, path) == cost
