"""One set of routes, two versions of answers: which one a call gets, how it is told, and what a version says that ends."""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.app import create
from api.envelope import Versioned
from api.house import House, build
from api.pages import routes as pages
from api.versions import VERSIONS, Feature, Status, Table, Version, asked, link
from foundation import codes
from foundation.errors import CODES, Failure
from foundation.settings import Settings
from ledger import keys, tenants
from ledger.migrate import migrate

ONE, TWO = VERSIONS
SINCE, UNTIL = datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 12, 31, 23, 59, 59, tzinfo=UTC)
ENDING = replace(ONE, status=Status.DEPRECATED, deprecated_at=SINCE, sunset_at=UNTIL)
ENDED = replace(ENDING, status=Status.SUNSET)

NewClient = Callable[..., TestClient]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, str]]:
    """What the app stands on, and a key."""
    settings = Settings()
    storage = settings.storage.model_copy(update={"directory": tmp_path_factory.mktemp("versions")})
    here = build(settings.model_copy(update={"storage": storage}))
    migrate(here.ledger)
    with here.ledger.write() as tx:
        key = keys.add(tx, here.sealing.pepper(keys.PEPPER), tenants.add(tx, "t").id).text
    yield here, key
    here.ledger.close()


@pytest.fixture
def new_client(house: tuple[House, str]) -> NewClient:
    """The whole app with a table of versions, and with sections of its settings changed."""
    here, key = house

    def new(*table: Version, **sections: dict[str, object]) -> TestClient:
        changed = {name: getattr(here.settings, name).model_copy(update=update) for name, update in sections.items()}
        app = create(replace(here, settings=here.settings.model_copy(update=changed)), Table(table or VERSIONS))
        return TestClient(app, headers={"X-API-Key": key}, raise_server_exceptions=False)

    return new


@pytest.mark.parametrize(
    ("path", "header", "name", "rest"),
    [
        ("/api/v1/jobs", None, "v1", "/api/jobs"),
        ("/api/v2/jobs/j/items", None, "v2", "/api/jobs/j/items"),
        ("/api/v2/jobs", "2", "v2", "/api/jobs"),
        ("/api/v2/jobs", " V2 ", "v2", "/api/jobs"),
        ("/api/jobs", "1", "v1", "/api/jobs"),
        ("/api/jobs", "v1", "v1", "/api/jobs"),
        ("/api/jobs", None, "v2", "/api/jobs"),
        ("/api/v1/jobs/", None, "v1", "/api/jobs"),
        ("/api/vectors/migrate/preview", None, "v2", "/api/vectors/migrate/preview"),
        ("/api/v1", None, "v1", "/api"),
    ],
)
def test_a_call_names_its_version_in_the_path_or_in_the_header(path: str, header: str | None, name: str, rest: str) -> None:
    version, found = Table().choose(path, header)
    assert (version.name, found) == (name, rest)


@pytest.mark.parametrize(
    ("path", "header", "code"),
    [
        ("/api/v1/jobs", "2", "VERSION_CONTRADICTED"),
        ("/api/v9/jobs", None, "VERSION_UNKNOWN"),
        ("/api/jobs", "9", "VERSION_UNKNOWN"),
        ("/api/jobs", "", "VERSION_UNKNOWN"),
        ("/api/jobs", "latest", "VERSION_UNKNOWN"),
        ("/api/v1/jobs", "9", "VERSION_UNKNOWN"),
    ],
)
def test_a_version_that_is_none_or_two_is_refused(new_client: NewClient, path: str, header: str | None, code: str) -> None:
    answer = new_client().get(path, headers={} if header is None else {"X-API-Version": header})
    assert (answer.status_code, answer.headers["content-type"], answer.json()["code"]) == (400, "application/problem+json", code)
    assert answer.headers["x-api-version"] == "v2"
    assert answer.headers["x-request-id"]
    if code == "VERSION_UNKNOWN":
        assert answer.json()["context"]["versions"] == ["v1", "v2"]


