"""Every route, asked by everybody: its owner, another tenant, nobody, and keys that open nothing. Generated from the OpenAPI document."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.api.matrix import ADMIN_TOKEN, OWN_404, REFUSED, Route, World, forgotten, routes, told
from tests.stack import running

_ORDER = ("GET", "PUT", "POST", "PATCH", "DELETE")  # what ends things comes last


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[World]:
    """Only the API runs: whom it lets in, and what it shows whom, waits for no worker."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_database")()
    known = {"ADMIN_TOKEN": ADMIN_TOKEN, "CADMILL_QUEUE_TICK_SECONDS": 60, "CADMILL_LIMIT_GUESS": ""}
    with running(tmp_path_factory.mktemp("matrix"), redis_url, url, "api", **known) as stack:
        world = World(stack)
        yield world
        world.client.close()


@functools.cache
def _document(url: str, version: str) -> tuple[Route, ...]:
    return tuple(routes(httpx2.get(f"{url}/api/{version}/openapi.json", trust_env=False, timeout=60).json()))


def every(world: World, which: Callable[[Route], object] = lambda route: True, version: str = "v1") -> list[Route]:
    found = (route for route in _document(world.stack.url, version) if which(route))
    return sorted(found, key=lambda route: _ORDER.index(route.method))


def guarded(world: World) -> list[Route]:
    return every(world, lambda route: route.scope)


def test_no_route_is_forgotten(world: World) -> None:
    missing = forgotten(every(world))
    assert not missing, "tests/api/matrix.py does not know: " + ", ".join(missing)
    assert len(guarded(world)) > 50


@pytest.mark.parametrize("key", REFUSED)
def test_a_key_that_opens_nothing_opens_no_route(world: World, key: str) -> None:
    wrong = []
    for route in guarded(world):
        answer = world.ask(route, key, world.mine, ADMIN_TOKEN if route.operator else "")
        if (answer.status_code, answer.json().get("code")) != (401, REFUSED[key]) or answer.json()["context"].get("id"):
            wrong.append((route.name, told(answer, {})))
    assert not wrong


def test_unknown_malformed_and_revoked_keys_get_one_answer(world: World) -> None:
    for route in guarded(world)[:10]:
        assert len({told(world.ask(route, key, world.mine), {}) for key in ("unknown", "malformed", "revoked")}) == 1, route.name


def test_a_key_without_the_scope_of_a_route_is_told_which_it_needs(world: World) -> None:
    wrong = []
    for route in guarded(world):
        answer = world.ask(route, f"mine without {route.scope}", world.mine, ADMIN_TOKEN)
        if (answer.status_code, answer.json().get("code"), answer.json()["context"].get("needed")) != (403, "SCOPE_MISSING", [route.scope]):
            wrong.append((route.name, told(answer, {})))
    assert not wrong


def test_a_tenants_key_alone_opens_nothing_of_the_operator(world: World) -> None:
    wrong = []
    for route in every(world, lambda route: route.operator):
        for token, status, code in (("", 401, "ADMIN_TOKEN_MISSING"), ("guess", 403, "ADMIN_TOKEN_UNKNOWN")):
            answer = world.ask(route, "mine", world.mine, token)
            if (answer.status_code, answer.json().get("code")) != (status, code):
                wrong.append((route.name, token, told(answer, {})))
    assert not wrong


@pytest.fixture(scope="module")
def heard(world: World) -> list[tuple[Route, httpx2.Response, httpx2.Response]]:
    """What another tenant hears of what is somebody's, and of what is nobody's; the same answer twice where a route names neither."""
    found = []
    for route in every(world, lambda route: route.scope and not route.operator):
        unknown = world.ask(route, "other", world.unknown)
        found.append((route, world.ask(route, "other", world.mine) if route.names_somebody else unknown, unknown))
    return found


def test_what_is_somebody_elses_is_as_if_it_were_nobodys(world: World, heard: list[tuple[Route, httpx2.Response, httpx2.Response]]) -> None:
    """Byte for byte, but for the id that was asked for and the times."""
    asked = [
        (route, told(foreign, world.mine), told(unknown, world.unknown)) for route, foreign, unknown in heard if foreign is not unknown
    ]
    assert not [(route.name, foreign, unknown) for route, foreign, unknown in asked if foreign != unknown]
    assert len(asked) > 35


def test_no_answer_to_another_tenant_tells_anything_of_the_first(
    world: World, heard: list[tuple[Route, httpx2.Response, httpx2.Response]]
) -> None:
    leaks = []
    for route, foreign, unknown in heard:
        leaks += [(route.name, canary) for canary in world.canaries if canary in unknown.text + str(unknown.headers)]
        if route.names_somebody and foreign.is_success and "_id}" in route.path:  # what is named by its id belongs to one tenant
            leaks.append((route.name, foreign.text[:200]))
    for route in every(world, lambda route: not route.scope):
        leaks += [(route.name, canary) for canary in world.canaries if canary in world.ask(route, "none", {}).text]
    assert not leaks


