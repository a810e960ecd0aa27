"""Live events over real sockets: who may listen, to what, and how it ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from ledger import keys
from ledger.session import Ledger
from ledger.tenants import Tenant
from tests.api.live.conftest import ADMIN_TOKEN, KEEP, OTHER_PAGE, PER_KEY, Listener, listener
from tests.stack import Stack

Mine = tuple[Stack, Tenant]
Publish = Callable[..., None]


def address(stack: Stack) -> str:
    return stack.url.replace("http", "ws", 1) + "/api/v1/live"


def close_code(client: Listener, seconds: float = 15.0) -> int:
    """How the server ends a connection that is read to its end."""
    try:
        client.next("never", seconds)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 1006
    raise AssertionError("unreachable")


def test_an_event_made_at_one_process_reaches_those_who_listen_to_another(stacks: tuple[Stack, Stack], tenant: Mine) -> None:
    here, _ = tenant
    with listener(stacks[1], "tenant", key=here.key) as elsewhere, listener(here, "topic:jobs") as same:
        job = here.submit("probe", {"items": 3})
        here.http.post(f"/api/v1/jobs/{job['id']}/cancel")
        for client in (elsewhere, same):
            assert client.next("job.state", id=job["id"])["data"]["state"] == "queued"
            ended = client.next("job.state", id=job["id"])
            assert (ended["data"]["state"], ended["data"]["counts"]["cancelled"]) == ("cancelled", 3)


def test_a_job_channel_begins_with_the_job_as_it_is(tenant: Mine) -> None:
    here, _ = tenant
    job = here.submit("probe", {"items": 3})
    with listener(here, f"job:{job['id']}") as client:
        snapshot = client.next("snapshot")
        assert snapshot["job"] == job["id"]
        assert {name: snapshot["data"][name] for name in ("state", "kind", "counts")} == {
            name: job[name] for name in ("state", "kind", "counts")
        }
        here.http.post(f"/api/v1/jobs/{job['id']}/pause")
        while not client.next("job.state")["data"]["paused_at"]:
            pass  # what the snapshot tells already may come after it
        here.http.post(f"/api/v1/jobs/{job['id']}/cancel")
        client.next("job.state", state="cancelled")


def test_a_foreign_job_answers_as_an_unknown_one_and_tells_nothing(stacks: tuple[Stack, Stack], tenant: Mine) -> None:
    here, _ = tenant
    foreign = stacks[0].submit("probe", {"items": 1})["id"]
    unknown = foreign[:-4] + "zzzz"
    with listener(here, "tenant") as client:
        answers = []
        for job in (foreign, unknown):
            client.say(type="subscribe", channels=[f"job:{job}"])
            answer = client.next("error")["data"]
            assert answer["context"] == {"id": job}
            answers.append({name: value for name, value in answer.items() if name not in ("context", "timestamp")})
        assert answers[0] == answers[1]
        assert answers[0]["code"] == "JOB_NOT_FOUND"
        stacks[0].http.post(f"/api/v1/jobs/{foreign}/cancel")
        client.say(type="ping")
        time.sleep(0.3)
        client.next("pong")
        assert not [told for told in client.told if told["type"] == "job.state"]
    told = here.http.get("/api/v1/live", params={"channels": f"job:{foreign}"})
    assert (told.status_code, told.json()["code"]) == (404, "JOB_NOT_FOUND")


def test_who_submits_hears_of_it_on_the_channel_of_the_key_and_no_other_key_may(
    stacks: tuple[Stack, Stack], tenant: Mine, ledger: Ledger
) -> None:
    here, me = tenant
    with ledger.write() as tx:
        other = keys.add(tx, here.sealing.pepper(keys.PEPPER), me.id).text
    with listener(here, "user") as mine, listener(stacks[1], "user", key=other) as colleague:
        job = here.submit("probe", {"items": 1})
        assert mine.next("job.state")["job"] == job["id"]
        colleague.say(type="subscribe", channels=[f"user:{me.key_id}"])
        assert colleague.next("error")["data"]["code"] == "LIVE_CHANNEL_UNKNOWN"
        announced = here.http.post(
            "/api/v1/announcements", json={"text": "only you", "tenant": me.name, "key": me.key_id}, headers={"X-Admin-Token": ADMIN_TOKEN}
        )
        assert announced.status_code == 202, announced.text
        assert mine.next("announcement")["data"] == {"text": "only you"}
        here.http.post("/api/v1/announcements", json={"text": "all of you"}, headers={"X-Admin-Token": ADMIN_TOKEN})
        colleague.listen("topic:announcements")
        here.http.post("/api/v1/announcements", json={"text": "again"}, headers={"X-Admin-Token": ADMIN_TOKEN})
        colleague.next("announcement", text="again")
        assert not [told for told in colleague.told if told.get("data", {}).get("text") == "only you"]


def test_only_the_operator_may_announce(tenant: Mine) -> None:
    here, _ = tenant
    assert here.http.post("/api/v1/announcements", json={"text": "hello"}).json()["code"] == "ADMIN_TOKEN_MISSING"


def test_the_key_may_come_in_the_first_message(tenant: Mine) -> None:
    here, _ = tenant
    with connect(address(here), proxy=None) as socket:
        client = Listener(socket)
        client.say(type="hello", key=here.key, channels=["tenant"])
        client.next("welcome")
        assert client.next("subscribed")["data"]["channels"] == ["tenant"]


@pytest.mark.parametrize(
    "said", [None, {"type": "hello", "key": "cadmill_x_y"}, {"type": "subscribe", "channels": ["tenant"]}, {"type": "hello"}]
)
def test_who_shows_no_key_in_time_is_closed_with_1008(stacks: tuple[Stack, Stack], said: dict[str, Any] | None) -> None:
    begun = time.monotonic()
    with connect(address(stacks[0]), proxy=None) as socket:
        client = Listener(socket)
        if said:
            client.say(**said)
        assert close_code(client) == 1008
        assert client.told[-1]["data"]["code"] in ("API_KEY_MISSING", "API_KEY_UNKNOWN")
    assert time.monotonic() - begun < 5


def test_idle_sockets_without_a_key_are_few(stacks: tuple[Stack, Stack]) -> None:
    crowd = [connect(address(stacks[1]), proxy=None) for _ in range(8)]
    codes = [close_code(Listener(socket.__enter__())) for socket in crowd]
    assert (codes.count(1013), codes.count(1008)) == (3, 5)


def test_an_unknown_key_in_the_header_ends_the_handshake_and_one_in_the_address_is_not_taken(tenant: Mine) -> None:
    here, _ = tenant
    with pytest.raises(InvalidStatus) as refused:
        connect(address(here), additional_headers={"X-API-Key": "cadmill_x_y"}, proxy=None).__enter__()
    assert (refused.value.response.status_code, json.loads(refused.value.response.body)["code"]) == (401, "API_KEY_UNKNOWN")
    with connect(f"{address(here)}?key={here.key}&x_api_key={here.key}", proxy=None) as socket:
        assert close_code(Listener(socket)) == 1008


def test_a_page_of_another_site_is_refused(tenant: Mine) -> None:
    here, _ = tenant
    for origin, allowed in ((here.url, True), (OTHER_PAGE, True), ("https://evil.example", False), ("null", False)):
        if allowed:
            with listener(here, "tenant", origin=origin):
                continue
        with pytest.raises(InvalidStatus) as refused:
            with listener(here, "tenant", origin=origin):
                raise AssertionError("let in")
        assert refused.value.response.status_code == 403
        assert here.http.get("/api/v1/live", headers={"Origin": origin}).json()["code"] == "LIVE_ORIGIN_FORBIDDEN"


def test_a_frame_of_10_mb_ends_its_connection_with_1009_at_its_first_bytes(tenant: Mine) -> None:
    here, _ = tenant
    with listener(here, "tenant") as client:
        client.socket.socket.sendall(b"\x81\xff" + (10_000_000).to_bytes(8, "big") + b"mask" + b"x" * 1000)
        assert close_code(client) == 1009
    with listener(here, "tenant") as client, pytest.raises(ConnectionClosed):  # its answer may be lost in all that still comes
        client.socket.send("x" * 10_000_000)
        client.next("never")


@pytest.mark.parametrize(
    "text", ["", "[", "[" * 50_000, "{}", '"a"', '{"type": "subscribe"}', '{"type": "subscribe", "channels": [1]}', "\x00"]
)
def test_what_makes_no_sense_is_told_and_the_connection_lives(tenant: Mine, text: str) -> None:
    here, _ = tenant
    with listener(here, "tenant") as client:
        client.socket.send(text)
        assert client.next("error")["data"]["code"] in ("LIVE_MESSAGE_INVALID", "LIVE_CHANNEL_UNKNOWN")
        client.socket.send(b"\xff\x00")
        client.next("error")
        client.say(type="ping")
        client.next("pong")


def test_a_key_may_open_so_many_connections_and_no_more(tenant: Mine) -> None:
    here, _ = tenant
    opened = [listener(here) for _ in range(PER_KEY)]
    for each in opened:
        each.__enter__()
    with pytest.raises(ConnectionClosed) as closed, listener(here):
        raise AssertionError("let in")
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1013
    assert here.http.get("/api/v1/live").status_code == 429
    for each in opened:
        each.__exit__(None, None, None)


def test_a_revoked_key_is_closed_within_5_seconds_in_every_process(stacks: tuple[Stack, Stack], tenant: Mine) -> None:
    here, me = tenant
    with listener(here, "tenant") as one, listener(stacks[1], "tenant", key=here.key) as two, listener(stacks[1], "tenant") as other:
        assert here.http.delete(f"/api/v1/keys/{me.key_id}").status_code == 204
        begun = time.monotonic()
        assert [close_code(one, 6), close_code(two, 6)] == [1008, 1008]
        assert time.monotonic() - begun < 5
        assert one.told[-1]["data"]["reason"] == "revoked"
        other.say(type="ping")
        other.next("pong")


def test_who_comes_back_with_the_last_id_misses_nothing_and_hears_nothing_twice(
    stacks: tuple[Stack, Stack], tenant: Mine, publish: Publish
) -> None:
    here, _ = tenant
    with listener(here, "tenant") as client:
        publish("1", "2", "3")
        last = client.next("announcement", text="2")["id"]
    publish(*(str(number) for number in range(4, 50)))
    with listener(stacks[1], "tenant", key=here.key, after=last) as back:
        publish("50")
        back.next("announcement", text="50")
        assert [told["data"]["text"] for told in back.told if told["type"] == "announcement"] == [str(number) for number in range(3, 51)]
        assert "gap" not in {told["type"] for told in back.told}


def test_who_comes_back_too_late_is_told_of_a_gap_and_gets_a_snapshot(stacks: tuple[Stack, Stack], tenant: Mine, publish: Publish) -> None:
    here, _ = tenant
    job = here.submit("probe", {"items": 1})["id"]
    with listener(here, "tenant") as client:
        publish("first")
        last = client.next("announcement")["id"]
        for at in range(0, 4 * KEEP, 50):
            publish(*(str(number) for number in range(at, at + 50)))
            client.next("announcement", text=str(at + 49))
    for stack in stacks:
        with listener(stack, key=here.key) as back:
            back.listen("tenant", f"job:{job}", last_event_id=last)
            back.next("gap")
            assert back.next("snapshot")["job"] == job


def test_an_id_that_no_event_had_is_refused(tenant: Mine) -> None:
    here, _ = tenant
    with listener(here) as client:
        client.say(type="subscribe", channels=["tenant"], last_event_id="yesterday")
        assert client.next("error")["data"]["code"] == "REQUEST_INVALID"


def test_a_burst_makes_no_slow_reader_of_one_that_reads(tenant: Mine, publish: Publish) -> None:
    here, _ = tenant
    with listener(here, "tenant") as client:
        publish(*(str(number) for number in range(KEEP // 2)))
        client.next("announcement", text=str(KEEP // 2 - 1))
        assert len([told for told in client.told if told["type"] == "announcement"]) == KEEP // 2


def test_a_slow_reader_is_dropped_and_told_while_others_hear_everything(tenant: Mine, publish: Publish) -> None:
    here, _ = tenant
    with listener(here, "tenant", max_queue=1) as slow, listener(here, "tenant") as quick:
        rounds, size = 60, 60_000  # more than all buffers between them hold
        for _ in range(rounds):
            publish(*("x" * size for _ in range(5)))
            for _ in range(5):
                quick.next("announcement")
        assert close_code(slow, 20) == 4408
        assert slow.told[-1]["type"] == "closing"
        last = slow.told[-1]["data"]["last_event_id"]
        heard = [told["id"] for told in quick.told if told["type"] == "announcement"]
        assert len(heard) == 5 * rounds
        assert last in heard


def test_server_sent_events_say_the_same_and_go_on_from_the_last_id(tenant: Mine, publish: Publish) -> None:
    here, _ = tenant

    def events(until: str, **how: Any) -> tuple[list[dict[str, str]], list[str]]:
        found, comments = [], []
        with here.http.stream("GET", "/api/v1/live", params={"channels": "tenant"}, timeout=15, **how) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            block: dict[str, str] = {}
            for line in answer.iter_lines():
                if line.startswith(":"):
                    comments.append(line)
                    publish("one", "two", "three")
                elif line:
                    name, _, value = line.partition(": ")
                    block[name] = value
                elif block:
                    found.append(block)
                    if until in block.get("data", ""):
                        return found, comments
                    block = {}
        raise AssertionError(f"ended without {until}: {found}")

    found, comments = events("two")
    assert comments
    assert [block.get("event") for block in found] == [None, "subscribed", "announcement", "announcement"]
    assert int(found[0]["retry"]) >= 1000
    again, _ = events("three", headers={"Last-Event-ID": found[-2]["id"]})
    told = [json.loads(block["data"])["data"]["text"] for block in again if block.get("event") == "announcement"]
    assert told == ["two", "three"]


def test_events_and_connections_are_counted(stacks: tuple[Stack, Stack], tenant: Mine) -> None:
    here, _ = tenant
    with listener(here, "tenant"):
        assert here.metric("cadmill_live_connections_total") >= 1
    assert here.metric("cadmill_live_events_total") > 0
    assert here.metric("cadmill_live_lag_seconds_count") > 0
    assert here.metric("cadmill_live_connections_ended_total") > 0
