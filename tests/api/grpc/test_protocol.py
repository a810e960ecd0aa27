"""The protocol file, what is generated from it, and the shapes it shares with HTTP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from api.grpc import messages, problems
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from foundation.errors import CODES, Failure
from ledger import states
from tasks.extraction import ExtractionAnswer
from tasks.submit import JobRequest, body_hash
from tasks.vocabulary import Priority
from tests.stack import ROOT

FOLDER = Path("api/grpc/cadmill/v1")


def test_what_is_committed_is_what_the_protocol_file_says(tmp_path: Path) -> None:
    """`make proto` mends it."""
    outs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    subprocess.run(
        [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outs, str(FOLDER / "cadmill.proto")], cwd=ROOT, check=True, timeout=60
    )
    for name in ("cadmill_pb2.py", "cadmill_pb2.pyi", "cadmill_pb2_grpc.py"):
        assert (ROOT / FOLDER / name).read_text() == (tmp_path / FOLDER / name).read_text(), name


def test_every_code_has_a_status() -> None:
    statuses = {code: problems.status(code) for code in CODES}
    assert grpc.StatusCode.OK not in statuses.values()
    assert statuses["JOB_NOT_FOUND"] is grpc.StatusCode.NOT_FOUND
    assert statuses["API_KEY_UNKNOWN"] is grpc.StatusCode.UNAUTHENTICATED
    assert statuses["IDEMPOTENCY_KEY_IN_FLIGHT"] is grpc.StatusCode.ABORTED
    for code, row in CODES.items():
        if row.retryable and row.status >= 500:
            assert statuses[code] is not grpc.StatusCode.INVALID_ARGUMENT, code


def test_what_clients_repeat_by_themselves_is_never_said_of_a_job_that_may_be_there() -> None:
    assert problems.status("COMMIT_UNKNOWN") is not grpc.StatusCode.UNAVAILABLE


def test_a_problem_fits_into_metadata_whatever_its_context() -> None:
    small, large = (problems.told(Failure("REQUEST_INVALID", {"fields": {"x": "y" * length}})) for length in (10, 100_000))
    assert b'"x"' in small
    assert b'"x"' not in large
    assert b"left_out" in large
    assert len(large) < 4096


def fields(message: type) -> set[str]:
    return set(message.DESCRIPTOR.fields_by_name)  # type: ignore[attr-defined]


def test_features_have_every_field_of_an_extraction() -> None:
    assert fields(pb.Features) == set(ExtractionAnswer.model_fields)


def test_a_submission_has_every_field_of_http() -> None:
    assert fields(pb.SubmitRequest) == set(JobRequest.model_fields)


def words(kind: object, prefix: str) -> set[str]:
    return {value.name.removeprefix(prefix).lower() for value in kind.DESCRIPTOR.values} - {"unspecified"}  # type: ignore[attr-defined]


def test_states_and_priorities_are_those_of_the_house() -> None:
    assert words(pb.Priority, "PRIORITY_") == {str(priority) for priority in Priority}
    assert words(pb.JobState, "JOB_STATE_") == set(states.JOB)
    assert words(pb.ItemState, "ITEM_STATE_") == {"pending", "succeeded", "failed", "cancelled"}


def test_a_job_is_told_with_all_that_http_tells_of_it() -> None:
    view = {
        "id": "job_1", "kind": "extraction", "state": "partial", "priority": "low", "generation": 2,
        "counts": {"total": 5, "succeeded": 3, "failed": 2, "cancelled": 0, "pending": 0}, "labels": {"a": "b"},
        "input": {"feature_version": "v4", "force": False}, "callback_url": None, "max_concurrency": 4, "run_after": None,
        "paused_at": None, "deadline": "2030-01-31T18:00:00.000Z", "created_at": "2026-11-27T05:00:00.500Z", "started_at": None,
        "finished_at": None, "results_pruned_at": None, "rolled_back_at": None, "summary": {"n": 1}, "error": Failure("INTERNAL").public(),
    }  # fmt: skip
    assert set(view) | {"waiting"} == fields(pb.Job)
    job = messages.job(view)
    assert (job.state, job.priority, job.counts.failed, job.labels["a"]) == (pb.JOB_STATE_PARTIAL, pb.PRIORITY_LOW, 2, "b")
    assert (job.input["feature_version"], job.summary["n"], job.error.code) == ("v4", 1, "INTERNAL")
    assert job.created_at.ToMilliseconds() % 1000 == 500
    assert job.HasField("deadline")
    assert not job.HasField("finished_at")
    assert not job.HasField("callback_url")


def test_a_submission_becomes_the_very_request_of_http() -> None:
    """So that one Idempotency-Key is one job by whichever door."""
    asked = pb.SubmitRequest(kind="similarity", priority=pb.PRIORITY_HIGH, labels={"a": "b"}, max_concurrency=2)
    asked.input.update({"queries": "all", "top_k": 3, "threshold": 0.5, "filters": {"labels": {"x": "y"}}})
    by_http = {"kind": "similarity", "input": {"queries": "all", "top_k": 3, "threshold": 0.5, "filters": {"labels": {"x": "y"}}}}
    assert messages.job_request(asked) == JobRequest(**by_http, priority=Priority.HIGH, labels={"a": "b"}, max_concurrency=2)
    assert type(messages.job_request(asked).input["top_k"]) is int


def test_the_order_in_which_a_client_fills_a_map_makes_no_other_request() -> None:
    one, two = pb.SubmitRequest(kind="probe"), pb.SubmitRequest(kind="probe")
    names = [f"name{number}" for number in range(50)]
    for request, order in ((one, names), (two, names[::-1])):
        for name in order:
            request.input[name] = {"b": 1, "a": 2} if order is names else {"a": 2, "b": 1}
            request.labels[name] = name
    assert body_hash(messages.job_request(one)) == body_hash(messages.job_request(two))


NUL = pb.SubmitRequest(kind="probe")
NUL.input.update({"a": [{"b": "c\0"}]})


@pytest.mark.parametrize(
    "message", [pb.GetRequest(id="job\0"), pb.SubmitRequest(labels={"a\0": ""}), NUL, pb.ExtractRequest(name="\0")], ids=str
)
def test_no_text_holds_the_letter_that_postgresql_refuses(message: Any) -> None:
    with pytest.raises(Failure) as caught:
        messages.parse(type(message), message.SerializeToString())
    assert caught.value.code == "REQUEST_INVALID"


def test_data_may_hold_any_byte() -> None:
    sent = pb.ExtractRequest(name="a.stl", data=bytes(1000), last=True)
    assert messages.parse(pb.ExtractRequest, sent.SerializeToString()) == sent


@pytest.mark.parametrize(
    "asked",
    [
        pb.SubmitRequest(kind="extraction", priority=9),
        pb.SubmitRequest(kind="extraction", run_after={"seconds": 1 << 60}),
        pb.SubmitRequest(kind="extraction", run_after={"seconds": -5}),
        pb.SubmitRequest(kind="extraction", input={"fields": {"x": {"number_value": float("inf")}}}),
        pb.SubmitRequest(kind="extraction", callback_url="x" * 3000),
    ],
    ids=["priority", "time", "negative", "infinite", "long"],
)
def test_a_submission_that_says_nonsense_is_refused_with_a_code(asked: pb.SubmitRequest) -> None:
    with pytest.raises(Failure) as caught:
        messages.job_request(asked)
    assert caught.value.code == "REQUEST_INVALID"
