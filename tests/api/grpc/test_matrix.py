"""Every method of the protocol file times everybody who may ask: nothing of another tenant's is told, not even that it is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlalchemy import update

import api.grpc.door
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.cadmill.v1.cadmill_pb2_grpc import CadmillStub
from api.grpc.door import SERVICE
from api.policy import Scope
from foundation.clock import Clock
from foundation.errors import Failure
from ledger.rows import keys
from tests.api.grpc.conftest import ADMIN_TOKEN, PATIENCE, ended, new_key, pieces, refused, serving
from tests.stack import SAMPLES, Stack

CUBE = SAMPLES / "stl" / "20mm-xyz-cube.stl"
UNKNOWN = "job_01zzzzzzzz0000zzzzzzzzzzzz"
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """How a method is called, given the id of a job, and what it needs. `names`: it names something, which may be another's."""

    scope: Scope
    asked: Callable[[str], Any]
    names: bool = True


def _submission(_job_id: str) -> pb.SubmitRequest:
    asked = pb.SubmitRequest(kind="probe")
    asked.input.update({"items": 1})
    return asked


# A new method needs a line here.
SAMPLES_OF: dict[str, Sample] = {
    "Submit": Sample(Scope.SUBMIT, _submission, names=False),
    "Get": Sample(Scope.READ, lambda job_id: pb.GetRequest(id=job_id)),
    "List": Sample(Scope.READ, lambda _: pb.ListRequest(), names=False),
    "Items": Sample(Scope.READ, lambda job_id: pb.ItemsRequest(id=job_id)),
    "Cancel": Sample(Scope.SUBMIT, lambda job_id: pb.CancelRequest(id=job_id)),
    "Watch": Sample(Scope.READ, lambda job_id: pb.WatchRequest(id=job_id)),
    "Extract": Sample(Scope.SUBMIT, lambda _: pieces([CUBE]), names=False),
}
NAMES = [method.name for method in SERVICE.methods]


def test_every_method_of_the_protocol_has_a_sample_and_no_other_has() -> None:
    assert sorted(SAMPLES_OF) == sorted(NAMES)


def ask(client: Any, name: str, job_id: str, metadata: Metadata | None) -> list[Any]:
    """Call a method; all it answers."""
    answer = getattr(client, name)(SAMPLES_OF[name].asked(job_id), metadata=metadata, timeout=PATIENCE)
    method = next(method for method in SERVICE.methods if method.name == name)
    return list(answer) if method.server_streaming else [answer]


@pytest.fixture
def job(client: Any, mine: Metadata) -> str:
    """A job of the tenant whose stack it is."""
    return str(client.Submit(_submission(""), metadata=mine).id)


@pytest.fixture(scope="module")
def other(door: Stack) -> Metadata:
    return (("x-api-key", new_key(door, "somebody else")["key"]),)


@pytest.fixture(scope="module")
def looking(door: Stack) -> Metadata:
    """A key that may only look."""
    return (("x-api-key", new_key(door, "who looks", "read")["key"]),)


@pytest.fixture(scope="module")
def ended_keys(door: Stack) -> dict[str, Metadata]:
    """Keys that were good once, by the code they are refused with now."""
    revoked = new_key(door, "who was here before")
    gone = door.http.delete(f"/api/v1/tenants/{revoked['tenant']}/keys/{revoked['id']}", headers={"X-Admin-Token": ADMIN_TOKEN})
    assert gone.status_code == 204
    expired = new_key(door, "whose time is over", expires_in_days=1e-9)
    return {"API_KEY_UNKNOWN": (("x-api-key", revoked["key"]),), "API_KEY_EXPIRED": (("x-api-key", expired["key"]),)}


@pytest.mark.parametrize("name", NAMES)
def test_with_an_own_key_it_answers(client: Any, mine: Metadata, job: str, name: str) -> None:
    if name == "Cancel":
        job = client.Submit(pb.SubmitRequest(kind="probe", input=_long(), run_after={"seconds": 4_000_000_000}), metadata=mine).id
    assert ask(client, name, job, mine)


def _long() -> Any:
    asked = pb.SubmitRequest()
    asked.input.update({"items": 1})
    return asked.input


@pytest.mark.parametrize("name", NAMES)
def test_the_token_of_the_operator_gives_no_more_here_and_is_no_key(
    client: Any, mine: Metadata, other: Metadata, job: str, name: str
) -> None:
    token = ("x-admin-token", ADMIN_TOKEN)
    if SAMPLES_OF[name].names:
        assert refused(lambda: ask(client, name, job, (*other, token)))[0] is grpc.StatusCode.NOT_FOUND
    assert refused(lambda: ask(client, name, job, (token,)))[2]["code"] == "API_KEY_MISSING"


