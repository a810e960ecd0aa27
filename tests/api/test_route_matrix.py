"""Every route, asked by everybody: its owner, another tenant, nobody, and keys that open nothing. Generated from the OpenAPI document."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from tests.api.matrix import ADMIN_TOKEN, OWN_404, REFUSED, Route, World, forgotten, routes, told
from tests.stack import running

_ORDER = ("GET", "PUT", "POST", "PATCH", "DELETE")  # what ends things comes last


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[World]:
    """Only the API runs: whom it lets in, and what it shows whom, waits for no worker."""
    url = "" if request.param == "sqlite" else request.getfixturevalue("postgresql_database")()
    with running(tmp_path_factory.mktemp("matrix"), redis_url, url, "api", ADMIN_TOKEN=ADMIN_TOKEN, CADMILL_QUEUE_TICK_SECONDS=60) as stack:
        world = World(stack)
        yield world
        world.client.close()


@functools.cache
def _document(url: str) -> tuple[Route, ...]:
    import httpx2

    return tuple(routes(httpx2.get(f"{url}/openapi.json", trust_env=False).json()))


def every(world: World, which: Callable[[Route], object] = lambda route: True) -> list[Route]:
    return sorted((route for route in _document(world.stack.url) if which(route)), key=lambda route: _ORDER.index(route.method))


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


def test_what_is_somebody_elses_is_as_if_it_were_nobodys(world: World) -> None:
    """Byte for byte, but for the id that was asked for and the times."""
    wrong, asked = [], 0
    for route in every(world, lambda route: route.scope and not route.operator and route.names_somebody):
        foreign = told(world.ask(route, "other", world.mine), world.mine)
        unknown = told(world.ask(route, "other", world.unknown), world.unknown)
        asked += 1
        if foreign != unknown:
            wrong.append((route.name, foreign, unknown))
    assert not wrong
    assert asked > 25


def test_no_answer_to_another_tenant_tells_anything_of_the_first(world: World) -> None:
    leaks = []
    for route in every(world, lambda route: route.scope and not route.operator):
        answer = world.ask(route, "other", world.unknown)
        leaks += [(route.name, canary) for canary in world.canaries if canary in answer.text + str(answer.headers)]
        if route.names_somebody:
            answer = world.ask(route, "other", world.mine)
            if answer.is_success and "_id}" in route.path:  # what is named by its id belongs to one tenant
                leaks.append((route.name, answer.text[:200]))
    for route in every(world, lambda route: not route.scope):
        leaks += [(route.name, canary) for canary in world.canaries if canary in world.ask(route, "none", {}).text]
    assert not leaks


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
            wrong.append((route.name, answer.status_code, code))
    assert not wrong
