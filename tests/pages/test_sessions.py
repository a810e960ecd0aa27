"""Who may see and send what, over plain HTTP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.pages import rendering, session
from api.pages.routes import ROUTERS
from tests.stack import SAMPLES, Stack

PAGE = {"Accept": "text/html"}
VENDOR = Path(rendering.__file__).parent / "static" / "vendor"


class Inline(HTMLParser):
    """Finds what the policy would refuse: scripts, styles and handlers written into a page, and addresses of others."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag == "style" or (tag == "script" and not named.get("src")):
            self.found.append(tag)
        self.found += [name for name in named if name == "style" or name.startswith("on")]
        self.found += [str(named[name]) for name in ("src", "href", "action", "srcset") if "//" in (named.get(name) or "")]


@pytest.fixture
def guest(stack: Stack) -> Iterator[httpx2.Client]:
    """A browser as far as headers go, signed out."""
    with httpx2.Client(base_url=stack.url, headers=PAGE, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def client(guest: httpx2.Client, stack: Stack) -> httpx2.Client:
    """The same, signed in."""
    assert sign_in(guest, stack.key).headers["location"] == "/"
    return guest


def token(client: httpx2.Client, path: str = "/sign-in") -> str:
    found = re.search(r'name="form-token" content="([0-9a-f]+)"', client.get(path).text)
    assert found
    return found[1]


def sign_in(client: httpx2.Client, key: str, **more: str) -> httpx2.Response:
    return client.post("/sign-in", data={"key": key, "token": token(client), **more})


def test_the_cookie_of_a_session_holds_no_key_and_is_kept_from_scripts_and_other_sites(guest: httpx2.Client, stack: Stack) -> None:
    (cookie,) = [line for line in sign_in(guest, stack.key).headers.get_list("set-cookie") if line.startswith(session.COOKIE)]
    assert stack.key.rpartition("_")[2] not in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie, "over http it would never come back"


def test_a_session_opens_pages_and_no_route_of_the_api(client: httpx2.Client) -> None:
    assert client.get("/parts").status_code == 200
    assert client.get("/api/v1/parts").json()["code"] == "API_KEY_MISSING"


@pytest.mark.parametrize("made_up", ["", "s1.", "s1.AAAA", "nonsense", "s1." + "A" * 200])
def test_a_made_up_session_is_none(guest: httpx2.Client, made_up: str) -> None:
    answer = guest.get("/parts", headers={"Cookie": f"{session.COOKIE}={made_up}"})
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")


def test_a_session_ends_by_itself(stack: Stack) -> None:
    from foundation.clock import SYSTEM
    from foundation.errors import Failure
    from foundation.sealing import Sealing

    class Later:
        def now(self) -> float:
            return SYSTEM.now() + seconds

    class Settings:
        class api:  # noqa: N801 - stands for a section
            session_hours = 12.0

        class process:  # noqa: N801
            production = True

    class House:
        sealing, clock, settings = Sealing(b"s" * 32), Later(), Settings

    from starlette.requests import Request
    from starlette.responses import Response

    house: Any = House()
    seconds = 0.0
    asked = Request({"type": "http", "scheme": "http", "method": "GET", "path": "/", "headers": [(b"host", b"here")], "query_string": b""})
    answer = Response()
    session.begin(house, asked, answer, "cadmill_k_secret")
    (cookie,) = answer.headers.getlist("set-cookie")
    assert "Secure" in cookie, "in production always"
    kept = Request({**asked.scope, "headers": [(b"cookie", cookie.partition("; ")[0].encode())]})
    seconds = 12 * 3600 - 1
    assert session.key_of(house, kept) == "cadmill_k_secret"
    seconds = 12 * 3600 + 1
    with pytest.raises(Failure, match="SESSION_ENDED"):
        session.key_of(house, kept)


@pytest.mark.parametrize(
    ("why", "headers", "data"),
    [
        ("no token", {}, {}),
        ("another token", {}, {"token": "0" * 64}),
        ("another site by Origin", {"Origin": "https://evil.example"}, None),
        ("a site that hides", {"Origin": "null"}, None),
        ("another site by Fetch Metadata", {"Sec-Fetch-Site": "cross-site"}, None),
    ],
)
def test_forms_of_others_are_refused(client: httpx2.Client, why: str, headers: dict[str, str], data: dict[str, str] | None) -> None:
    answer = client.post("/duplicates/run", headers=headers, data=data if data is not None else {"token": token(client, "/")})
    assert (answer.status_code, "FORM_FORGED" in answer.text) == (403, True), why


def test_every_route_that_changes_something_checks_where_its_form_came_from() -> None:
    def checks(one: Dependant) -> bool:
        return one.call in (session.sender, session.script) or any(map(checks, one.dependencies))

    changing = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute) and "POST" in route.methods]
    assert len(changing) >= 13
    by_hand = {route.path for route in changing if not checks(route.dependant)}
    assert by_hand == {"/sign-in", "/sign-out", "/theme"}, "those call session.check themselves: nobody has to be signed in"


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/theme"])
def test_those_that_check_by_hand_do(guest: httpx2.Client, path: str) -> None:
    assert guest.post(path, data={"key": "x"}).status_code == 403


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\nx"])
def test_signing_in_leads_to_no_other_site(guest: httpx2.Client, stack: Stack, then: str) -> None:
    assert sign_in(guest, stack.key, then=then).headers["location"] == "/"


