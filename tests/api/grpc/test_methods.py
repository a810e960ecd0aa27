"""The short methods and the watching, by a real client over a socket; workers do the work."""

from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from sqlalchemy import select, update

from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.cadmill.v1.cadmill_pb2_grpc import CadmillStub
from ledger.rows import audit, keys
from tests.api.grpc.conftest import PATIENCE, ended, new_key, pieces, refused, serving
from tests.stack import SAMPLES, Stack, wait_until


def probe(client: Any, metadata: Any, items: int = 2, ms: int = 0, **more: Any) -> pb.Job:
    asked = pb.SubmitRequest(kind="probe", **more)
    asked.input.update({"items": items, "ms": ms})
    job: pb.Job = client.Submit(asked, metadata=metadata)
    return job


def test_a_job_is_submitted_read_and_found_in_the_list_as_by_http(client: Any, mine: Any, door: Stack) -> None:
    job = probe(client, mine, 2, labels={"of": "grpc"}, priority=pb.PRIORITY_HIGH)
    assert (job.kind, job.priority, job.counts.total) == ("probe", pb.PRIORITY_HIGH, 2)
    done = ended(client, job.id, mine)
    assert (done.state, done.counts.succeeded) == (pb.JOB_STATE_SUCCEEDED, 2)
    by_http = door.job(job.id)
    assert by_http["labels"] == dict(done.labels) == {"of": "grpc"}
    assert MessageToDict(done.finished_at) == by_http["finished_at"]
    items = client.Items(pb.ItemsRequest(id=job.id), metadata=mine).items
    assert [item.state for item in items] == [pb.ITEM_STATE_SUCCEEDED] * 2
    assert [MessageToDict(item.result) for item in items] == [item["result"] for item in door.items(job.id)]


def test_lists_come_in_pages_and_can_be_filtered(client: Any, mine: Any) -> None:
    made = [probe(client, mine, 3).id for _ in range(3)]
    first = client.List(pb.ListRequest(limit=2, kind="probe"), metadata=mine)
    second = client.List(pb.ListRequest(limit=2, kind="probe", cursor=first.next_cursor), metadata=mine)
    assert [job.id for job in (*first.jobs, *second.jobs)][:3] == made[::-1]
    assert client.List(pb.ListRequest(kind="migration"), metadata=mine) == pb.ListResponse()
    ended(client, made[-1], mine)
    assert made[-1] in {job.id for job in client.List(pb.ListRequest(state=pb.JOB_STATE_SUCCEEDED), metadata=mine).jobs}
    assert made[-1] not in {job.id for job in client.List(pb.ListRequest(state=pb.JOB_STATE_FAILED), metadata=mine).jobs}
    one = client.Items(pb.ItemsRequest(id=made[-1], limit=2), metadata=mine)
    rest = client.Items(pb.ItemsRequest(id=made[-1], limit=2, cursor=one.next_cursor), metadata=mine)
    assert ([item.index for item in one.items], [item.index for item in rest.items], rest.next_cursor) == ([0, 1], [2], "")


def test_one_idempotency_key_is_one_job_by_both_doors(client: Any, mine: Any, door: Stack) -> None:
    keyed = (*mine, ("idempotency-key", "both-doors"))
    first, again = probe(client, keyed), probe(client, keyed)
    assert first.id == again.id
    body = {"kind": "probe", "input": {"items": 2, "ms": 0}}
    by_http = door.http.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": "both-doors"})
    assert (by_http.status_code, by_http.json()["id"]) == (202, first.id)
    status, _, problem = refused(lambda: probe(client, keyed, 3))
    assert (status, problem["code"]) == (grpc.StatusCode.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REUSED")


def test_a_problem_is_the_one_of_http(client: Any, mine: Any, door: Stack) -> None:
    status, message, problem = refused(lambda: client.Get(pb.GetRequest(id="job_nobody"), metadata=mine))
    by_http = door.http.get("/api/v1/jobs/job_nobody").json()
    by_http["remedy"] = by_http["remedy"].replace("/api/v1/", "/api/v2/")  # who asked by no version is advised of the newest
    assert status is grpc.StatusCode.NOT_FOUND
    assert problem | {"timestamp": ""} == by_http | {"timestamp": ""}
    assert message == by_http["message"]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        (pb.SubmitRequest(kind="nothing"), "KIND_UNKNOWN"),
        (pb.SubmitRequest(kind="extraction"), "REQUEST_INVALID"),
        (pb.SubmitRequest(kind="probe", deadline={"seconds": 1000}, input={"fields": {"items": {"number_value": 1}}}), "REQUEST_INVALID"),
        (pb.SubmitRequest(kind="probe", callback_url="ftp://x", input={"fields": {"items": {"number_value": 1}}}), "WEBHOOK_URL_FORBIDDEN"),
    ],
)
def test_what_http_refuses_is_refused(client: Any, mine: Any, asked: pb.SubmitRequest, code: str) -> None:
    status, _, problem = refused(lambda: client.Submit(asked, metadata=mine))
    assert (status, problem["code"]) == (grpc.StatusCode.INVALID_ARGUMENT, code)


