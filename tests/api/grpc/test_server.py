"""The server itself: health, reflection, TLS, limits, and how it stops."""

from __future__ import annotations

import copy
import datetime
import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from api.grpc import __main__ as process
from api.grpc import methods, server
from api.grpc.cadmill.v1 import cadmill_pb2 as pb
from api.grpc.cadmill.v1.cadmill_pb2_grpc import CadmillStub
from foundation.codes.row import GRPC_OF_CODE
from foundation.errors import CODES, Failure
from foundation.settings import Settings
from tests.api.grpc.conftest import PATIENCE, address_of, free_port, listens, pieces, refused, serving, until_answering
from tests.stack import ROOT, SAMPLES, Stack, wait_until

SERVICE = "cadmill.v1.Cadmill"
CUBE = SAMPLES / "stl" / "20mm-xyz-cube.stl"


def health_of(channel: grpc.Channel, service: str = SERVICE) -> int:
    asked = health_pb2.HealthCheckRequest(service=service)
    return int(health_pb2_grpc.HealthStub(channel).Check(asked, timeout=PATIENCE).status)


def test_health_answers_anybody(channel: grpc.Channel) -> None:
    assert health_of(channel) == health_of(channel, "") == health_pb2.HealthCheckResponse.SERVING
    assert refused(lambda: health_of(channel, "cadmill.v0"))[0] is grpc.StatusCode.NOT_FOUND


def test_it_is_not_serving_while_no_job_can_be_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_LOOK_SECONDS", 0.05)
    with serving(tmp_path) as served, grpc.insecure_channel(served.address) as channel:
        assert health_of(channel) == health_pb2.HealthCheckResponse.SERVING
        with monkeypatch.context() as away:

            def gone(_tx: Any) -> bool:
                raise Failure("DATABASE_UNAVAILABLE")

            away.setattr(server.job_views, "alive", gone)
            wait_until(lambda: health_of(channel) == health_pb2.HealthCheckResponse.NOT_SERVING, 10)
        wait_until(lambda: health_of(channel) == health_pb2.HealthCheckResponse.SERVING, 10)


def test_reflection_tells_of_the_service_but_not_in_production(channel: grpc.Channel, tmp_path: Path) -> None:
    database = ProtoReflectionDescriptorDatabase(channel)
    assert SERVICE in database.get_services()
    described = database.FindFileContainingSymbol(SERVICE)
    assert {method.name for method in described.service[0].method} == set(methods.METHODS)
    with serving(tmp_path, production=True) as served, grpc.insecure_channel(served.address) as closed:
        assert health_of(closed) == health_pb2.HealthCheckResponse.SERVING
        assert refused(lambda: ProtoReflectionDescriptorDatabase(closed).get_services())[0] is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("method", [f"/{SERVICE}/Delete", "/cadmill.v0.Cadmill/Get"])
def test_a_method_that_is_not_there_is_unimplemented(channel: grpc.Channel, mine: Any, method: str) -> None:
    assert refused(lambda: channel.unary_unary(method)(b"", metadata=mine))[0] is grpc.StatusCode.UNIMPLEMENTED


# limits


def memory(stack: Stack, what: str) -> int:
    """Kilobytes of the gRPC process."""
    (line,) = [line for line in Path(f"/proc/{stack.pid('grpc')}/status").read_text().splitlines() if line.startswith(what)]
    return int(line.split()[1])


def test_a_message_above_the_limit_is_refused_before_it_is_held(channel: grpc.Channel, door: Stack, mine: Any) -> None:
    """CADMILL_TEST_MESSAGE_MB=1024 sends a gigabyte (the client needs three times that)."""
    megabytes = int(os.environ.get("CADMILL_TEST_MESSAGE_MB", "48"))
    Path(f"/proc/{door.pid('grpc')}/clear_refs").write_text("5")  # the peak is counted anew
    before = memory(door, "VmRSS")
    message = bytes(megabytes << 20)
    status, words, _ = refused(lambda: channel.unary_unary(f"/{SERVICE}/Get")(message, metadata=mine, timeout=4 * PATIENCE))
    grown = memory(door, "VmHWM") - before
    print(f"a message of {megabytes} MiB: {words!r}; the server grew by {grown} kB at most")
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert grown < 16_384, "a message of the largest size that is allowed, and room"
    assert CadmillStub(channel).List(pb.ListRequest(), metadata=mine) is not None


@pytest.mark.parametrize("much", [(("x-much", "y" * 100_000),), tuple((f"x-{n}", "y" * 100) for n in range(500))], ids=["long", "many"])
def test_metadata_above_the_limit_is_refused(door: Stack, mine: Any, much: Any) -> None:
    with grpc.insecure_channel(address_of(door)) as channel:
        client = CadmillStub(channel)
        status, _, _ = refused(lambda: client.List(pb.ListRequest(), metadata=(*mine, *much), timeout=PATIENCE))
        assert status in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
        assert client.List(pb.ListRequest(), metadata=mine, timeout=PATIENCE) is not None