def test_nobody_sees_or_changes_what_is_anothers(client: httpx2.Client, stack: Stack) -> None:
    with stack.as_tenant("page neighbour") as other:
        (part,) = other.upload(SAMPLES / "stl" / "cylinder.stl")
        job = other.submit("extraction", {"parts": [part["id"]], "previews": True})
        other.wait(job["id"])
        form = {"token": token(client, "/")}
        foreign = [
            client.get(f"/parts/{part['id']}"), client.get(f"/parts/{part['id']}/preview.png"), client.get(f"/jobs/{job['id']}"),
            client.get(f"/jobs/{job['id']}/events"),
            client.get(f"/jobs/{job['id']}/result.csv"), client.get(f"/parts/{part['id']}/similar?job={job['id']}"),
            *(client.post(f"/jobs/{job['id']}/{verb}", data=form) for verb in ("cancel", "pause", "resume", "retry")),
            *(client.post(f"/parts/{part['id']}/{verb}", data=form) for verb in ("delete", "similar")),
            client.post("/duplicates/mark", data=form | {"first": part["id"], "second": part["id"], "mark": "ignored"}),
        ]  # fmt: skip
        assert {answer.status_code for answer in foreign} == {404}
        unknown = client.get(f"/parts/part_{'0' * 26}")
        hide = re.compile(r"part_\w+|name=\"token\" value=\"\w+\"")
        assert hide.sub("", foreign[0].text) == hide.sub("", unknown.text), "a foreign id answers like an unknown one"
        assert "cylinder.stl" not in client.get("/parts").text
        assert other.job(job["id"])["state"] == "succeeded"


def test_who_looks_at_me_is_told_of_the_key_and_of_what_is_used(client: httpx2.Client, stack: Stack) -> None:
    text = client.get("/me").text
    assert stack.key.split("_")[1] in text
    assert "read, submit, admin" in text
    assert "jobs in flight" in text


def test_names_of_strangers_are_text_and_nothing_else(client: httpx2.Client, stack: Stack) -> None:
    name = '<img src=x onerror=alert(1)>"\u202e.stl'
    answer = stack.http.post("/api/v1/parts", files=[("files", (name, b"solid x\nendsolid x\n"))])
    part_id = answer.json()["parts"][0]["id"]
    for path in (f"/parts/{part_id}", "/parts", "/"):
        text = client.get(path).text
        assert "<img src=x" not in text
        assert "\u202e" not in text
        assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert client.get("/parts", params={"q": '"><script>alert(1)</script>'}).text.count("<script>") == 0


def test_every_page_forbids_everything_from_elsewhere(client: httpx2.Client) -> None:
    for path in ("/", "/parts", "/duplicates", "/jobs", "/queues", "/errors", "/me", "/sign-in", "/nothing/here"):
        answer = client.get(path)
        assert "default-src 'self'" in answer.headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        inline = Inline()
        inline.feed(answer.text)
        assert inline.found == [], path


def test_failures_are_pages_for_people_and_problems_for_programs(client: httpx2.Client) -> None:
    page = client.get("/nothing/here")
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "There is nothing at this address." in page.text
    assert "ROUTE_NOT_FOUND" in page.text
    assert client.get("/nothing/here", headers={"Accept": "*/*"}).json()["code"] == "ROUTE_NOT_FOUND"
    assert client.get("/api/v1/nothing").json()["code"] == "ROUTE_NOT_FOUND"
    gone = client.get("/jobs/job_none")
    assert (gone.status_code, "JOB_NOT_FOUND" in gone.text) == (404, True)
    odd = client.get("/parts?format=pdf&cursor=%00")
    assert (odd.status_code, "REQUEST_INVALID" in odd.text) == (422, True)


def test_downloads_are_files_named_by_their_job(client: httpx2.Client, stack: Stack) -> None:
    job = stack.submit("probe", {"items": 2})
    stack.wait(job["id"])
    for form in ("csv", "jsonl", "json"):
        answer = client.get(f"/jobs/{job['id']}/result.{form}")
        assert answer.headers["content-disposition"] == f'attachment; filename="{job["id"]}.{form}"'
        assert answer.text.count("succeeded") >= 2


def test_the_libraries_are_those_that_were_published() -> None:
    sums = dict(re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", (VENDOR / "LICENCES.md").read_text(), re.MULTILINE))
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.suffix != ".md"}
    assert files == sums


def test_static_files_are_kept_by_browsers_for_good_and_change_their_address_with_their_content(client: httpx2.Client) -> None:
    answer = client.get(rendering.static("page.css"))
    assert "immutable" in answer.headers["cache-control"]
    assert "immutable" not in client.get("/static/page.css").headers.get("cache-control", "")
    assert client.get("/static/../templates/base.html").status_code == 404
