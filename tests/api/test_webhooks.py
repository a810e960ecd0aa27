"""Webhook endpoints over HTTP, and real messages to a real receiver that verifies them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, get_args

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from ledger.outbox import EVENTS
from tasks.webhooks import Event
from tests.stack import Stack, wait_until

NOWHERE = "http://127.0.0.1:9/hook"


class Ear(ThreadingHTTPServer):
    """Writes down what it is sent on each path, with its headers; answers with the status set for that path."""

    def __init__(self) -> None:
        ear = self
        self.heard: list[tuple[str, dict[str, str], str]] = []
        self.status: dict[str, int] = {}

        class Door(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                ear.heard.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(ear.status.get(self.path, 204))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Silence: tests read what was heard."""

        super().__init__(("127.0.0.1", 0), Door)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def on(self, path: str) -> list[tuple[dict[str, str], str]]:
        return [(headers, body) for at, headers, body in self.heard if at == path]


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    server = Ear()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def mine(stack: Stack) -> Iterator[Stack]:
    """The stack in the hands of a tenant whose endpoints hear nothing of other tests' jobs."""
    with stack.as_tenant("webhooks") as twin:
        yield twin


def _ask(stack: Stack, method: str, path: str, status: int = 200, **how: Any) -> Any:
    answer = stack.http.request(method, f"/api/v1/{path}", **how)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def _add(stack: Stack, url: str, *events: str, **more: Any) -> dict[str, Any]:
    return dict(_ask(stack, "POST", "webhooks", 201, json={"url": url, **({"events": events} if events else {}), **more}))


def _remove(stack: Stack, *hooks: dict[str, Any]) -> None:
    for hook in hooks:
        _ask(stack, "DELETE", f"webhooks/{hook['id']}", 204)