def test_there_are_so_many_calls_at_once_and_no_more(tmp_path: Path) -> None:
    with serving(tmp_path, max_calls=3) as served, grpc.insecure_channel(served.address) as channel:
        client, asking = CadmillStub(channel), (("x-api-key", served.key),)
        asked = pb.SubmitRequest(kind="extraction")
        asked.input.update({"parts": ["part_nobody"]})
        job = client.Submit(asked, metadata=asking)
        watching = [client.Watch(pb.WatchRequest(id=job.id), metadata=asking, timeout=PATIENCE) for _ in range(3)]
        for each in watching:
            next(each)
        assert refused(lambda: client.Get(pb.GetRequest(id=job.id), metadata=asking))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        for each in watching:
            each.cancel()


def test_a_defect_is_told_by_its_number_and_nothing_of_it_leaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("/srv/secret/place")

    monkeypatch.setattr(methods.job_views, "page", broken)
    with serving(tmp_path) as served, grpc.insecure_channel(served.address) as channel:
        asking = (("x-api-key", served.key),)
        status, words, problem = refused(lambda: CadmillStub(channel).List(pb.ListRequest(), metadata=asking))
    assert (status, problem["code"]) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "secret" not in words + str(problem)
    assert problem["context"]["request_id"] in caplog.text
    assert "/srv/secret/place" in caplog.text


def test_what_a_library_threw_is_told_by_code_and_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "no space", "/srv/hunter2")

    monkeypatch.setattr(methods.job_views, "page", full)
    with serving(tmp_path) as served, grpc.insecure_channel(served.address) as channel:
        status, words, problem = refused(lambda: CadmillStub(channel).List(pb.ListRequest(), metadata=(("x-api-key", served.key),)))
    assert (status, problem["code"]) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORAGE_FULL")
    assert (problem["context"]["reason"], problem["context"]["errno"]) == ("OSError", "ENOSPC")
    assert "hunter2" not in words + str(problem)


# TLS