def test_the_same_job_is_bare_in_v1_and_in_an_envelope_in_v2_with_links_of_each(new_client: NewClient) -> None:
    client = new_client()
    made = client.post("/api/v2/jobs", json={"kind": "prewarm", "input": {}})
    job = made.json()["data"]
    assert (made.status_code, made.headers["location"]) == (202, f"/api/v2/jobs/{job['id']}")
    assert (made.json()["errors"], made.json()["meta"]) == ([], {"request_id": made.headers["x-request-id"], "version": "v2"})
    one, two, by_header = (client.get(f"/api/{at}jobs/{job['id']}", headers=how)
                           for at, how in (("v1/", {}), ("v2/", {}), ("", {"X-API-Version": "1"})))  # fmt: skip
    assert one.content == by_header.content
    assert (by_header.headers["vary"], "vary" in one.headers) == ("X-API-Version", False)
    assert one.json()["links"]["items"] == f"/api/v1/jobs/{job['id']}/items"
    assert two.text.startswith('{"data":' + one.text.replace("/api/v1/", "/api/v2/") + ',"meta":{')
    assert (one.headers["x-api-version"], two.headers["x-api-version"]) == ("v1", "v2")


def test_a_page_ends_with_its_cursor_in_v1_and_tells_it_beside_the_data_in_v2(new_client: NewClient) -> None:
    client = new_client()
    for _ in range(2):
        client.post("/api/v1/jobs", json={"kind": "prewarm", "input": {}})
    one, two = (client.get(f"/api/{version}/jobs", params={"limit": 1}) for version in ("v1", "v2"))
    assert list(one.json()) == ["jobs", "next_cursor"]
    assert one.text.endswith(f',"next_cursor":"{one.json()["next_cursor"]}"}}')
    assert int(one.headers["content-length"]) == len(one.content)
    assert two.json()["data"] == {"jobs": one.json()["jobs"]}
    assert two.json()["meta"]["next_cursor"] == one.json()["next_cursor"]
    last = client.get("/api/v2/jobs", params={"limit": 1000, "cursor": two.json()["meta"]["next_cursor"]}).json()
    assert last["meta"]["next_cursor"] is None


@pytest.mark.parametrize(
    ("path", "how", "status", "code"),
    [
        ("jobs/none", {}, 404, "JOB_NOT_FOUND"),
        ("nothing", {}, 404, "ROUTE_NOT_FOUND"),
        ("jobs", {"params": {"limit": 0}}, 422, "REQUEST_INVALID"),
        ("jobs", {"headers": {"X-API-Key": ""}}, 401, "API_KEY_MISSING"),
    ],
)
def test_a_failure_has_the_same_status_and_code_in_both(new_client: NewClient, path: str, how: dict, status: int, code: str) -> None:
    client = new_client()
    one, two = (client.get(f"/api/{version}/{path}", **how) for version in ("v1", "v2"))
    assert (one.status_code, two.status_code) == (status, status)
    assert (one.headers["content-type"], two.headers["content-type"]) == ("application/problem+json", "application/json")
    assert two.json()["data"] is None
    (problem,) = two.json()["errors"]
    assert (problem["code"], one.json()["code"]) == (code, code)
    assert problem.keys() == one.json().keys()
    assert "/api/v1/" not in problem["remedy"]