def _ended(stack: Stack, name: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        told = _ask(stack, "GET", f"deliveries/{name}")
        return told if told["state"] in ("delivered", "dead") else None

    return dict(wait_until(over, 30))


def test_the_events_that_can_be_asked_for_are_those_there_are() -> None:
    assert set(get_args(Event)) == set(EVENTS)


def test_an_endpoint_is_made_changed_listed_and_removed(mine: Stack) -> None:
    made = _add(mine, NOWHERE, "job.failed", description="the PDM")
    here = f"webhooks/{made['id']}"
    assert (made["events"], made["enabled"], made["state"]) == (["job.failed"], True, "enabled")
    told = _ask(mine, "GET", here)
    assert "secret" not in told
    assert [one["retires_at"] for one in told["secrets"]] == [None]
    assert _ask(mine, "GET", f"{here}/secret")["secret"] == made["secret"]
    changed = _ask(mine, "PATCH", here, json={"url": "http://127.0.0.1:9/other", "enabled": False})
    assert (changed["url"], changed["events"], changed["state"]) == ("http://127.0.0.1:9/other", ["job.failed"], "paused")
    assert [one["id"] for one in _ask(mine, "GET", "webhooks")["webhooks"]] == [made["id"]]
    _remove(mine, made)
    _ask(mine, "GET", here, 404)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"url": "http://169.254.169.254/latest"}, "WEBHOOK_URL_FORBIDDEN"),
        ({"url": "ftp://example.com/"}, "WEBHOOK_URL_FORBIDDEN"),
        ({"url": "https://user@example.com/"}, "WEBHOOK_URL_FORBIDDEN"),
        ({"url": NOWHERE, "events": []}, "REQUEST_INVALID"),
        ({"url": NOWHERE, "events": ["job.exploded"]}, "REQUEST_INVALID"),
        ({"url": NOWHERE, "secret": "mine"}, "REQUEST_INVALID"),
        ({}, "REQUEST_INVALID"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused_with_its_code(mine: Stack, body: dict[str, Any], code: str) -> None:
    assert _ask(mine, "POST", "webhooks", 422, json=body)["code"] == code


def test_a_test_event_comes_signed_and_its_try_is_in_the_log(mine: Stack, ear: Ear) -> None:
    hook = _add(mine, ear.url("/test"), "job.failed", enabled=False)
    sent = _ask(mine, "POST", f"webhooks/{hook['id']}/test", 202)
    assert _ended(mine, sent["id"])["state"] == "delivered"
    ((headers, body),) = ear.on("/test")
    assert Webhook(hook["secret"]).verify(body, headers)["type"] == "webhook.test"
    assert headers["webhook-id"] == sent["id"]
    with pytest.raises(WebhookVerificationError):
        Webhook(_ask(mine, "GET", "webhooks/secret")["secret"]).verify(body, headers)
    (one,) = _ask(mine, "GET", f"webhooks/{hook['id']}/deliveries?state=delivered")["deliveries"]
    assert (one["id"], one["attempts"]) == (sent["id"], 1)
    assert _ask(mine, "GET", f"webhooks/{hook['id']}/deliveries?state=dead")["deliveries"] == []
    _remove(mine, hook)


def test_a_failed_test_event_is_not_tried_again(mine: Stack, ear: Ear) -> None:
    ear.status["/failing"] = 500
    hook = _add(mine, ear.url("/failing"))
    told = _ended(mine, _ask(mine, "POST", f"webhooks/{hook['id']}/test", 202)["id"])
    assert (told["state"], [one["status"] for one in told["tries"]]) == ("dead", [500])
    assert _ask(mine, "GET", f"webhooks/{hook['id']}")["failing_since"] is None
    _remove(mine, hook)


def test_a_job_is_told_in_order_to_every_endpoint_that_wants_it_and_to_its_callback(mine: Stack, ear: Ear) -> None:
    every = _add(mine, ear.url("/every"), "job.accepted", "job.started", "job.succeeded")
    ends, other = _add(mine, ear.url("/ends")), _add(mine, ear.url("/other"), "job.cancelled")
    job = mine.submit("probe", {"items": 2}, callback_url=ear.url("/callback"))["id"]
    mine.wait(job)
    wait_until(lambda: len(ear.on("/every")) == 3 and ear.on("/ends") and ear.on("/callback"), 30)
    told = [json.loads(body) for _, body in ear.on("/every")]
    assert [(one["seq"], one["type"]) for one in told] == [(1, "job.accepted"), (2, "job.started"), (3, "job.succeeded")]
    assert {one["data"]["id"] for one in told} == {job}
    assert ear.on("/other") == []
    secrets = {"/every": every["secret"], "/ends": ends["secret"], "/callback": _ask(mine, "GET", "webhooks/secret")["secret"]}
    for path, secret in secrets.items():
        for headers, body in ear.on(path):
            Webhook(secret).verify(body, headers)
    logged = _ask(mine, "GET", f"jobs/{job}/deliveries")["deliveries"]
    assert sorted(str(one["webhook_id"]) for one in logged) == sorted(["None", ends["id"], *[every["id"]] * 3])
    _remove(mine, every, ends, other)


def test_while_a_secret_is_rotated_the_old_and_the_new_one_verify(mine: Stack, ear: Ear) -> None:
    hook = _add(mine, ear.url("/rotated"))
    turned = _ask(mine, "POST", f"webhooks/{hook['id']}/rotate")
    assert [one["retires_at"] is None for one in turned["secrets"]] == [True, False]
    _ended(mine, _ask(mine, "POST", f"webhooks/{hook['id']}/test", 202)["id"])
    ((headers, body),) = ear.on("/rotated")
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (hook["secret"], turned["secret"]):
        Webhook(secret).verify(body, headers)
    _ask(mine, "POST", f"webhooks/{hook['id']}/rotate", json={"overlap_hours": 0})
    _ended(mine, _ask(mine, "POST", f"webhooks/{hook['id']}/test", 202)["id"])
    headers, body = ear.on("/rotated")[1]
    with pytest.raises(WebhookVerificationError):
        Webhook(turned["secret"]).verify(body, headers)
    _remove(mine, hook)


def test_410_switches_off_and_enabling_sends_again_what_died(mine: Stack, ear: Ear) -> None:
    ear.status["/gone"] = 410
    hook, watch = _add(mine, ear.url("/gone"), "job.succeeded"), _add(mine, ear.url("/watch"), "webhook.switched_off")
    mine.wait(mine.submit("probe", {"items": 1})["id"])
    wait_until(lambda: _ask(mine, "GET", f"webhooks/{hook['id']}")["state"] == "off", 30)
    wait_until(lambda: ear.on("/watch"), 30)
    assert json.loads(ear.on("/watch")[0][1])["data"]["reason"] == "gone"
    (dead,) = _ask(mine, "GET", f"webhooks/{hook['id']}/deliveries?state=dead")["deliveries"]
    span = {"since": "2020-01-01T00:00:00Z"}
    for path, body in ((f"deliveries/{dead['id']}/redeliver", {}), (f"webhooks/{hook['id']}/redeliver", span)):
        assert _ask(mine, "POST", path, 409, json=body)["code"] == "WEBHOOK_OFF"
    del ear.status["/gone"]
    assert _ask(mine, "POST", f"webhooks/{hook['id']}/enable", json={"redeliver": True})["redelivered"] == 1
    told = _ended(mine, dead["id"])
    assert (told["state"], [one["status"] for one in told["tries"]]) == ("delivered", [410, 204])

    again = _ask(mine, "POST", f"webhooks/{hook['id']}/redeliver", 202, json=span | {"states": ["delivered"]})
    assert (again["redelivered"], again["ids"], again["more"]) == (1, [dead["id"]], False)
    wait_until(lambda: len(ear.on("/gone")) == 3, 30)
    assert len({headers["webhook-id"] for headers, _ in ear.on("/gone")}) == 1
    _remove(mine, hook, watch)


def test_what_belongs_to_somebody_else_is_as_unknown_as_what_is_not_there(stack: Stack, mine: Stack) -> None:
    hook = _add(mine, NOWHERE, "job.failed")
    sent = _ask(mine, "POST", f"webhooks/{hook['id']}/test", 202)
    with stack.as_tenant("a stranger") as stranger:
        for foreign, unknown in ((f"webhooks/{hook['id']}", "webhooks/hook_0"), (f"deliveries/{sent['id']}", "deliveries/msg_0")):
            routes = [("GET", ""), ("POST", "/redeliver")]
            if foreign.startswith("webhooks"):
                routes += [("PATCH", ""), ("DELETE", ""), ("GET", "/secret"), ("GET", "/deliveries")]
                routes += [("POST", f"/{verb}") for verb in ("pause", "enable", "rotate", "test")]
            for method, verb in routes:
                body = {"json": {"since": "2020-01-01T00:00:00Z"}} if verb == "/redeliver" else {"json": {}} if method != "GET" else {}
                theirs, nobodys = (stranger.http.request(method, f"/api/v1/{where}{verb}", **body) for where in (foreign, unknown))
                assert (theirs.status_code, theirs.json()["code"]) == (nobodys.status_code, nobodys.json()["code"])
                assert theirs.status_code == 404
        assert _ask(stranger, "GET", "webhooks")["webhooks"] == []
    _remove(mine, hook)
