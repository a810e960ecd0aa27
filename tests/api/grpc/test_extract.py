"""Files in and features out on one stream, by a real client; real workers read the files."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from api.grpc import extract as module
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.cadmill.v1.cadmill_pb2_grpc import CadmillStub
from tests.api.grpc.conftest import FILE_LIMIT, PATIENCE, ended, pieces, refused, serving
from tests.stack import SAMPLES, Stack, wait_until

DXF, STL, BAD = ([*sorted((SAMPLES / name).iterdir())] for name in ("dxf", "stl", "bad"))
CUBE = SAMPLES / "stl" / "20mm-xyz-cube.stl"


def told(answers: Any) -> dict[int, list[pb.ExtractResponse]]:
    """What was answered of each file, by its number."""
    by_file: dict[int, list[pb.ExtractResponse]] = {}
    for answer in answers:
        by_file.setdefault(answer.file, []).append(answer)
    return by_file


def kinds(answers: list[pb.ExtractResponse]) -> list[str | None]:
    return [answer.WhichOneof("told") for answer in answers]


def test_many_files_go_in_and_features_come_out_and_bad_ones_disturb_no_other(client: Any, mine: Any, door: Stack) -> None:
    files = [*DXF[:6], BAD[0], *STL[:5], BAD[-1], *DXF[6:9]]
    answers = told(client.Extract(pieces(files, 1000, feature_version="v4"), metadata=mine, timeout=PATIENCE))
    assert sorted(answers) == list(range(len(files)))
    for number, file in enumerate(files):
        accepted, last = answers[number]
        assert {each.name for each in answers[number]} == {file.name}
        assert accepted.accepted.bytes == file.stat().st_size
        if file in BAD:
            assert last.problem.code in ("CAD_EXPANSION_LIMIT", "FILE_CORRUPT", "CAD_CYCLIC_REFERENCE", "FORMAT_MISMATCH"), last
            assert last.problem.remedy
        else:
            assert len(last.features.vector) == 24, last
            assert len(last.features.slots) == 24
    one = answers[0]
    (by_http,) = [item for item in door.items(one[0].accepted.job_id) if item["part_id"] == one[0].accepted.part_id]
    assert by_http["result"]["vector"] == list(one[1].features.vector)
    assert by_http["result"]["units"]["name"] == one[1].features.units.name
    assert by_http["result"]["bounding_box"] == MessageToDict(one[1].features.bounding_box)


def test_files_that_come_together_become_one_job(client: Any, mine: Any) -> None:
    """What arrives while the last ones are written down is the next job: far fewer jobs than files."""
    files = [CUBE] * 60
    answers = told(client.Extract(pieces(files), metadata=mine, timeout=PATIENCE))
    assert all(kinds(each) == ["accepted", "features"] for each in answers.values())
    assert len(answers) == 60
    assert len({each[0].accepted.job_id for each in answers.values()}) < 30


def test_a_file_that_is_too_large_is_refused_alone(client: Any, mine: Any, tmp_path: Path) -> None:
    large = tmp_path / "large.stl"
    large.write_bytes(b"x" * (FILE_LIMIT + 1))
    answers = told(client.Extract(pieces([CUBE, large, CUBE]), metadata=mine, timeout=PATIENCE))
    assert kinds(answers[0]) == kinds(answers[2]) == ["accepted", "features"]
    (only,) = answers[1]
    assert only.problem.code == "FILE_TOO_LARGE"


def test_labels_and_the_format_come_with_the_name(client: Any, mine: Any, door: Stack) -> None:
    text = CUBE.read_bytes()
    requests = [
        pb.ExtractRequest(options=pb.ExtractOptions(priority=pb.PRIORITY_URGENT, labels={"run": "7"})),
        pb.ExtractRequest(name="folder/cube", labels={"of": "one"}, format="stl", data=text, last=True),
        pb.ExtractRequest(name="cube", labels={"of": "two"}, format="dxf", data=text, last=True),
        pb.ExtractRequest(name="cube.STL", format="dxf", data=text, last=True),
    ]
    answers = told(client.Extract(iter(requests), metadata=mine, timeout=PATIENCE))
    assert [answers[number][0].name for number in range(3)] == ["cube.stl", "cube.dxf", "cube.STL"]
    assert kinds(answers[0]) == kinds(answers[2]) == ["accepted", "features"]
    assert answers[1][1].problem.code == "FORMAT_MISMATCH"
    parts = [door.http.get(f"/api/v1/parts/{answers[number][0].accepted.part_id}").json() for number in range(3)]
    assert [part["labels"] for part in parts] == [{"of": "one"}, {"of": "two"}, {}]
    job = door.job(answers[0][0].accepted.job_id)
    assert (job["priority"], job["labels"]) == ("urgent", {"run": "7"})


def test_a_call_that_ends_within_a_file_loses_that_file_alone(client: Any, mine: Any) -> None:
    requests = [*pieces([CUBE]), pb.ExtractRequest(name="half.stl", data=b"solid half")]
    answers = told(client.Extract(iter(requests), metadata=mine, timeout=PATIENCE))
    assert kinds(answers[0]) == ["accepted", "features"]
    assert answers[1][0].problem.code == "UPLOAD_INVALID"


def test_a_call_without_files_is_answered_with_nothing(client: Any, mine: Any) -> None:
    assert list(client.Extract(iter([]), metadata=mine, timeout=PATIENCE)) == []


@pytest.mark.parametrize(
    ("requests", "field"),
    [
        ([pb.ExtractRequest(data=b"x")], "name"),
        ([pb.ExtractRequest(name="a.stl", data=b"x"), pb.ExtractRequest(name="b.stl", data=b"x")], "name"),
        ([pb.ExtractRequest(name="a.stl", data=b"x" * 65_537)], "data"),
        ([pb.ExtractRequest(name="a", format="exe", data=b"x")], "format"),
        ([pb.ExtractRequest(name="a", labels={"x": "y" * 20_000})], "labels"),
        ([pb.ExtractRequest(name="a.stl"), pb.ExtractRequest(options=pb.ExtractOptions(force=True))], "options"),
        ([pb.ExtractRequest(options=pb.ExtractOptions(feature_version="v9"))], "feature_version"),
        ([pb.ExtractRequest(options=pb.ExtractOptions(units="furlong"))], "units"),
        ([pb.ExtractRequest(options=pb.ExtractOptions(priority=77))], "priority"),
    ],
)  # fmt: skip
def test_who_does_not_keep_to_the_protocol_is_told_where(client: Any, mine: Any, requests: list[Any], field: str) -> None:
    status, _, problem = refused(lambda: list(client.Extract(iter(requests), metadata=mine, timeout=PATIENCE)))
    assert (status, problem["code"]) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID")
    assert field in problem["context"]["fields"]


def test_a_client_that_cancels_half_way_keeps_what_was_accepted_and_leaves_no_bytes_behind(client: Any, mine: Any, door: Stack) -> None:
    hold = threading.Event()

    def requests() -> Iterator[pb.ExtractRequest]:
        yield from pieces(DXF[:2])
        yield pb.ExtractRequest(name="half.stl", data=b"solid half")
        hold.wait(PATIENCE)

    call = client.Extract(requests(), metadata=mine, timeout=PATIENCE)
    accepted: list[pb.ExtractResponse.Accepted] = []
    while len(accepted) < 2:
        answer = next(call)
        accepted += [answer.accepted] if answer.WhichOneof("told") == "accepted" else []
    incoming = door.directory / "files" / "incoming"
    wait_until(lambda: list(incoming.iterdir()), 10)
    call.cancel()
    hold.set()
    assert refused(lambda: list(call))[0] is grpc.StatusCode.CANCELLED
    for job_id in {each.job_id for each in accepted}:
        assert ended(client, job_id, mine).state == pb.JOB_STATE_SUCCEEDED
    wait_until(lambda: not list(incoming.iterdir()), 10)


def test_results_wait_for_a_client_that_is_slower_than_they_are(client: Any, mine: Any) -> None:
    call = client.Extract(pieces([CUBE] * 20), metadata=mine, timeout=PATIENCE)
    first = next(call)
    job = wait_until(lambda: ended(client, first.accepted.job_id, mine), PATIENCE)
    assert job.state == pb.JOB_STATE_SUCCEEDED
    answers = told([first, *call])
    assert len(answers) == 20
    assert all(kinds(each) == ["accepted", "features"] for each in answers.values())


def test_a_call_ends_with_its_last_answer_and_waits_for_no_next_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 10 * PATIENCE)
    with serving(tmp_path) as served, grpc.insecure_channel(served.address) as channel:
        requests = [pb.ExtractRequest(name="half.stl", data=b"solid half")]
        call = CadmillStub(channel).Extract(iter(requests), metadata=(("x-api-key", served.key),), timeout=PATIENCE)
        assert [answer.problem.code for answer in call] == ["UPLOAD_INVALID"]


def test_who_sends_and_does_not_read_is_not_read_from_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without workers nothing is told of beyond `accepted`: after a window of files the server takes no more."""
    monkeypatch.setattr(module, "_WINDOW", 5)
    sent: queue.Queue[int] = queue.Queue()
    with serving(tmp_path) as served, grpc.insecure_channel(served.address) as channel:

        def requests() -> Iterator[pb.ExtractRequest]:
            for number in range(1000):
                sent.put(number)
                yield pb.ExtractRequest(name=f"{number}.stl", data=b"x" * 60_000)
                yield pb.ExtractRequest(data=b"y" * 60_000, last=True)

        call = CadmillStub(channel).Extract(requests(), metadata=(("x-api-key", served.key),), timeout=PATIENCE)
        accepted = [next(call).accepted.part_id for _ in range(5)]
        assert len(set(accepted)) == 5
        quiet = sent.qsize()
        wait_until(lambda: _still(sent), 10, 0.3)
        assert sent.qsize() < 200, f"{quiet} files were sent while five were in hand"
        call.cancel()


def _still(sent: queue.Queue[int], seen: list[int] = []) -> bool:  # noqa: B006 - remembers what it saw last
    seen.append(sent.qsize())
    return len(seen) > 3 and len(set(seen[-3:])) == 1