@pytest.mark.parametrize("name", NAMES)
def test_without_a_key_or_with_a_wrong_or_an_ended_one_nobody_is_let_in(
    client: Any, ended_keys: dict[str, Metadata], job: str, name: str
) -> None:
    over = [(key, code) for code, key in ended_keys.items()]
    wrong = (("x-api-key", "cadmill_01m8dr5zdb000158y9b62fge3b_" + "0" * 64),)
    for metadata, code in ((None, "API_KEY_MISSING"), ((("x-api-key", ""),), "API_KEY_MISSING"), (wrong, "API_KEY_UNKNOWN"),
                           ((("x-api-key", "rubbish"),), "API_KEY_UNKNOWN"), *over):  # fmt: skip
        status, _, problem = refused(lambda metadata=metadata: ask(client, name, job, metadata))  # type: ignore[misc]
        assert (status, problem["code"]) == (grpc.StatusCode.UNAUTHENTICATED, code)


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_may_only_look_changes_nothing(client: Any, looking: Metadata, job: str, name: str) -> None:
    if SAMPLES_OF[name].scope is Scope.READ:
        if SAMPLES_OF[name].names:
            assert refused(lambda: ask(client, name, job, looking))[2]["code"] == "JOB_NOT_FOUND"
        else:
            assert ask(client, name, job, looking)
        return
    status, _, problem = refused(lambda: ask(client, name, job, looking))
    assert (status, problem["code"], problem["context"]["needed"]) == (grpc.StatusCode.PERMISSION_DENIED, "SCOPE_MISSING", ["submit"])


@pytest.mark.parametrize("name", [name for name in NAMES if SAMPLES_OF[name].names])
def test_what_is_anothers_is_answered_as_what_is_not_there(client: Any, other: Metadata, job: str, name: str) -> None:
    (one, words, foreign), (two, others, unknown) = (refused(lambda each=each: ask(client, name, each, other)) for each in (job, UNKNOWN))  # type: ignore[misc]
    assert one is two is grpc.StatusCode.NOT_FOUND
    assert words == others
    for problem, named in ((foreign, job), (unknown, UNKNOWN)):
        assert problem.pop("context") == {"id": named}
        problem.pop("timestamp")
    assert foreign == unknown


def test_lists_hold_nothing_of_anothers(client: Any, other: Metadata, job: str) -> None:
    listed = {each.id for each in client.List(pb.ListRequest(limit=1000), metadata=other).jobs}
    assert job not in listed


def test_parts_of_another_cannot_be_submitted_and_what_was_extracted_is_ones_own(
    client: Any, mine: Metadata, other: Metadata, door: Stack
) -> None:
    first, *_ = ask(client, "Extract", "", other)
    theirs = first.accepted.part_id
    by_me, by_them = (door.http.get(f"/api/v1/parts/{theirs}", headers={"X-API-Key": metadata[0][1]}) for metadata in (mine, other))
    assert (by_me.status_code, by_them.status_code) == (404, 200)
    asked = pb.SubmitRequest(kind="extraction")
    asked.input.update({"parts": [theirs, "part_nobody"]})
    submitted = client.Submit(asked, metadata=mine)
    ended(client, submitted.id, mine)
    foreign, unknown = client.Items(pb.ItemsRequest(id=submitted.id), metadata=mine).items
    assert foreign.error.code == unknown.error.code == "PART_NOT_FOUND"
    assert (foreign.name, unknown.name) == ("", ""), "not even its name"


def test_every_method_asks_the_policy_for_the_scope_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a key has the scope is for the policy to say; that its refusal holds is seen here."""
    wanted: list[Scope] = []

    def admit(_house: Any, _credentials: Any, scope: Scope) -> Any:
        wanted.append(scope)
        raise Failure("ADMIN_TOKEN_UNKNOWN")

    monkeypatch.setattr(api.grpc.door, "admit", admit)
    with serving(tmp_path) as served, grpc.insecure_channel(served.address) as channel:
        asking = (("x-api-key", served.key),)
        for name in NAMES:
            status, _, _ = refused(lambda name=name: ask(CadmillStub(channel), name, UNKNOWN, asking))  # type: ignore[misc]
            assert status is grpc.StatusCode.PERMISSION_DENIED
    assert wanted == [SAMPLES_OF[name].scope for name in NAMES]


@pytest.mark.parametrize("name", ["Watch", "Extract"])
def test_a_key_that_is_revoked_ends_its_open_streams(tmp_path: Path, name: str) -> None:
    """Within five seconds by the clock of the server, which this test moves on."""
    now = [0.0]
    with serving(tmp_path, Clock(tick=lambda: now[0])) as served, grpc.insecure_channel(served.address) as channel:
        client, asking = CadmillStub(channel), (("x-api-key", served.key),)
        waiting = client.Submit(_extraction(), metadata=asking)
        if name == "Watch":
            call = client.Watch(pb.WatchRequest(id=waiting.id), metadata=asking, timeout=PATIENCE)
        else:
            call = client.Extract(pieces([CUBE]), metadata=asking, timeout=PATIENCE)
        next(call)
        with served.house.ledger.write() as tx:
            tx.execute(update(keys).values(revoked_at=tx.now))
        now[0] += 5.0
        status, _, problem = refused(lambda: list(call))
    assert (status, problem["code"]) == (grpc.StatusCode.UNAUTHENTICATED, "API_KEY_UNKNOWN")


def _extraction() -> pb.SubmitRequest:
    asked = pb.SubmitRequest(kind="extraction")
    asked.input.update({"parts": ["part_nobody"]})
    return asked


def test_guesses_find_nothing(client: Any, other: Metadata, job: str) -> None:
    """Ids near a real one."""
    for number in range(30):
        guess = job[:-3] + f"{number:03d}"
        if guess != job:
            assert refused(lambda guess=guess: ask(client, "Get", guess, other))[0] is grpc.StatusCode.NOT_FOUND  # type: ignore[misc]
