"""The live API keeps its documents: by Schemathesis (a few calls an operation; `make contract` is the long form), and by hand."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from tests.contract.campaign import run
from tests.contract.furnished import TOKEN, Ids
from tests.stack import Stack

Full = tuple[Stack, Ids]


def _closed(schema: Any) -> Any:
    """A schema that allows no field it does not name."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    told = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "allOf" not in schema and schema.get("type") == "object":
        told["additionalProperties"] = False
    return told


_ENDLESS = "stream_events"
_NAMED = ("job_id", "part_id", "schedule_id", "sha256", "webhook_id", "delivery_id", "tenant_id")


def _addresses(document: dict[str, Any], ids: Ids) -> list[tuple[str, dict[str, Any], dict[str, str]]]:
    """Every GET of a document with values that are there, once for each job and part."""
    found = []
    for path, methods in document["paths"].items():
        if "get" not in methods or methods["get"]["operationId"] == _ENDLESS:
            continue
        named = [name for name in _NAMED if f"{{{name}}}" in path]
        for values in [{name: value} for name in named for value in ids[name]] or [{}]:
            query = {"from": "v4", "to": "v2"} if path.endswith("/preview") else {}
            found.append((path.format(**values), methods["get"], query))
    return found


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_what_is_there_is_answered_as_documented_and_without_a_field_that_is_not(full: Full, version: str) -> None:
    stack, ids = full
    document = stack.http.get(f"/api/{version}/openapi.json").json()
    schemas = _closed(document["components"]["schemas"])
    schemas.get("Block", {}).pop("additionalProperties", None)  # each kind of block has facts of its own
    found: set[str] = set()
    for path, operation, query in _addresses(document, ids):
        answer = stack.http.get(path, params=query, headers={"X-Admin-Token": TOKEN})
        response = operation["responses"][str(answer.status_code)]
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in response["content"], f"{path}: {kind}"
        if answer.is_success:
            found.add(operation["operationId"])
        if kind in ("application/json", "application/problem+json"):
            schema = {**response["content"][kind]["schema"], "components": {"schemas": schemas}}
            validator = Draft202012Validator(schema, format_checker=FormatChecker())
            faults = [f"{fault.json_path}: {fault.message[:300]}" for fault in validator.iter_errors(answer.json())]
            assert not faults, f"{path}: {faults[:3]}"
    every = {methods["get"]["operationId"] for methods in document["paths"].values() if "get" in methods}
    assert every - found - {_ENDLESS} == {"list_duplicates", "get_duplicates_table", "get_duplicates_page"} - found
    assert {"get_job", "get_result", "list_items", "list_pairs", "list_clusters", "get_part", "list_deliveries", "get_preview_png"} <= found


@pytest.mark.parametrize(("version", "examples"), [("v1", "1"), ("v2", "2")])
def test_no_call_of_any_operation_ends_in_a_5xx_or_outside_of_the_document(full: Full, version: str, examples: str) -> None:
    stack, ids = full
    done = run(stack, ids, version, "--phases", "fuzzing", "--max-examples", examples, "--seed", "7")
    assert done.ok, done.text[-6000:]
    assert "Tested: " in done.summary()


HOSTILE = {
    "10,000 deep": b'{"kind": "extraction", "input": ' + b'{"a":' * 10_000 + b"1" + b"}" * 10_001,
    "10,000 lists": b'{"kind": "extraction", "input": {"parts": ' + b"[" * 10_000 + b"]" * 10_000 + b"}}",
    "NaN": b'{"kind": "similarity", "input": {"queries": "all", "threshold": NaN}}',
    "Infinity": b'{"kind": "prewarm", "input": {"budget_seconds": Infinity}}',
    "endless time": b'{"kind": "prewarm", "input": {}, "run_after": 1e308}',
    "2^63": b'{"kind": "prewarm", "input": {}, "max_concurrency": 9223372036854775808}',
    "a very long number": b'{"kind": "prewarm", "input": {"max": ' + b"9" * 5000 + b"}}",
    "NUL": b'{"kind": "prewarm", "input": {}, "labels": {"a": "b\\u0000c"}}',
    "lone surrogate": b'{"kind": "prewarm", "input": {}, "labels": {"a": "\\ud800"}}',
    "lone surrogate as a name": b'{"kind": "prewarm", "input": {}, "labels": {"\\udfff": "a"}}',
    "half a letter": b'{"kind": "prewarm", "input": {}, "labels": {"a": "\xff"}}',
    "sort injection": b'{"kind": "prewarm\' ORDER BY 1; --", "input": {}}',
    "not JSON": b"kind=prewarm",
}


@pytest.mark.parametrize("path", ["jobs", "schedules", "jobs/retry", "jobs/cancel", "reviews"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_is_refused_with_a_code(full: Full, path: str, body: bytes) -> None:
    stack, _ = full
    method = "PUT" if path == "reviews" else "POST"
    if path == "schedules":
        body = b'{"name": "x", "cron": "0 0 * * *", "job": ' + body + b"}"
    answer = stack.http.request(method, f"/api/v1/{path}", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["code"] in ("REQUEST_INVALID", "KIND_UNKNOWN")


def test_of_duplicate_names_the_last_counts(full: Full) -> None:
    stack, _ = full
    body = b'{"kind": "extraction", "kind": "prewarm", "input": {}, "labels": {"a": "1", "a": "2"}}'
    answer = stack.http.post("/api/v2/jobs", content=body, headers={"content-type": "application/json"})
    assert (answer.json()["data"]["kind"], answer.json()["data"]["labels"]) == ("prewarm", {"a": "2"})


ADDRESSES = (
    "jobs?sort=id;DROP TABLE jobs", "jobs?kind=%00", "jobs/%00", "jobs?cursor=AA", "jobs?limit=1e9", "jobs?limit=9223372036854775808",
    "parts?name=%ff%fe", "reviews?cursor=IC4g",
)  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES)
def test_hostile_addresses_are_refused_or_answered_and_never_a_defect(full: Full, address: str) -> None:
    stack, _ = full
    for version in ("v1", "v2"):
        with httpx2.Client(base_url=stack.url, headers={"X-API-Key": stack.key}, trust_env=False) as http:
            assert http.get(f"/api/{version}/{address}").status_code in (200, 400, 404, 422)