def test_the_other_version_refuses_and_hides_the_same(world: World) -> None:
    """Both are answered by one set of handlers: one refusal, and what is foreign, show that its rendering tells no more."""
    wrong, asked = [], 0
    for route in every(world, lambda route: route.scope, "v2"):
        answer = world.ask(route, "none", world.mine, ADMIN_TOKEN if route.operator else "")
        if (answer.status_code, answer.json()["data"], answer.json()["errors"][0]["code"]) != (401, None, "API_KEY_MISSING"):
            wrong.append((route.name, told(answer, {})))
        if route.operator or not route.names_somebody:
            continue
        foreign, unknown = (told(world.ask(route, "other", ids), ids) for ids in (world.mine, world.unknown))
        asked += 1
        if foreign != unknown:
            wrong.append((route.name, f"{foreign} is not {unknown}"))
    assert not wrong
    assert asked > 35


def test_another_chain_of_the_trail_is_the_operators_to_read(world: World) -> None:
    wrong = []
    for route in every(world, lambda route: "chain" in route.query):
        for chain in (world.mine["tenant_id"], world.unknown["tenant_id"], "store", "all"):
            answer = world.ask(route, "other", world.mine, params={"chain": chain})
            if (answer.status_code, answer.json().get("code")) != (401, "ADMIN_TOKEN_MISSING"):
                wrong.append((route.name, chain, told(answer, {})))
    assert not wrong


# the door that no document of HTTP describes


def _listen(world: World, key: str, channel: str = "") -> list[dict[str, Any]]:
    """What a WebSocket is told that shows this key in its header and, once it is in, asks for a channel."""
    address = world.stack.url.replace("http", "ws", 1) + "/api/v1/live"
    with connect(address, additional_headers={"X-API-Key": world.keys[key]}, proxy=None, open_timeout=60) as socket:
        heard = [json.loads(socket.recv(60))]
        if channel:
            socket.send(json.dumps({"type": "subscribe", "channels": [channel]}))
            heard.append(json.loads(socket.recv(60)))
            if heard[-1]["type"] == "subscribed":
                heard.append(json.loads(socket.recv(60)))
        return heard


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [(key, 401, code) for key, code in REFUSED.items() if key != "none"] + [("mine without read", 403, "SCOPE_MISSING")],
)
def test_a_socket_refuses_whom_every_route_refuses(world: World, key: str, status: int, code: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        _listen(world, key)
    assert (refused.value.response.status_code, json.loads(refused.value.response.body)["code"]) == (status, code)
    address = world.stack.url.replace("http", "ws", 1) + "/api/v2/live"
    with connect(address, proxy=None, open_timeout=60) as socket:
        socket.send(json.dumps({"type": "hello", "key": world.keys[key]}))
        assert json.loads(socket.recv(60))["data"]["code"] == code


def test_a_socket_without_a_key_is_told_nothing(world: World) -> None:
    with connect(world.stack.url.replace("http", "ws", 1) + "/api/v1/live", proxy=None, open_timeout=60) as socket:
        socket.send(json.dumps({"type": "subscribe", "channels": [world.mine["channel"]]}))
        assert json.loads(socket.recv(60))["data"]["code"] == REFUSED["none"]


def test_a_socket_shows_a_job_to_its_owner_and_hides_it_from_others_as_if_it_were_nobodys(world: World) -> None:
    assert _listen(world, "mine", world.mine["channel"])[-1]["data"]["id"] == world.mine["job_id"]
    (_, foreign), (_, unknown) = (_listen(world, "other", ids["channel"]) for ids in (world.mine, world.unknown))
    assert foreign["data"].pop("context") == {"id": world.mine["job_id"]}
    assert unknown["data"].pop("context") == {"id": world.unknown["job_id"]}
    assert foreign["data"].pop("timestamp")
    assert unknown["data"].pop("timestamp")
    assert foreign == unknown
    assert foreign["data"]["code"] == "JOB_NOT_FOUND"


def test_a_key_counts_in_its_header_and_nowhere_else(world: World) -> None:
    key = world.keys["mine"]
    for name in ("X-API-Key", "x_api_key", "api_key", "key", "token"):
        for route in every(world, lambda route: route.method == "GET" and route.scope)[:5]:
            assert world.ask(route, "none", world.mine, params={name: key}).status_code == 401
            assert world.ask(route, "none", world.mine, headers={"Authorization": f"Bearer {key}"}).status_code == 401
            assert world.ask(route, "none", world.mine, headers={"Cookie": f"{name}={key}"}).status_code == 401


def test_the_owner_gets_through_everywhere_and_the_operator_where_only_they_may(world: World) -> None:
    """Last, for it ends what the others ask for."""
    wrong = []
    for route in guarded(world):
        answer = world.ask(route, "mine", world.mine, ADMIN_TOKEN if route.operator else "")
        code = answer.json().get("code") if answer.status_code >= 400 else None
        if (
            answer.status_code in (401, 403, 405, 422)
            or answer.status_code >= 500
            or (answer.status_code == 404) != (route.name in OWN_404)
        ):
            wrong.append((route.name, answer.status_code, answer.text[:300]))
        elif route.name in OWN_404 and code != OWN_404[route.name]:
            wrong.append((route.name, answer.status_code, str(code)))
    assert not wrong
