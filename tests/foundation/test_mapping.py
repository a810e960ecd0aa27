"""Real exceptions get the code that is right and say rightly whether asking again can help."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from foundation import metrics, telemetry
from foundation.errors import CODES, Failure
from foundation.mapping import Provider, failure_of, numbered, rules
from foundation.telemetry import ErrorMapped, Event
from tests.foundation.provoked import brokers, calls, databases, files, system
from tests.foundation.provoked.case import Case, Place
from tests.stack import RedisServer

CASES: list[Case] = [*databases.CASES, *brokers.CASES, *calls.CASES, *system.CASES, *files.CASES]
SECRET = re.compile(r"secret|/srv|/tmp|/dev|127\.0\.0\.1|hello|://")


def _certificate(folder: Path) -> Path:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    whose = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = made.add_extension(whose, critical=False).sign(key, hashes.SHA256())
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "certificate.pem").write_bytes(key.private_bytes(*form) + signed.public_bytes(serialization.Encoding.PEM))
    return folder / "certificate.pem"


@pytest.fixture(scope="module")
def servers(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, int, int]]:
    folder = tmp_path_factory.mktemp("servers")
    redis = RedisServer(folder / "redis").start()
    try:
        with calls.misbehaving() as http, calls.misbehaving(_certificate(folder)) as tls:
            yield postgresql, redis.url, http, tls
    finally:
        redis.kill()


@pytest.fixture
def place(servers: tuple[str, str, int, int], tmp_path: Path) -> Place:
    return Place(tmp_path, *servers)


def _caught(case: Case, place: Place) -> BaseException:
    try:
        case.provoke(place)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is tested
        return error
    pytest.fail("nothing was raised")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_real_exception_gets_the_code_it_means(case: Case, place: Place) -> None:
    error = _caught(case, place)
    failure = failure_of(error, case.provider)
    assert (failure.code, failure.row.retryable) == (case.code, case.retryable), f"{type(error)!r}: {error!r}"
    told = json.dumps(failure.public()["context"])
    assert not SECRET.search(told), told


def test_there_are_hundreds_of_cases_and_none_is_unknown() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 150
    assert sum(case.code == "UNKNOWN" for case in CASES) < len(CASES) / 100


def test_a_failure_passes_as_it_is_also_when_it_was_only_wrapped() -> None:
    failure = Failure("FILE_CORRUPT", {"n": 1})
    assert failure_of(failure, Provider.DATABASE, more=2) is failure
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = failure
    assert failure_of(wrapped) is failure


@pytest.mark.parametrize(
    "end", [KeyboardInterrupt(), SystemExit(1), GeneratorExit(), asyncio.CancelledError()], ids=lambda end: type(end).__name__
)
def test_what_ends_a_process_or_a_task_is_raised_again(end: BaseException) -> None:
    with pytest.raises(type(end)) as caught:
        failure_of(end)
    assert caught.value is end


def test_what_nobody_knows_is_unknown_and_tells_nothing_but_what_the_caller_says() -> None:
    stranger = type("Stranger", (Exception,), {"__module__": "elsewhere"})("postgresql://u:secret@h/x")
    failure = failure_of(stranger, request_id="req_1")
    assert (failure.code, failure.context) == ("UNKNOWN", {"request_id": "req_1"})


def test_a_caller_that_names_a_provider_of_its_own_gets_an_answer_all_the_same() -> None:
    assert failure_of(ConnectionRefusedError(), "moon").code == "CONNECTION_FAILED"


def test_a_mapped_exception_is_told_and_counted_so_that_the_unknown_ones_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Event] = []
    monkeypatch.setattr(telemetry, "_sinks", [heard.append, metrics.count])
    labels = {"provider": "none", "code": "UNKNOWN"}
    before = REGISTRY.get_sample_value("cadmill_errors_mapped_total", labels) or 0.0
    failure_of(type("Stranger", (Exception,), {"__module__": "elsewhere"})())
    failure_of(Failure("FILE_CORRUPT"))
    assert heard == [ErrorMapped("none", "UNKNOWN", "elsewhere.Stranger")]
    assert (REGISTRY.get_sample_value("cadmill_errors_mapped_total", labels) or 0.0) - before == 1


def test_the_tables_name_codes_of_the_table_and_providers_only_codes_that_can_come_to_them() -> None:
    tables = [numbered.ERRNO, numbered.ADDRESS_INFO, numbered.SQLSTATE, numbered.SQLITE, numbered.HTTP, numbered.GRPC]
    tables += [rules.CLASSES, rules.WRAPPERS, rules.DEFECTS, rules.MODULES, *rules.CLASSES_OF.values()]
    reached = {str(code) for table in tables for code in table.values()}
    reached |= {code for words in rules.WORDS.values() for _, code in words} | {"UNKNOWN", "DATABASE_UNAVAILABLE"}
    assert reached <= set(CODES)
    for provider, means in rules.MEANS.items():
        assert set(means) <= reached, provider
        assert set(means.values()) <= set(CODES), provider
    # the budget of the metric: whoever adds codes sees what it costs
    assert len(reached | {code for means in rules.MEANS.values() for code in means.values()}) * (len(Provider) + 1) <= 500


def test_what_reaches_the_end_of_a_route_is_never_put_down_to_whoever_asked() -> None:
    reached = {
        *rules.CLASSES.values(),
        *rules.WRAPPERS.values(),
        *rules.MODULES.values(),
        *numbered.ERRNO.values(),
        *numbered.SQLITE.values(),
    }
    reached |= {*numbered.HTTP.values(), *numbered.SQLSTATE.values(), *(code for words in rules.WORDS.values() for _, code in words)}
    means = rules.MEANS[Provider.API]
    assert {code for code in reached if CODES[means.get(code, code)].status < 500} == set()


_SECRETS = ("postgresql://u:hunter2@db/x", "/home/hunter2/x.py", "password=hunter2")
_CLASSES = (
    Exception, ValueError, OSError, RuntimeError, KeyError, MemoryError, ConnectionError, TimeoutError, UnicodeError, BaseException,
    *databases.CLASSES, *brokers.CLASSES, *calls.CLASSES,
)  # fmt: skip


class _Hostile(Exception):
    """An exception that fails to tell anything of itself."""

    def __str__(self) -> str:
        raise ValueError("hunter2")

    def __getattr__(self, name: str) -> object:
        raise RuntimeError("hunter2")


def _made(kind: type[BaseException], words: list[object], attributes: dict[str, object]) -> BaseException:
    try:
        error = kind(*words)
    except Exception:  # noqa: BLE001 - some classes want other words than these
        error = type("Stranger", (Exception,), {})(*words)
    for name, value in attributes.items():
        try:
            setattr(error, name, value)
        except Exception:  # noqa: BLE001, S112 - some keep theirs
            continue
    return error


def _nested(kind: type[BaseException], inner: BaseException, how: str) -> BaseException:
    if how == "group":
        return BaseExceptionGroup(_SECRETS[0], [inner, inner])
    return _made(kind, [_SECRETS[1]], {how: inner})


_WORDS = st.one_of(st.sampled_from(_SECRETS), st.text(max_size=20), st.integers(-5, 200), st.none(), st.binary(max_size=5))
_VALUES = st.one_of(_WORDS, st.sampled_from(["40P01", "08006", "XX", "hunter"]), st.integers(0, 10**6), st.booleans(), st.builds(object))
_NAMES = st.sampled_from(["errno", "sqlstate", "sqlite_errorcode", "status", "status_code", "code", "response", "orig", "reason", "headers",
                          "connection_invalidated", "exceptions", "strerror", "filename"])  # fmt: skip
_ERRORS = st.recursive(
    st.one_of(
        st.builds(_made, st.sampled_from(_CLASSES), st.lists(_WORDS, max_size=3), st.dictionaries(_NAMES, _VALUES, max_size=3)),
        st.builds(_Hostile),
    ),
    lambda inner: st.builds(
        _nested, st.sampled_from(_CLASSES), inner, st.sampled_from(["__cause__", "__context__", "orig", "reason", "group"])
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(_ERRORS, st.one_of(st.none(), st.sampled_from(list(Provider)), st.text(max_size=5)))
def test_whatever_is_raised_gets_a_code_and_nothing_it_says_is_passed_on(error: BaseException, provider: str | None) -> None:
    failure = failure_of(error, provider)
    told = json.dumps(failure.public())
    assert failure.code in CODES
    assert "hunter2" not in told
    assert "Traceback" not in told


def test_a_chain_that_ends_nowhere_has_an_end_here() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert failure_of(one).code == "INTERNAL"
    last: BaseException = socket.gaierror(socket.EAI_NONAME, "x")
    for _ in range(1000):
        outer = RuntimeError("outer")
        outer.__cause__ = last
        last = outer
    assert failure_of(last).code == "INTERNAL"


def fail_in_a_child() -> None:
    """What a process of a pool does."""
    try:
        raise OSError(28, "no space", "/srv/hunter2")
    except OSError as error:
        raise failure_of(error, Provider.STORAGE) from error


def test_code_and_cause_survive_the_way_out_of_a_process() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        with pytest.raises(Failure) as caught:
            pool.apply(fail_in_a_child)
    assert (caught.value.code, caught.value.context) == ("STORAGE_FULL", {"reason": "OSError", "errno": "ENOSPC"})