def test_a_body_that_is_too_large_and_a_method_that_is_not_answered_are_told_as_the_version_has_it(new_client: NewClient) -> None:
    client = new_client(upload={"max_json_bytes": 100})
    large = client.post("/api/v2/jobs", content=b" " * 101)
    assert (large.status_code, large.json()["errors"][0]["code"]) == (413, "BODY_TOO_LARGE")
    wrong = client.put("/api/v2/jobs")
    assert (wrong.status_code, wrong.json()["errors"][0]["code"], wrong.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, POST")


def test_a_defect_is_told_in_the_envelope_with_its_request(new_client: NewClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = new_client()

    def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("api.routes.jobs.job_views.page", broken)
    answer = client.get("/api/v2/jobs")
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (500, "INTERNAL")
    assert answer.json()["meta"]["request_id"] == answer.headers["x-request-id"] == answer.json()["errors"][0]["context"]["request_id"]


def test_the_table_is_told_to_everybody(new_client: NewClient) -> None:
    told = new_client(ENDING, TWO).get("/api/versions", headers={"X-API-Key": ""}).json()["data"]
    assert told["current"] == "v2"
    assert told["versions"][0] == {
        "name": "v1", "status": "deprecated", "address": "/api/v1", "features": [],
        "deprecated_at": "2027-01-01T00:00:00+00:00", "sunset_at": "2027-12-31T23:59:59+00:00",
    }  # fmt: skip
    assert told["versions"][1]["features"] == ["envelope"]


def test_a_version_that_is_deprecated_works_and_says_when_it_ends_and_what_follows(new_client: NewClient) -> None:
    client = new_client(ENDING, TWO)
    answer = client.get("/api/v1/schedules")
    assert answer.json() == {"schedules": [], "next_cursor": None}
    assert answer.headers["deprecation"] == "@1798761600"
    assert answer.headers["sunset"] == "Fri, 31 Dec 2027 23:59:59 GMT"
    links = [one.strip() for one in answer.headers["link"].split(",")]
    assert '</api/versions>; rel="deprecation"; type="application/json"' in links
    assert '</api/versions>; rel="sunset"; type="application/json"' in links
    assert '</api/v2/schedules>; rel="successor-version"' in links
    assert not {"deprecation", "sunset", "link"} & set(client.get("/api/v2/jobs").headers)
    assert client.get("/api/v1/openapi.json").json()["paths"]["/api/v1/jobs"]["get"]["deprecated"]
    assert "deprecation" not in new_client().get("/api/v1/jobs").headers


def test_a_version_that_has_ended_answers_410_by_either_way_and_names_the_way_on(new_client: NewClient) -> None:
    client = new_client(ENDED, TWO)
    for path, how in (("/api/v1/jobs", {}), ("/api/jobs", {"X-API-Version": "1"})):
        answer = client.get(path, headers=how)
        assert (answer.status_code, answer.json()["code"]) == (410, "VERSION_SUNSET")
        assert '</api/v2/jobs>; rel="successor-version"' in answer.headers["link"]
        assert answer.headers["sunset"]
    assert client.get("/api/v2/jobs").status_code == 200


def test_a_table_that_contradicts_itself_does_not_start() -> None:
    for table in ((ONE,), (TWO, replace(ONE, status=Status.CURRENT)), (replace(ONE, status=Status.DEPRECATED), TWO)):
        with pytest.raises(ValueError, match=r"current|deprecated"):
            Table(table)
    with pytest.raises(Failure):
        Table().named("v3")


def test_documents_are_there_for_each_version_and_for_both_and_not_in_production(new_client: NewClient) -> None:
    client = new_client()
    both = client.get("/openapi.json").json()["paths"]
    assert both["/api/v1/jobs"]["post"]["operationId"] == "submit_job_v1"
    assert both["/api/v2/jobs"]["post"]["operationId"] == "submit_job_v2"
    two = client.get("/api/v2/openapi.json").json()
    assert two["paths"]["/api/v2/jobs"]["post"]["operationId"] == "submit_job"
    assert client.get("/api/openapi.json", headers={"X-API-Version": "1"}).json()["info"]["title"] == "cadmill v1"
    assert client.get("/docs", params={"version": "v7"}).status_code == 400
    closed = new_client(process={"production": True})
    assert {closed.get(path).status_code for path in ("/docs", "/openapi.json", "/api/v1/openapi.json", "/api/v2/openapi.json")} == {404}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_page_that_shows_a_document_asks_no_other_host(new_client: NewClient, version: str) -> None:
    client = new_client()
    page = client.get("/docs", params={"version": version})
    assert page.headers["content-security-policy"].startswith("default-src 'self';")
    assert f'data-document="/api/{version}/openapi.json"' in page.text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 6
    assert {client.get(address).status_code for address in addresses if address.startswith("/") and address[1] != "/"} == {200}
    assert "//" not in "".join(addresses)
    assert "validatorUrl: null" in client.get(next(one for one in addresses if "/docs.js" in one)).text


def test_no_route_names_a_version_itself(new_client: NewClient) -> None:
    from fastapi.routing import iter_route_contexts

    app = new_client(process={"chaos": True}).app
    paths = [route.path or "" for route in iter_route_contexts(app.routes)]  # type: ignore[attr-defined]
    assert "/api/jobs/{job_id}" in paths
    of_pages = {route.path for page in pages.ROUTERS for route in page.routes}  # type: ignore[attr-defined]
    assert not [path for path in paths if path.startswith(("/api/v1", "/api/v2", "/jobs")) and path not in of_pages]


# -- what is not rendered ----------------------------------------------------------------------------------------------


async def _streamed(_request: Request) -> Response:
    return StreamingResponse(iter(['{"a"', ": 1}"]), media_type="application/json")


async def _pieces(scope: dict, receive: object, send: Callable) -> None:
    await send({"type": "http.response.start", "status": 200,
                "headers": [(b"content-type", b"application/json"), (b"content-length", b"7")]})  # fmt: skip
    await send({"type": "http.response.body", "body": b'{"a":', "more_body": True})
    await send({"type": "http.response.body", "body": b"1}"})


async def _hello(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(f"{asked().version.name} {link('/jobs')} {asked().version.has(Feature.ENVELOPE)}")
    await socket.close()


@pytest.fixture
def small() -> TestClient:
    routes = [
        Route("/api/streamed", _streamed),
        Route("/api/table", lambda _: Response("a,b", media_type="text/csv")),
        Route("/api/picture", lambda _: Response(b"\x89PNG", media_type="image/png")),
        Route("/api/nothing", lambda _: Response(status_code=204)),
        Route("/api/moved", lambda _: RedirectResponse("/api/v2/table")),
        Route("/api/json", lambda _: JSONResponse({"a": 1})),
        Route("/outside", lambda _: JSONResponse({"a": 1})),
        WebSocketRoute("/api/live", _hello),
    ]
    app = Starlette(routes=routes)

    async def with_pieces(scope: dict, receive: object, send: Callable) -> None:
        await (_pieces if scope.get("path") == "/api/pieces" else app)(scope, receive, send)

    return TestClient(Versioned(with_pieces, Table()), follow_redirects=False)


@pytest.mark.parametrize("path", ["streamed", "table", "picture", "nothing", "moved"])
def test_what_is_streamed_or_no_json_passes_as_it_is(small: TestClient, path: str) -> None:
    one, two = (small.get(f"/api/{version}/{path}") for version in ("v1", "v2"))
    assert (one.status_code, one.content) == (two.status_code, two.content)
    assert (one.headers["x-api-version"], two.headers["x-api-version"]) == ("v1", "v2")


def test_json_is_wrapped_whole_however_it_comes_and_only_below_the_prefix(small: TestClient) -> None:
    wrapped = {"data": {"a": 1}, "meta": {"request_id": "", "version": "v2"}, "errors": []}
    for path in ("pieces", "json"):
        answer = small.get(f"/api/v2/{path}")
        assert json.loads(answer.content) == wrapped
        assert int(answer.headers["content-length"]) == len(answer.content)
    assert small.head("/api/v2/json").content == b""
    assert small.get("/outside").json() == {"a": 1}
    assert "x-api-version" not in small.get("/outside").headers


def test_a_websocket_has_a_version_too(small: TestClient) -> None:
    for path, said in (("/api/v1/live", "v1 /api/v1/jobs False"), ("/api/live", "v2 /api/v2/jobs True")):
        with small.websocket_connect(path) as socket:
            assert socket.receive_text() == said
    with pytest.raises(WebSocketDisconnect) as refused, small.websocket_connect("/api/v9/live"):
        pass
    assert (refused.value.code, refused.value.reason) == (1008, "VERSION_UNKNOWN")


def test_what_a_library_threw_is_told_by_code_and_cause_and_by_nothing_it_says(
    new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space", "/srv/hunter2")

    client = new_client()
    monkeypatch.setattr("api.routes.jobs.job_views.page", full)
    plain, wrapped = client.get("/api/v1/jobs"), client.get("/api/v2/jobs")
    (enveloped,) = wrapped.json()["errors"]
    for answer, told in ((plain, plain.json()), (wrapped, enveloped)):
        assert (answer.status_code, told["code"], told["context"]["reason"], told["context"]["errno"]) == (
            507, "STORAGE_FULL", "OSError", "ENOSPC",
        )  # fmt: skip
        assert told["context"]["request_id"] == answer.headers["x-request-id"]
        assert "hunter2" not in answer.text


def test_the_codes_are_told_with_addresses_of_the_version_and_found_by_old_names(
    new_client: NewClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = new_client()
    whole = client.get("/api/v1/errors/codes").json()
    assert {one["code"]: (one["status"], one["retryable"], one["recovery"]) for one in whole["codes"]} == {
        row.name: (row.status, row.retryable, row.recovery) for row in CODES.values()
    }
    assert whole["renamed"] == codes.RENAMED
    monkeypatch.setitem(codes.RENAMED, "PART_LOST", "PART_NOT_FOUND")
    (one,) = client.get("/api/v2/errors/codes", params={"code": "PART_LOST"}).json()["data"]["codes"]
    assert (one["code"], one["remedy"]) == ("PART_NOT_FOUND", "List your parts with GET /api/v2/parts.")
    assert client.get("/api/v1/errors/codes", params={"code": "NOTHING"}).json()["codes"] == []