@pytest.mark.parametrize(
    ("method", "asked"),
    [
        ("List", pb.ListRequest(cursor="x")), ("List", pb.ListRequest(limit=1001)), ("List", pb.ListRequest(state=99)),
        ("Items", pb.ItemsRequest(id="x", cursor="x")), ("Items", pb.ItemsRequest(id="x", state=99)),
    ],
)  # fmt: skip
def test_a_page_that_cannot_be_is_refused(client: Any, mine: Any, method: str, asked: Any) -> None:
    assert refused(lambda: getattr(client, method)(asked, metadata=mine))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_what_is_no_message_is_refused_with_a_code_and_told_nothing_of_the_server(channel: grpc.Channel, mine: Any) -> None:
    raw = channel.unary_unary("/cadmill.v1.Cadmill/Get")
    status, _, problem = refused(lambda: raw(b"\xff\xff\xff", metadata=mine))
    assert (status, problem["code"]) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")


def test_a_watch_begins_with_a_snapshot_tells_changes_and_ends_with_the_job(client: Any, mine: Any) -> None:
    job = probe(client, mine, 12, 60)
    seen = list(client.Watch(pb.WatchRequest(id=job.id), metadata=mine, timeout=PATIENCE))
    pending = [each.counts.pending for each in seen]
    assert pending == sorted(pending, reverse=True)
    assert len(seen) >= 3, "progress was seen on the way"
    assert all(one != two for one, two in pairwise(seen))
    assert seen[-1].state == pb.JOB_STATE_SUCCEEDED
    assert len(list(client.Watch(pb.WatchRequest(id=job.id), metadata=mine))) == 1, "an ended job is told once"


def test_a_deadline_of_the_client_ends_the_watch_and_never_the_job(client: Any, mine: Any) -> None:
    job = probe(client, mine, 8, 150)
    with pytest.raises(grpc.RpcError) as caught:
        list(client.Watch(pb.WatchRequest(id=job.id), metadata=mine, timeout=0.2))
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ended(client, job.id, mine).state == pb.JOB_STATE_SUCCEEDED


def test_a_cancelled_job_ends_its_watch_and_is_cancelled_once(client: Any, mine: Any) -> None:
    job = probe(client, mine, 400, 50)
    watching = client.Watch(pb.WatchRequest(id=job.id), metadata=mine, timeout=PATIENCE)
    next(watching)
    assert client.Cancel(pb.CancelRequest(id=job.id), metadata=mine).state == pb.JOB_STATE_CANCELLED
    assert list(watching)[-1].state == pb.JOB_STATE_CANCELLED
    status, _, problem = refused(lambda: client.Cancel(pb.CancelRequest(id=job.id), metadata=mine))
    assert (status, problem["code"]) == (grpc.StatusCode.FAILED_PRECONDITION, "JOB_FINISHED")


