"""The table of codes says the same everywhere, and agrees with itself."""

from __future__ import annotations

import pytest

from foundation import codes
from foundation.codes import CODES, files, requests, services
from foundation.codes.row import Recovery, Source
from foundation.errors import Failure
from tests.foundation.code_page import PAGE, page

PROMISED = {
    "OPCODE_WHITELIST_VIOLATION", "MODEL_INTERFACE_INVALID", "CACHE_TUNING_SNAPSHOT_ACTIVE", "CACHE_TUNING_ROLLBACK_EXPIRED",
    "FAISS_RECOVERY_CONFLICT", "MODEL_OPCODE_AUDIT_UNAVAILABLE", "DATA_NOT_FOUND", "CONNECTION_TIMEOUT", "READ_TIMEOUT",
    "UPSTREAM_RATE_LIMIT", "API_KEY_EXPIRED", "MEMORY_ERROR", "MODEL_NOT_FOUND",
}  # fmt: skip
"""Names that clients were told of before there was a server."""


def test_the_page_of_codes_is_what_the_table_says() -> None:
    """`make docs` mends it."""
    assert PAGE.read_text() == page()


def test_each_code_stands_in_the_table_once() -> None:
    assert len(files.ROWS) + len(requests.ROWS) + len(services.ROWS) == len(CODES)


def test_the_promised_names_are_there() -> None:
    assert set(CODES) >= PROMISED


@pytest.mark.parametrize("row", CODES.values(), ids=lambda row: row.name)
def test_a_row_agrees_with_itself(row: codes.Code) -> None:
    assert row.sentence.endswith(".")
    assert row.remedy.endswith(".")
    assert 400 <= row.status < 600
    assert row.grpc not in ("", "OK")
    assert row.version >= 1
    assert row.temporary or not row.retryable, "what never passes is asked again for nothing"
    if row.recovery is Recovery.RETRY:
        assert row.retryable
    if row.recovery is Recovery.WAIT:
        assert row.temporary
    if row.recovery is Recovery.ASK_USER:
        assert not row.retryable, "the same again succeeds, so nobody has to change it"
    if row.retryable and row.status >= 500:
        assert row.grpc in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN", "INTERNAL"), "or gRPC clients give up"
    if row.grpc == "UNAVAILABLE":
        assert row.retryable, "gRPC clients repeat that by themselves"
    if row.source in (Source.INPUT, Source.SECURITY):
        assert row.status < 500 or row.name in {"JOB_DEADLINE_PASSED"}


def test_a_renamed_code_is_known_by_both_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(codes.RENAMED, "FILE_BROKEN", "FILE_CORRUPT")
    assert codes.current("FILE_BROKEN") == codes.current("FILE_CORRUPT") == "FILE_CORRUPT"
    assert codes.current("NOTHING") == "NOTHING"
    assert Failure("FILE_BROKEN", {"line": 7}).public() == Failure("FILE_CORRUPT", {"line": 7}).public()
    assert "- `FILE_BROKEN` is `FILE_CORRUPT`" in page()


def test_old_names_lead_to_codes_and_are_none_themselves() -> None:
    assert set(codes.RENAMED.values()) <= set(CODES)
    assert not set(codes.RENAMED) & set(CODES), "a name of old is never given to another code"
