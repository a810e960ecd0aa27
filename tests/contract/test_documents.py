"""The OpenAPI documents are those of the routes, say something of every operation, and keep what v1 promised."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from foundation.errors import CODES
from tests.contract import documents
from tests.contract.documents import broken, place, promises, written

Document = dict[str, Any]


@pytest.fixture(scope="module")
def made() -> dict[str, Document]:
    return documents.made()


def _operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_document_in_the_repository_is_the_one_the_routes_make(made: dict[str, Document], version: str) -> None:
    assert place(version).read_text() == written(made[version]), "run `make docs`, and look at what changed"


def test_v1_keeps_every_promise_and_asks_for_nothing_new(made: dict[str, Document]) -> None:
    lost = broken(documents.promised(), promises(made["v1"]))
    assert not lost, f"v1 is what programs of others rely on; this breaks them: {sorted(lost)}"


def test_every_promise_of_today_is_written_down(made: dict[str, Document]) -> None:
    assert not promises(made["v1"]) - documents.promised(), "run `make docs`"


def _rename(document: Document) -> None:
    counts = document["components"]["schemas"]["Counts"]["properties"]
    counts["done"] = counts.pop("succeeded")


def _drop(document: Document) -> None:
    del document["paths"]["/api/v1/jobs/{job_id}/items"]


def _retype(document: Document) -> None:
    document["components"]["schemas"]["Job"]["properties"]["generation"] = {"type": "string"}


def _require(document: Document) -> None:
    document["components"]["schemas"]["ExtractionRequest"]["required"].append("force")


def _require_parameter(document: Document) -> None:
    document["paths"]["/api/v1/queues"]["get"]["parameters"] = [{"in": "query", "name": "which", "required": True, "schema": {}}]


def _forbid(document: Document) -> None:
    document["components"]["schemas"]["Priority"]["enum"].remove("low")


@pytest.mark.parametrize("change", [_rename, _drop, _retype, _require, _require_parameter, _forbid])
def test_a_change_that_breaks_callers_of_v1_is_found(made: dict[str, Document], change: Any) -> None:
    changed = copy.deepcopy(made["v1"])
    change(changed)
    assert broken(promises(made["v1"]), promises(changed))


def test_what_is_added_breaks_nobody(made: dict[str, Document]) -> None:
    more = copy.deepcopy(made["v1"])
    more["components"]["schemas"]["Counts"]["properties"]["late"] = {"type": "integer"}
    more["paths"]["/api/v1/new"] = more["paths"]["/api/v1/parts"]
    more["components"]["schemas"]["ExtractionRequest"]["required"].remove("parts")
    assert not broken(promises(made["v1"]), promises(more))


def test_every_operation_says_what_it_answers_who_may_ask_and_how_it_fails(made: dict[str, Document]) -> None:
    for version, document in made.items():
        ids = [operation["operationId"] for _, operation in _operations(document)]
        assert len(ids) == len(set(ids))
        tags = {tag["name"] for tag in document["tags"]}
        for name, operation in _operations(document):
            assert set(operation["tags"]) <= tags, name
            assert operation["description"], name
            open_to_all = ("/health/" in name and "/api/" not in name) or name.endswith(("/metrics", "/versions"))
            assert ("security" in operation) is not open_to_all, name
            for status, response in operation["responses"].items():
                if status[0] == "2" and status != "204":
                    schemas = [content.get("schema", {}) for content in response["content"].values()]
                    assert all(schema.get("$ref") or schema.get("type") == "string" for schema in schemas), f"{version} {name}: no schema"
            codes = operation["responses"]["default"]["content"]
            assert set(codes) == {"application/problem+json"} if version == "v1" or "/api/" not in name else {"application/json"}


def test_both_versions_tell_of_the_same_operations(made: dict[str, Document]) -> None:
    of_one, of_two = ([(name.replace(f"/api/{version}/", "/api/"), op["operationId"]) for name, op in _operations(made[version])]
                      for version in ("v1", "v2"))  # fmt: skip
    assert of_one == of_two


def test_a_job_is_told_apart_by_its_kind(made: dict[str, Document]) -> None:
    request = made["v2"]["components"]["schemas"]["JobRequest"]
    assert set(request["discriminator"]["mapping"]) == {"extraction", "similarity", "migration", "prewarm"}
    assert made["v2"]["components"]["schemas"]["SimilarityJob"]["properties"]["input"] == {"$ref": "#/components/schemas/SimilarityRequest"}


def test_the_codes_of_the_versions_have_a_row_each() -> None:
    assert {CODES[code].status for code in ("VERSION_UNKNOWN", "VERSION_CONTRADICTED")} == {400}
    assert CODES["VERSION_SUNSET"].status == 410