def test_a_tenant_has_so_many_calls_at_once_and_no_more(client: Any, door: Stack) -> None:
    theirs = (("x-api-key", new_key(door, "many calls")["key"]),)
    job = probe(client, theirs, 1, run_after={"seconds": int(time.time()) + 3600})
    watching = [client.Watch(pb.WatchRequest(id=job.id), metadata=theirs, timeout=PATIENCE) for _ in range(20)]
    for each in watching:
        next(each)
    status, _, problem = refused(lambda: client.Get(pb.GetRequest(id=job.id), metadata=theirs))
    assert (status, problem["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CALLS_LIMIT")
    assert client.List(pb.ListRequest(), metadata=(("x-api-key", door.key),)), "others are not in its way"
    for each in watching:
        each.cancel()
    wait_until(lambda: _is_answered(client, job.id, theirs), 10)


def _is_answered(client: Any, job_id: str, metadata: Any) -> bool:
    try:
        client.Get(pb.GetRequest(id=job_id), metadata=metadata)
    except grpc.RpcError:
        return False
    return True


def test_calls_are_measured_by_method_and_status(client: Any, mine: Any, door: Stack) -> None:
    refused(lambda: client.Get(pb.GetRequest(id="nobody"), metadata=mine))
    list(client.Extract(pieces([SAMPLES / "stl" / "20mm-xyz-cube.stl"]), metadata=mine, timeout=PATIENCE))
    text = door.http.get("/metrics").text
    assert 'cadmill_grpc_seconds_count{method="Get",status="NOT_FOUND"}' in text
    assert 'cadmill_grpc_seconds_count{method="Extract",status="OK"}' in text


def test_every_answer_has_the_number_under_which_the_log_knows_it(client: Any, mine: Any) -> None:
    _, call = client.List.with_call(pb.ListRequest(), metadata=mine)
    assert dict(call.trailing_metadata())["x-request-id"].startswith("req_")


# what the house tells of each call


def trailing(call: Any) -> dict[str, str]:
    return dict(call.trailing_metadata())


def test_who_asks_too_much_is_told_how_long_to_wait(tmp_path: Path, redis_url: str) -> None:
    """A submission costs five units, and this key has seven an hour."""
    with (
        serving(tmp_path, redis_url=redis_url, rates={"user": "token-bucket 7/3600"}) as served,
        grpc.insecure_channel(served.address) as channel,
    ):
        client, asking = CadmillStub(channel), (("x-api-key", served.key),)
        asked = pb.SubmitRequest(kind="extraction")
        asked.input.update({"parts": ["part_nobody"]})
        _, call = client.Submit.with_call(asked, metadata=asking)
        assert '"user";r=2' in trailing(call)["ratelimit"]
        with pytest.raises(grpc.RpcError) as caught:
            client.Submit(asked, metadata=asking)
        told = trailing(caught.value)
        problem = json.loads(told["cadmill-problem-bin"])
        assert (caught.value.code(), problem["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert 1 < int(told["retry-after"]) == problem["context"]["retry_after_seconds"] <= 3600
        assert client.List(pb.ListRequest(), metadata=asking) is not None, "looking costs one, and there are two left"


def test_a_key_that_should_be_rotated_says_so_with_every_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as served, grpc.insecure_channel(served.address) as channel:
        client, asking = CadmillStub(channel), (("x-api-key", served.key),)
        assert "x-next-rotation-hint" not in trailing(client.List.with_call(pb.ListRequest(), metadata=asking)[1])
        with served.house.ledger.write() as tx:
            tx.execute(update(keys).values(created_at=tx.now - 400 * 86_400))
        hint = trailing(client.List.with_call(pb.ListRequest(), metadata=asking)[1])["x-next-rotation-hint"]
        with pytest.raises(grpc.RpcError) as caught:
            client.Get(pb.GetRequest(id="job_nobody"), metadata=asking)
        assert hint == trailing(caught.value)["x-next-rotation-hint"]


def test_refusals_are_in_the_audit_trail_and_uses_are_noted(tmp_path: Path) -> None:
    with serving(tmp_path) as served, grpc.insecure_channel(served.address) as channel:
        client = CadmillStub(channel)
        refused(lambda: client.List(pb.ListRequest(), metadata=(("x-api-key", served.key[:-70] + "0" * 70),)))
        client.List(pb.ListRequest(), metadata=(("x-api-key", served.key),))
        served.house.uses.write(served.house.ledger)
        with served.house.ledger.read() as tx:
            (line,) = tx.execute(select(audit).where(audit.c.action == "refused.api_key_unknown"))
            assert (line.subject, line.outcome) == ("gRPC List", "refused")
            assert tx.connection.scalar(select(keys.c.last_used_at)) is not None