def write_certificate(folder: Path, name: str = "localhost") -> tuple[Path, Path]:
    """A certificate of its own making, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    files = folder / "server.crt", folder / "server.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form = serialization.PrivateFormat.PKCS8
    files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
    return files


def test_tls_is_spoken_and_a_renewed_certificate_needs_no_restart(tmp_path: Path) -> None:
    certificate, private_key = write_certificate(tmp_path)

    def list_over_tls(address: str, root: bytes) -> Any:
        with grpc.secure_channel(address, grpc.ssl_channel_credentials(root)) as channel:
            return CadmillStub(channel).List(pb.ListRequest(), metadata=(("x-api-key", served.key),), timeout=20)

    with serving(tmp_path / "data", certificate=certificate, private_key=private_key) as served:
        first = certificate.read_bytes()
        assert list_over_tls(served.address, first) == pb.ListResponse()
        with grpc.insecure_channel(served.address) as plain:
            status, _, _ = refused(lambda: CadmillStub(plain).List(pb.ListRequest(), timeout=20))
            assert status is grpc.StatusCode.UNAVAILABLE
        private_key.write_text("half of a")
        assert list_over_tls(served.address, first) == pb.ListResponse(), "the old one serves until the new one is whole"
        write_certificate(tmp_path)
        assert list_over_tls(served.address, certificate.read_bytes()) == pb.ListResponse()
        assert refused(lambda: list_over_tls(served.address, first))[0] is grpc.StatusCode.UNAVAILABLE


def unusable(folder: Path, **limits: Any) -> Failure:
    with pytest.raises(Failure) as caught, serving(folder, **limits):
        pass
    return caught.value


def test_beyond_this_machine_it_does_not_start_in_plain_text_unless_told_so(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.1"):
        failure = unusable(tmp_path, host=host)
        assert failure.code == "CONFIG_INVALID"
        assert "CADMILL_GRPC_PLAIN" in str(failure.context)


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    certificate, private_key = write_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = write_certificate(tmp_path / "other")
    for limits in (
        {"certificate": certificate},
        {"private_key": private_key},
        {"certificate": other, "private_key": private_key},
        {"certificate": tmp_path / "missing", "private_key": private_key},
        {"certificate": private_key, "private_key": private_key},
        {"certificate": certificate, "private_key": certificate},
    ):
        failure = unusable(tmp_path / "data", **limits)
        assert (failure.code, "CADMILL_GRPC_CERTIFICATE" in str(failure.context)) == ("CONFIG_INVALID", True), limits


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert unusable(tmp_path, port=taken.getsockname()[1]).code == "PORT_TAKEN"


def test_without_a_port_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "settings", Settings)
    with pytest.raises(Failure) as caught:
        process.main()
    assert (caught.value.code, "CADMILL_GRPC_PORT" in str(caught.value.context)) == ("CONFIG_INVALID", True)


# stopping


@pytest.fixture
def leaving(door: Stack) -> Iterator[Stack]:
    """A second gRPC process of the stack, which will be told to stop."""
    twin = copy.copy(door)
    twin.environment = door.environment | {"CADMILL_GRPC_PORT": str(free_port()), "CADMILL_GRPC_GRACE_SECONDS": str(PATIENCE)}
    twin.spawn("grpc leaving", [sys.executable, "-m", "api.grpc"])
    yield until_answering(twin, "grpc leaving")
    if twin.alive("grpc leaving"):
        twin.kill("grpc leaving")


def test_told_to_stop_it_takes_nothing_new_finishes_what_it_can_and_jobs_go_on(leaving: Stack, client: Any, mine: Any) -> None:
    with grpc.insecure_channel(address_of(leaving)) as channel:
        theirs = CadmillStub(channel)
        list(theirs.Extract(pieces([CUBE]), metadata=mine, timeout=PATIENCE))  # from now on its features are known
        asked = pb.SubmitRequest(kind="probe", run_after={"seconds": int(time.time()) + 3600})
        asked.input.update({"items": 2})
        job = theirs.Submit(asked, metadata=mine)
        watching = theirs.Watch(pb.WatchRequest(id=job.id), metadata=mine, timeout=PATIENCE)
        next(watching)
        begun, kinds = threading.Event(), list[str | None]()
        for answer in theirs.Extract(_told_to_stop_between(leaving, begun), metadata=mine, timeout=PATIENCE):
            kinds.append(answer.WhichOneof("told"))
            begun.set()
        assert sorted(kinds) == ["accepted", "accepted", "features", "features"], "a call that can end in time does"
        with grpc.insecure_channel(address_of(leaving)) as late:
            assert refused(lambda: CadmillStub(late).List(pb.ListRequest(), metadata=mine, timeout=5))[0] is grpc.StatusCode.UNAVAILABLE
        leaving.signal("grpc leaving", signal.SIGTERM)  # told again: the grace time is over
        status, _, problem = refused(lambda: list(watching))
        assert (status, problem["code"]) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
    wait_until(lambda: not leaving.alive("grpc leaving"), 20)
    assert leaving.ended_with("grpc leaving") == 0, leaving.log("grpc leaving")
    assert "Traceback" not in leaving.log("grpc leaving"), leaving.log("grpc leaving")
    assert client.Get(pb.GetRequest(id=job.id), metadata=mine).state == pb.JOB_STATE_QUEUED, "the job is there without whoever took it"


def test_what_has_not_ended_within_the_grace_time_is_ended_and_told_why(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        channel = grpc.insecure_channel(served.address)
        client, mine = CadmillStub(channel), (("x-api-key", served.key),)
        extracting = client.Extract(pieces([CUBE]), metadata=mine, timeout=PATIENCE)  # there is nobody to do it
        watching = client.Watch(pb.WatchRequest(id=next(extracting).accepted.job_id), metadata=mine, timeout=PATIENCE)
        next(watching)
    with channel:
        ends = [refused(lambda call=call: list(call)) for call in (watching, extracting)]
    assert {(status, problem["code"]) for status, _, problem in ends} == {(grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")}


def _told_to_stop_between(stack: Stack, begun: threading.Event) -> Iterator[pb.ExtractRequest]:
    """A file, and another one when the server was told to stop and takes no more calls."""
    yield from pieces([CUBE])
    assert begun.wait(PATIENCE)
    stack.signal("grpc leaving", signal.SIGTERM)
    wait_until(lambda: not listens(stack))
    yield from pieces([CUBE])


# the guide


def test_the_client_of_the_guide_does_what_it_says(door: Stack, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "grpc.md").read_text()
    (shell,), (program,) = (re.findall(rf"```{kind}\n(.*?)```", guide, re.DOTALL) for kind in ("bash", "python"))
    (generate,) = [line for line in shell.splitlines() if "grpc_tools" in line]
    assert generate.startswith("python ")
    words = generate.replace("$CADMILL", str(ROOT)).split()
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "extract.py").write_text(program)

    def extract(key: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "extract.py", address_of(door), key, str(CUBE), str(SAMPLES / "bad" / "empty.dxf")]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE, check=False)

    told = extract(door.key)
    assert (told.returncode, told.stderr) == (0, "")
    assert sorted(line.split()[:2] for line in told.stdout.splitlines()) == [["20mm-xyz-cube.stl", "v3"], ["empty.dxf", "FILE_EMPTY"]]
    told = extract("rubbish")
    assert told.returncode == 1
    assert told.stderr.startswith("UNAUTHENTICATED The API key is not known here.")


def test_the_table_of_statuses_in_the_guide_is_the_one_that_is_kept() -> None:
    guide = (ROOT / "docs" / "grpc.md").read_text()
    table = re.findall(r"\| ([\d, ]+) \| ([A-Z_]+)(?= )", guide)
    said = {int(number): status for numbers, status in table for number in numbers.split(",")}
    told = {number: {code.grpc for code in CODES.values() if code.status == number and code.name not in GRPC_OF_CODE} for number in said}
    assert {number: {status} for number, status in said.items()} == {number: found or {said[number]} for number, found in told.items()}
    assert {code.status for code in CODES.values()} <= said.keys()
    assert all(name in guide for name in GRPC_OF_CODE)
