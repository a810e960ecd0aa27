"""One try against receivers that behave, refuse or are not there."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formatdate
from importlib.metadata import version
from ipaddress import IPv4Address, ip_address
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from foundation.clock import SYSTEM, Clock
from foundation.settings import WebhookSettings
from tasks.addresses import Address
from workers.webhooks.address import OPEN, Wire, dial, is_own
from workers.webhooks.send import Attempt, send, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = json.dumps({"type": "job.succeeded", "name": "Ø 80"}, ensure_ascii=False)
PUBLIC = WebhookSettings(allow_private=False, timeout_seconds=5.0)


def _try(url: str, settings: WebhookSettings, wire: Wire = OPEN, clock: Clock = SYSTEM) -> Attempt:
    return send(url, BODY, sign([SECRET], "msg_1", datetime.now(UTC), BODY), settings, clock, wire)


def _to_loopback(port: int, dialled: list[str]) -> Callable[[Address, int, float], socket.socket]:
    """Notes the address that would be called, and calls the test receiver in its place."""

    def noting(address: Address, _port: int, seconds: float) -> socket.socket:
        dialled.append(str(address))
        return dial(IPv4Address("127.0.0.1"), port, seconds)

    return noting


def _unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_delivery_arrives_whole_signed_and_named(receiver: Any, inner: WebhookSettings) -> None:
    attempt = _try(f"http://localhost:{receiver.port}/hook?job=1#part", inner)
    (request,) = receiver.requests
    assert attempt.accepted
    assert attempt.status == 200
    assert attempt.error_code is None
    assert not attempt.gone
    assert attempt.detail == "answered 200 OK"
    assert 0 < attempt.seconds < 5
    assert request.path == "/hook?job=1"
    assert request.headers["host"] == f"localhost:{receiver.port}"
    assert request.headers["user-agent"] == f"cadmill-webhooks/{version('cadmill')}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert Webhook(SECRET).verify(request.body, request.headers)["name"] == "Ø 80"


def test_a_content_type_of_the_caller_replaces_ours_whatever_its_case(receiver: Any, inner: WebhookSettings) -> None:
    send(f"http://127.0.0.1:{receiver.port}/", BODY, {"CONTENT-TYPE": "application/cloudevents+json"}, inner, SYSTEM)
    assert receiver.requests[0].headers["content-type"] == "application/cloudevents+json"


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_accepted(receiver: Any, inner: WebhookSettings, status: int) -> None:
    receiver.status, receiver.answer_body = status, b""
    assert _try(f"http://127.0.0.1:{receiver.port}/", inner).accepted


@pytest.mark.parametrize("status", [304, 400, 401, 404, 429, 500, 503, 599, 999])
def test_every_other_status_is_a_refusal(receiver: Any, inner: WebhookSettings, status: int) -> None:
    receiver.status, receiver.answer_body = status, b""
    attempt = _try(f"http://127.0.0.1:{receiver.port}/", inner)
    assert (attempt.accepted, attempt.status, attempt.error_code, attempt.gone) == (False, status, "RECEIVER_REFUSED", False)


def test_410_says_never_again(receiver: Any, inner: WebhookSettings) -> None:
    receiver.status = 410
    attempt = _try(f"http://127.0.0.1:{receiver.port}/", inner)
    assert attempt.gone
    assert not attempt.accepted
    assert attempt.error_code == "RECEIVER_REFUSED"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(receiver: Any, canary: Any, inner: WebhookSettings, status: int) -> None:
    receiver.status, receiver.answer_headers = status, {"Location": f"http://127.0.0.2:{canary.port}/"}
    attempt = _try(f"http://127.0.0.1:{receiver.port}/", inner)
    assert attempt.error_code == "RECEIVER_REFUSED"
    assert "redirects are not followed" in attempt.detail
    assert len(receiver.requests) == 1
    assert not canary.requests


def test_proxies_of_the_environment_are_ignored(
    receiver: Any, canary: Any, inner: WebhookSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.2:{canary.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    assert _try(f"http://127.0.0.1:{receiver.port}/", inner).accepted
    assert not canary.requests


@pytest.mark.parametrize(
    ("text", "wait"),
    [("0", 0), ("120", 120), ("86401", 86_400), ("9" * 500, 86_400), ("-5", None), ("1.5", None), ("soon", None), ("", None), ("٣", None),
     ("Wed, 21 Oct 99999 07:28:00 GMT", None), ("Wed, 21 Oct 2015 07:28:00 -" + "9" * 40, None),
     (formatdate(1_000_090, usegmt=True), 90), ("Mon, 12 Jan 1970 14:00:00 -0000", 800), (formatdate(5, usegmt=True), 0),
     (formatdate(9_000_000, usegmt=True), 86_400)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_date_and_capped_at_a_day(
    receiver: Any, inner: WebhookSettings, text: str, wait: float | None
) -> None:
    receiver.status, receiver.answer_headers = 503, {"Retry-After": text.encode().decode("latin-1")}
    attempt = _try(f"http://127.0.0.1:{receiver.port}/", inner, clock=Clock(now=lambda: 1_000_000.0))
    assert attempt.retry_after == wait


def test_a_dead_port_is_unreachable(inner: WebhookSettings) -> None:
    attempt = _try(f"http://127.0.0.1:{_unused_port()}/", inner)
    assert (attempt.status, attempt.error_code, attempt.detail) == (None, "RECEIVER_UNREACHABLE", "Connection refused")


def test_a_dead_first_address_leaves_the_second_its_turn(receiver: Any, inner: WebhookSettings, dns: Any) -> None:
    wire = Wire(look_up=dns(["127.0.0.9", "127.0.0.1"]))
    assert _try(f"http://receiver:{receiver.port}/", inner, wire).accepted


def test_a_silent_first_address_leaves_the_second_half_of_the_time(receiver: Any, hasty: WebhookSettings, dns: Any) -> None:
    def silent_first(address: Address, port: int, seconds: float) -> socket.socket:
        if str(address) == "127.0.0.9":
            SYSTEM.sleep(seconds)
            raise TimeoutError
        return dial(address, port, seconds)

    assert _try(f"http://receiver:{receiver.port}/", hasty, Wire(look_up=dns(["127.0.0.9", "127.0.0.1"]), dial=silent_first)).accepted


@pytest.mark.parametrize("error", [socket.gaierror(socket.EAI_NONAME, "x"), socket.gaierror(socket.EAI_AGAIN, "x")])
def test_a_name_that_cannot_be_resolved_is_unreachable(inner: WebhookSettings, error: OSError) -> None:
    def look_up(*_: object, **__: object) -> Any:
        raise error

    attempt = _try("http://nowhere.example.com/", inner, Wire(look_up=look_up))
    assert (attempt.error_code, attempt.detail) == ("RECEIVER_UNREACHABLE", "the name cannot be resolved")


def test_a_name_without_addresses_is_unreachable(inner: WebhookSettings, dns: Any) -> None:
    assert _try("http://nowhere.example.com/", inner, Wire(look_up=dns([]))).error_code == "RECEIVER_UNREACHABLE"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{}/", "https://localhost:{}/", "https://127.1/", "https://[::1]/", "https://u@example.com/", "what"]
)
def test_a_forbidden_url_is_refused_again_at_each_try(receiver: Any, url: str) -> None:
    attempt = _try(url.format(receiver.port), PUBLIC)
    assert (attempt.status, attempt.error_code) == (None, "WEBHOOK_URL_FORBIDDEN")
    assert not receiver.requests


@pytest.mark.parametrize(
    "answers", [["127.0.0.1"], ["93.184.216.34", "::1"], ["2606:4700::1111", "10.0.0.1"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"]]
)
def test_a_public_name_that_leads_inside_is_never_dialled(dns: Any, answers: list[str]) -> None:
    dialled: list[str] = []
    attempt = _try("https://evil.example.com/", PUBLIC, Wire(look_up=dns(answers), dial=_to_loopback(1, dialled)))
    assert attempt.error_code == "WEBHOOK_URL_FORBIDDEN"
    assert not dialled


def test_an_address_of_this_machine_is_refused_even_when_it_is_public(dns: Any) -> None:
    dialled: list[str] = []
    wire = Wire(look_up=dns(["93.184.216.34"]), dial=_to_loopback(1, dialled), is_own=lambda _: True)
    assert _try("https://me.example.com/", PUBLIC, wire).error_code == "WEBHOOK_URL_FORBIDDEN"
    assert not dialled
    assert is_own(ip_address("127.0.0.1"))
    assert not is_own(ip_address("93.184.216.34"))


def test_a_name_that_changes_its_mind_gains_nothing_in_a_thousand_tries(dns: Any) -> None:
    dialled: list[str] = []

    def refusing(address: Address, _port: int, _seconds: float) -> socket.socket:
        dialled.append(str(address))
        raise ConnectionRefusedError

    for _ in range(1000):
        wire = Wire(look_up=dns(["93.184.216.34"], ["127.0.0.1"]), dial=refusing, is_own=lambda _: False)
        assert _try("https://rebind.example.com/", PUBLIC, wire).error_code == "RECEIVER_UNREACHABLE"
        assert wire.look_up.asked == ["rebind.example.com"]  # type: ignore[attr-defined]
    assert dialled == ["93.184.216.34"] * 1000


def test_only_the_judged_address_is_dialled_on_real_sockets(receiver: Any, canary: Any, inner: WebhookSettings, dns: Any) -> None:
    look_up = dns(["127.0.0.1"], ["127.0.0.2"])
    assert _try(f"http://rebind:{receiver.port}/", inner, Wire(look_up=look_up)).accepted
    assert look_up.asked == ["rebind"]
    assert len(receiver.requests) == 1
    assert not canary.requests


def test_tls_keeps_the_name_in_sni_certificate_and_host_while_the_address_is_dialled(
    tls_receiver: Any, trusting: ssl.SSLContext, dns: Any
) -> None:
    dialled: list[str] = []
    look_up = dns(["93.184.216.34"])
    wire = Wire(look_up=look_up, dial=_to_loopback(tls_receiver.port, dialled), is_own=lambda _: False, tls=lambda: trusting)
    attempt = _try("https://hooks.example.com/hook", PUBLIC, wire)
    assert attempt.accepted
    assert dialled == ["93.184.216.34"]
    assert look_up.asked == ["hooks.example.com"]
    assert tls_receiver.names == ["hooks.example.com"]
    assert tls_receiver.requests[0].headers["host"] == "hooks.example.com"


def test_a_certificate_of_another_name_ends_the_try_before_a_word_is_sent(
    tls_receiver: Any, trusting: ssl.SSLContext, inner: WebhookSettings, dns: Any
) -> None:
    attempt = _try(f"https://other.example.com:{tls_receiver.port}/", inner, Wire(look_up=dns(["127.0.0.1"]), tls=lambda: trusting))
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert "certificate is not good" in attempt.detail
    assert not tls_receiver.requests


def test_a_self_signed_certificate_is_not_trusted_by_default_even_when_private_is_allowed(
    tls_receiver: Any, inner: WebhookSettings, dns: Any
) -> None:
    attempt = _try(f"https://hooks.example.com:{tls_receiver.port}/", inner, Wire(look_up=dns(["127.0.0.1"])))
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert "self" in attempt.detail
    assert not tls_receiver.requests


def test_plain_http_behind_https_is_told_as_a_tls_fault(receiver: Any, inner: WebhookSettings) -> None:
    attempt = _try(f"https://localhost:{receiver.port}/", inner)
    assert attempt.error_code == "RECEIVER_UNREACHABLE"
    assert attempt.detail.startswith("TLS failed")
